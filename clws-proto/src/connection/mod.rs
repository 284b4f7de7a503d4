//! A whole connection: a [`Receiver`], a [`Sender`], and the reactions that every endpoint owes its
//! peer.
//!
//! Begin with [`Connection`]. [`Events`] are the events of one read, [`State`] is the progress of
//! the closing handshake, and [`ConnectionError`] is the reason of a failure.

pub(crate) mod end;
pub(crate) mod events;

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

pub use crate::connection::end::{ConnectionError, State};
pub use crate::connection::events::Events;

use crate::buffer::pool::BufferPool;
use crate::close::{CloseCode, CloseFrame};
use crate::connection::end::End;
#[cfg(feature = "deflate")]
use crate::deflate::params::DeflateParams;
#[cfg(feature = "deflate")]
use crate::deflate::pool::CodecPool;
use crate::error::SendError;
use crate::limits::Limits;
use crate::receive::Receiver;
use crate::send::Sender;
use crate::version::{Role, Version};

/// Slices for one write: enough for most outboxes.
const SLICES: usize = 16;

/// A connection without IO. It takes the bytes of a read and returns events and bytes to write.
///
/// It owns a [`Receiver`] and a [`Sender`], and reacts as every endpoint must:
///
/// * It answers each ping.
/// * It answers the peer's close frame, once.
/// * It fails with the right close code when the peer breaks the protocol.
/// * It discards all input after the peer's close frame or after a failure.
///
/// Each answer is queued before the application sees the event. The next
/// [`transmit`](Self::transmit) writes it. Before, `clws-handshake` does the opening handshake.
///
/// # A server
///
/// ```
/// use std::error::Error;
/// use std::io::{Read, Write};
///
/// use clws_proto::connection::{Connection, State};
/// use clws_proto::{Event, Limits, Version};
///
/// /// Sends each message back until the connection is closed.
/// fn echo(mut reader: impl Read, mut writer: impl Write) -> Result<(), Box<dyn Error>> {
///     let mut ws = Connection::server(Version::Rfc6455, Limits::default());
///     let mut buffer = vec![0; 16 * 1024];
///     while ws.state() != State::Closed {
///         let count = reader.read(&mut buffer)?;
///         if count == 0 {
///             ws.end_of_input();
///         }
///         let mut events = ws.receive(&mut buffer[..count]);
///         while let Some((event, sender)) = events.next() {
///             match event {
///                 Event::Text(text) => sender.forward_text(text)?,
///                 Event::Binary(payload) => sender.forward_binary(payload)?,
///                 Event::Close(Some(frame)) => println!("closed with {}", frame.code),
///                 _ => {}
///             }
///         }
///         drop(events);
///         ws.transmit(|slices| writer.write_vectored(slices))?; // also sends the close frame
///     }
///     match ws.end() {
///         Some(Err(error)) => Err(error.into()),
///         _ => Ok(()),
///     }
/// }
///
/// // With a socket: echo(&stream, &stream). This client sent "Hello", a ping and a close frame.
/// let read = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8";
/// let mut written = Vec::new();
/// echo(&read[..], &mut written)?;
/// assert_eq!(written, b"\x81\x05Hello\x8a\x00\x88\x02\x03\xe8");
///
/// // A client that does not mask its frames violates the protocol and gets 1002.
/// written.clear();
/// assert!(echo(&b"\x81\x05Hello"[..], &mut written).is_err());
/// assert_eq!(written[2..4], [0x03, 0xea]);
/// # Ok::<(), Box<dyn Error>>(())
/// ```
///
/// # A client
///
/// ```
/// use std::error::Error;
/// use std::io::{Read, Write};
///
/// use clws_proto::connection::{Connection, State};
/// use clws_proto::{CloseCode, Event, Limits, Version};
///
/// /// Asks one question, closes the connection and returns the answer. `random_key` must be a
/// /// cryptographic random source.
/// fn ask(
///     mut reader: impl Read,
///     mut writer: impl Write,
///     random_key: impl FnMut() -> [u8; 4] + Send + 'static,
///     question: &str,
/// ) -> Result<Option<String>, Box<dyn Error>> {
///     let mut ws = Connection::client(Version::Rfc6455, Limits::default(), random_key);
///     ws.sender().text(question, None)?;
///     let (mut answer, mut buffer) = (None, vec![0; 16 * 1024]);
///     loop {
///         ws.transmit(|slices| writer.write_vectored(slices))?;
///         if ws.state() == State::Closed {
///             break;
///         }
///         let count = reader.read(&mut buffer)?;
///         if count == 0 {
///             ws.end_of_input();
///         }
///         let mut events = ws.receive(&mut buffer[..count]);
///         while let Some((event, sender)) = events.next() {
///             if let Event::Text(text) = event
///                 && answer.is_none()
///             {
///                 answer = Some(text.into_string());
///                 sender.close(CloseCode::NORMAL, "")?;
///             }
///         }
///     }
///     match ws.end() {
///         Some(Err(error)) => Err(error.into()),
///         _ => Ok(answer),
///     }
/// }
///
/// // The server pings, answers "42" and answers the client's close frame.
/// let read = b"\x89\x00\x81\x0242\x88\x02\x03\xe8";
/// let mut written = Vec::new();
/// let random_key = || [0; 4]; // a key that leaves the bytes readable
/// assert_eq!(ask(&read[..], &mut written, random_key, "6*7?")?.as_deref(), Some("42"));
/// assert_eq!(written, b"\x81\x84\0\0\0\06*7?\x8a\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8");
///
/// // A server that disconnects without a close frame.
/// let error = ask(&b""[..], &mut written, random_key, "6*7?").unwrap_err();
/// assert_eq!(error.to_string(), "the connection ended without the peer's close frame");
/// # Ok::<(), Box<dyn Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    receiver: Receiver,
    sender: Sender,
    /// The end of the connection, once the peer's last event was pulled.
    end: Option<End>,
    input_ended: bool,
}

