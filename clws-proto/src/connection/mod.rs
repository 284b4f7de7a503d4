//! A whole connection: a [`Receiver`], a [`Sender`], and the reactions that every endpoint owes its peer.
//!
//! [`Connection`] is the type to begin with. [`Events`] are the events of one read, [`State`] says how far the
//! connection is, and [`ConnectionError`] says why it failed.

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

/// A connection without IO: bytes that were read go in, events and bytes to write come out.
///
/// It owns a [`Receiver`] and a [`Sender`] and does by itself what every endpoint owes its peer:
///
/// * It answers each ping.
/// * It answers the peer's close frame, once.
/// * It fails with the right close code when the peer breaks the protocol.
/// * It discards whatever arrives after the peer's close frame or after a failure.
///
/// Each answer is queued before the application sees the event. What is queued goes out with the next
/// [`transmit`](Self::transmit). The opening handshake comes first; `clws-handshake` does it.
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
///         ws.transmit(|slices| writer.write_vectored(slices))?; // the close frame too, and after a failure
///     }
///     match ws.end() {
///         Some(Err(error)) => Err(error.into()),
///         _ => Ok(()),
///     }
/// }
///
/// // With a socket: echo(&stream, &stream). Here a client has sent "Hello", a ping and a close frame.
/// let read = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8";
/// let mut written = Vec::new();
/// echo(&read[..], &mut written)?;
/// assert_eq!(written, b"\x81\x05Hello\x8a\x00\x88\x02\x03\xe8");
///
/// // A client that does not mask breaks the protocol, and is told so with 1002.
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
/// /// Asks one question, closes the connection and returns the answer. The keys come from a cryptographic
/// /// random source.
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
/// // A server that goes away without a close frame.
/// let error = ask(&b""[..], &mut written, random_key, "6*7?").unwrap_err();
/// assert_eq!(error.to_string(), "the connection ended without the peer's close frame");
/// # Ok::<(), Box<dyn Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    receiver: Receiver,
    sender: Sender,
    /// How the connection ended, once the peer's last event was read.
    end: Option<End>,
    input_ended: bool,
}

impl Connection {
    /// A server's connection, directly after the opening handshake.
    #[must_use]
    pub fn server(version: Version, limits: impl Into<Arc<Limits>>) -> Self {
        Self::new(Receiver::new(version, Role::Server, limits), Sender::server(version))
    }

    /// A client's connection, directly after the opening handshake. Each frame is masked with a new key from `keys`,
    /// which has to be a cryptographic random source: see [`Sender::client`].
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

    /// Takes the bytes of one read and returns the events in them.
    ///
    /// Payloads are unmasked in place, so the content of the buffer is spent. Events that are not pulled stay unread,
    /// with their reactions: `receive(&mut [])` continues with them. Nothing limits unread input, so pull all events
    /// before the next read ([`wants_read`](Self::wants_read)). Meanwhile pings go unanswered.
    #[must_use = "the events are pulled out of it"]
    pub fn receive<'a>(&'a mut self, input: &'a mut [u8]) -> Events<'a> {
        self.settle();
        Events::new(self.receiver.receive(input), &mut self.sender, &mut self.end)
    }