impl Connection {
    /// A server's connection, directly after the opening handshake.
    #[must_use]
    pub fn server(version: Version, limits: impl Into<Arc<Limits>>) -> Self {
        Self::new(Receiver::new(version, Role::Server, limits), Sender::server(version))
    }

    /// A client's connection, directly after the opening handshake.
    ///
    /// Each frame is masked with a new key from `keys`. It must be a cryptographic random source:
    /// see [`Sender::client`].
    #[must_use]
    pub fn client(
        version: Version,
        limits: impl Into<Arc<Limits>>,
        keys: impl FnMut() -> [u8; 4] + Send + 'static,
    ) -> Self {
        Self::new(Receiver::new(version, Role::Client, limits), Sender::client(version, keys))
    }

    const fn new(receiver: Receiver, sender: Sender) -> Self {
        Self { receiver, sender, end: None, input_ended: false }
    }

    /// Adds permessage-deflate, as the handshake negotiated it: see [`Receiver::deflate`] and
    /// [`Sender::deflate`].
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(self, params: DeflateParams, codecs: &CodecPool) -> Self {
        Self {
            receiver: self.receiver.deflate(params, codecs),
            sender: self.sender.deflate(params, codecs),
            ..self
        }
    }

    /// Delivers messages longer than `above` bytes in [`Piece`](crate::Piece)s, as they arrive: see
    /// [`Receiver::stream_messages`].
    ///
    /// A client downloads a file of any length in this way. Raise the limits first. If the
    /// connection ends before the [last](crate::Piece::last) piece, the message is incomplete:
    /// [`end`](Self::end) has the cause.
    ///
    /// ```
    /// use clws_proto::{Connection, Event, Limits, Version};
    ///
    /// # let random_key = || [0; 4];
    /// let limits = Limits::default().max_frame_size(1 << 30).max_message_size(1 << 30);
    /// let mut ws = Connection::client(Version::Rfc6455, limits, random_key).stream_messages(4096);
    ///
    /// // The header of a message of 100,000 bytes, and its first three bytes.
    /// let mut read = *b"\x82\x7f\0\0\0\0\0\x01\x86\xa0abc";
    /// let mut file = Vec::new();
    /// let mut events = ws.receive(&mut read);
    /// while let Some((event, _)) = events.next() {
    ///     if let Event::Piece(piece) = event {
    ///         file.extend_from_slice(piece.bytes());
    ///     }
    /// }
    /// assert_eq!(file, b"abc");
    /// ```
    #[must_use]
    pub fn stream_messages(self, above: usize) -> Self {
        Self { receiver: self.receiver.stream_messages(above), ..self }
    }

    /// Takes the bytes of one read and returns the events in them.
    ///
    /// Payloads are unmasked in place, which overwrites the buffer. Events that are not pulled
    /// remain unread, and their reactions wait: `receive(&mut [])` continues with them. Pings among
    /// them get no answer meanwhile. Unread input has no limit, so pull all events before the next
    /// read ([`wants_read`](Self::wants_read)).
    #[must_use = "the events are pulled out of it"]
    pub fn receive<'a>(&'a mut self, input: &'a mut [u8]) -> Events<'a> {
        self.apply_end_of_input();
        Events::new(self.receiver.receive(input), &mut self.sender, &mut self.end)
    }

    /// Takes the bytes of one read. Messages are assembled in buffers from this pool.
    #[must_use = "the events are pulled out of it"]
    pub fn receive_with<'a>(&'a mut self, input: &'a mut [u8], buffers: &'a dyn BufferPool) -> Events<'a> {
        self.apply_end_of_input();
        Events::new(self.receiver.receive_with(input, buffers), &mut self.sender, &mut self.end)
    }

    /// Takes the bytes in `range` of a buffer that a large binary message may keep: see
    /// [`Receiver::receive_owned`].
    #[must_use = "the events are pulled out of it"]
    pub fn receive_owned<'a>(
        &'a mut self,
        buffer: &'a mut Vec<u8>,
        range: Range<usize>,
        buffers: &'a dyn BufferPool,
    ) -> Events<'a> {
        self.apply_end_of_input();
        Events::new(self.receiver.receive_owned(buffer, range, buffers), &mut self.sender, &mut self.end)
    }

    /// Records the end of the peer's side of the stream. Call it when a read returns 0 bytes.
    ///
    /// It takes effect when no event is unread. In draft 0 and hixie-75 an end between two messages
    /// closes the connection: hixie-75 has no close frame, and some clients of draft 0 do not send
    /// it. Any other end without a close frame is [`ConnectionError::UnexpectedEnd`]. Queued data
    /// may still be written.
    pub fn end_of_input(&mut self) {
        self.input_ended = true;
        self.apply_end_of_input();
    }

    /// Writes queued data until all of it is written or `write` would block. Returns whether all
    /// data is written.
    ///
    /// ```
    /// use clws_proto::{Connection, Limits, Version};
    ///
    /// let mut ws = Connection::server(Version::Rfc6455, Limits::default());
    /// ws.sender().text("Hello", None)?;
    /// let mut socket = Vec::new(); // anything with write_vectored
    /// let done = ws.transmit(|slices| std::io::Write::write_vectored(&mut socket, slices))?;
    /// assert_eq!((done, &socket[..]), (true, &b"\x81\x05Hello"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Errors of `write` other than [`WouldBlock`](io::ErrorKind::WouldBlock) and
    /// [`Interrupted`](io::ErrorKind::Interrupted). [`WriteZero`](io::ErrorKind::WriteZero) if it
    /// writes nothing. Bytes written before the error are consumed.
    pub fn transmit(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        self.apply_end_of_input();
        while self.sender.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.sender.io_slices(&mut slices);
            match write(slices.get(..filled).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.sender.consume(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Begins the closing handshake: see [`Sender::close`]. Messages that arrive before the peer's
    /// close frame are still delivered.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] if the connection is closing already, and
    /// [`SendError::InvalidCloseCode`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.sender().close(code, reason)
    }

    /// The sending half, to queue messages. Each pulled event comes with the same sender.
    pub fn sender(&mut self) -> &mut Sender {
        self.apply_end_of_input();
        &mut self.sender
    }

    /// The receiving half, which reports its limits and the memory that it holds.
    #[must_use]
    pub const fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// The protocol version of the connection.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.sender.version()
    }

    /// The role of this side.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.sender.role()
    }

    /// The progress of the closing handshake.
    #[must_use]
    pub fn state(&self) -> State {
        if self.receiver.is_finished() || self.has_reached_end() {
            State::Closed
        } else if self.sender.close_sent() {
            State::Closing
        } else {
            State::Open
        }
    }

    /// The end of the connection. `None` while it is not [`Closed`](State::Closed).
    ///
    /// `Ok` has the peer's close frame. `Ok(None)` is a close frame without a code, or the end of
    /// the stream in draft 0 and hixie-75.
    ///
    /// # Errors
    ///
    /// The peer violated the protocol, or the stream ended without a close frame.
    #[must_use]
    pub fn end(&self) -> Option<Result<Option<CloseFrame<'_>>, ConnectionError>> {
        match &self.end {
            Some(end) => Some(end.get()),
            None if self.has_reached_end() => Some(self.end_without_close_frame().map(|()| None)),
            None => None,
        }
    }

    /// The number of queued bytes that are not yet written.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.sender.queued()
    }

    /// Whether to read from the peer: the connection is not closed, and no event is unread.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.state() != State::Closed && !self.input_ended && !self.receiver.has_unread()
    }

    /// Whether there are bytes to [`transmit`](Self::transmit).
    #[must_use]
    pub const fn wants_write(&self) -> bool {
        self.queued() > 0
    }

    /// Whether to end this side of the stream, as `TcpStream::shutdown(Shutdown::Write)` does. All
    /// data is written, and nothing more can be sent.
    ///
    /// In hixie-75, which has no close frame, the end of the stream tells the peer that the
    /// connection is closed. In the other versions it follows the closing handshake. A client may
    /// then wait for the server to end the stream first (RFC 6455 §7.1.1).
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        let is_last = match self.state() {
            State::Open => false,
            State::Closing => !self.version().has_close_frame(),
            State::Closed => true,
        };
        is_last && !self.wants_write()
    }

    /// Splits the connection into its halves. The caller must then send the
    /// [reactions](crate::Reaction) to events and errors.
    #[must_use]
    pub fn split(self) -> (Receiver, Sender) {
        (self.receiver, self.sender)
    }

    /// Whether the peer has ended its side, and all its events were pulled.
    fn has_reached_end(&self) -> bool {
        self.input_ended && !self.receiver.has_unread()
    }

    /// The result of a stream that ended without a close frame.
    fn end_without_close_frame(&self) -> Result<(), ConnectionError> {
        if self.version().is_hixie() && self.receiver.is_between_messages() {
            Ok(())
        } else {
            Err(ConnectionError::UnexpectedEnd)
        }
    }

    /// Applies the end of the stream once no event is unread.
    fn apply_end_of_input(&mut self) {
        if self.end.is_none() && self.has_reached_end() {
            self.end = Some(End::without_close_frame(self.end_without_close_frame()));
            self.receiver.discard();
            self.sender.seal();
        }
    }
}