    /// Takes the bytes of one read. Messages are assembled in buffers from this pool.
    #[must_use = "the events are pulled out of it"]
    pub fn receive_with<'a>(&'a mut self, input: &'a mut [u8], buffers: &'a dyn BufferPool) -> Events<'a> {
        self.settle();
        Events::new(self.receiver.receive_with(input, buffers), &mut self.sender, &mut self.end)
    }

    /// Takes a buffer that a large binary message may keep, and in which the bytes in `range` were read: see
    /// [`Receiver::receive_owned`].
    #[must_use = "the events are pulled out of it"]
    pub fn receive_owned<'a>(
        &'a mut self,
        buffer: &'a mut Vec<u8>,
        range: Range<usize>,
        buffers: &'a dyn BufferPool,
    ) -> Events<'a> {
        self.settle();
        Events::new(self.receiver.receive_owned(buffer, range, buffers), &mut self.sender, &mut self.end)
    }

    /// Takes note that the peer has ended its side of the stream: a read returned 0 bytes.
    ///
    /// It takes effect when no event is unread. In draft 0 and hixie-75 an end between two messages closes the
    /// connection: hixie-75 has no close frame, and there are clients of draft 0 that do not send it. Any other end
    /// without a close frame is [`ConnectionError::UnexpectedEnd`]. Queued data may still be written.
    pub fn end_of_input(&mut self) {
        self.input_ended = true;
        self.settle();
    }

    /// Writes queued data until all of it is written or `write` would block. Returns whether all of it is written.
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
    /// [`Interrupted`](io::ErrorKind::Interrupted); [`WriteZero`](io::ErrorKind::WriteZero) when it writes nothing.
    /// What was written before is consumed.
    pub fn transmit(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        self.settle();
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

    /// Begins the closing handshake: see [`Sender::close`]. Messages that the peer sent before it answers are still
    /// delivered.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the connection is closing already, and [`SendError::InvalidCloseCode`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.sender().close(code, reason)
    }

    /// The sending half, to queue messages. While events are pulled, each comes with the same sender.
    pub fn sender(&mut self) -> &mut Sender {
        self.settle();
        &mut self.sender
    }

    /// The receiving half, which knows its limits and how much memory it holds.
    #[must_use]
    pub const fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// The version that both sides speak.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.sender.version()
    }

    /// The role of this side.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.sender.role()
    }

    /// How far the connection is.
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

    /// How the connection ended; `None` while it is not [`Closed`](State::Closed).
    ///
    /// `Ok` carries the peer's close frame. `Ok(None)` is a close frame without a code, or the end of the stream in
    /// draft 0 and hixie-75.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol, or the stream ended without a close frame.
    #[must_use]
    pub fn end(&self) -> Option<Result<Option<CloseFrame<'_>>, ConnectionError>> {
        match &self.end {
            Some(end) => Some(end.get()),
            None if self.has_reached_end() => Some(self.end_without_close_frame().map(|()| None)),
            None => None,
        }
    }

    /// Bytes that are queued and not written.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.sender.queued()
    }

    /// Whether more bytes are wanted from the peer: the connection is not closed, and no event is unread.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.state() != State::Closed && !self.input_ended && !self.receiver.has_unread()
    }

    /// Whether there is something to [`transmit`](Self::transmit).
    #[must_use]
    pub const fn wants_write(&self) -> bool {
        self.queued() > 0
    }

    /// Whether this side has sent all that it will ever send: end this side of the stream, as
    /// `TcpStream::shutdown(Shutdown::Write)` does.
    ///
    /// In hixie-75, which has no close frame, this is what tells the peer that the connection is closed. In the other
    /// versions it comes after the closing handshake. A client may then wait for the server to end the stream first
    /// (RFC 6455 §7.1.1).
    #[must_use]
    pub fn wants_shutdown(&self) -> bool {
        let is_last = match self.state() {
            State::Open => false,
            State::Closing => !self.version().has_close_frame(),
            State::Closed => true,
        };
        is_last && !self.wants_write()
    }

    /// Splits the connection into its halves, for a program that drives them apart. Their owner then owes the peer the
    /// [reactions](crate::Reaction).
    #[must_use]
    pub fn split(self) -> (Receiver, Sender) {
        (self.receiver, self.sender)
    }

    /// Whether the peer has ended its side, and all that it sent was pulled.
    fn has_reached_end(&self) -> bool {
        self.input_ended && !self.receiver.has_unread()
    }

    /// Judges the end of a stream on which no close frame came.
    fn end_without_close_frame(&self) -> Result<(), ConnectionError> {
        if self.version().is_hixie() && self.receiver.is_between_messages() {
            Ok(())
        } else {
            Err(ConnectionError::UnexpectedEnd)
        }
    }

    /// Lets the end of the stream take effect when its time has come.
    fn settle(&mut self) {
        if self.end.is_none() && self.has_reached_end() {
            self.end = Some(End::without_close_frame(self.end_without_close_frame()));
            self.receiver.discard();
            self.sender.seal();
        }
    }
}
