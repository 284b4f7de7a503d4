//! The receiving half of a connection.

mod close_body;
mod decoded;
mod framing;
mod hixie;
mod hixie_pieces;
mod hybi;
pub(crate) mod input;
mod partial;
mod pieces;
mod state;
mod stream;
mod stream_messages;

use std::ops::Range;
use std::sync::Arc;

use crate::buffer::pool::{BufferPool, NoPool, min_adoptable_len, release_to};
use crate::buffer::slice::BufSlice;
use crate::deflate::extension::Plain;
#[cfg(feature = "deflate")]
use crate::deflate::inflate::Inflation;
#[cfg(feature = "deflate")]
use crate::deflate::params::DeflateParams;
#[cfg(feature = "deflate")]
use crate::deflate::pool::CodecPool;
use crate::error::ProtocolError;
use crate::frame::header::Opcode;
use crate::limits::Limits;
use crate::message::event::{Event, Payload, Text};
use crate::receive::decoded::Decoded;
use crate::receive::framing::{Framing, Status};
use crate::receive::hixie::Hixie;
use crate::receive::hybi::Hybi;
use crate::receive::input::{Cursor, Input, Unread};
use crate::version::{Role, Version};

/// The receiving half of a connection: takes bytes and returns [`Event`]s.
///
/// It works in the buffer that the caller lends for one read. A whole message is unmasked in place
/// and returned without a copy or an allocation. An incomplete message moves to the receiver's own
/// buffer. That buffer grows with the received bytes, never with a declared length, and is freed
/// when the message is done. Between messages a `Receiver` holds no buffer.
///
/// The events do not depend on how the stream is divided into reads.
///
/// ```
/// use clws_proto::{Event, Limits, Receiver, Role, Version};
///
/// let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
/// // RFC 6455 §5.7: "A single-frame masked text message"
/// let mut read = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// let mut events = receiver.receive(&mut read);
/// while let Some(event) = events.next()? {
///     match event {
///         Event::Text(text) => assert_eq!(&*text, "Hello"),
///         other => panic!("{other:?}"),
///     }
/// }
/// # Ok::<(), clws_proto::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Receiver {
    framing: Framing,
    limits: Arc<Limits>,
    /// Input that was not read by the caller.
    unread: Option<Box<Unread>>,
}

impl Receiver {
    /// Creates a receiver for the bytes that follow the opening handshake.
    ///
    /// Many receivers can share their limits in an `Arc`, which costs each of them 8 bytes.
    #[must_use]
    pub fn new(version: Version, role: Role, limits: impl Into<Arc<Limits>>) -> Self {
        let mut limits = limits.into();
        // No buffer can be longer. A length within the limits can therefore always be counted and
        // stored.
        let max_len = isize::MAX.unsigned_abs();
        if limits.max_frame_size.max(limits.max_message_size) > max_len {
            let limits = Arc::make_mut(&mut limits);
            limits.max_frame_size = limits.max_frame_size.min(max_len);
            limits.max_message_size = limits.max_message_size.min(max_len);
        }
        let status = Status { version, role, finished: false, mark: [0; 4] };
        let framing = match version {
            Version::Hixie75 | Version::Hybi00 => Framing::Hixie(status, Hixie::new(version)),
            Version::Hybi07 | Version::Hybi08 | Version::Rfc6455 => Framing::Hybi(status, Hybi::default()),
        };
        Self { framing, limits, unread: None }
    }

    /// Enables permessage-deflate with the negotiated parameters. Compressed messages become the
    /// same events.
    ///
    /// [`Limits::max_message_size`] applies to the inflated bytes during inflation.
    /// [`max_frame_size`](Limits::max_frame_size) applies to the received bytes. Each compressed
    /// message borrows a decompressor from `codecs` until it is complete. Versions other than 13 do
    /// not have this extension and are not affected.
    ///
    /// ```
    /// use clws_proto::{CodecPool, DeflateConfig, DeflateParams};
    /// use clws_proto::{Event, Limits, Receiver, Role, Version};
    ///
    /// let codecs = CodecPool::new(&DeflateConfig::default());
    /// let mut receiver = Receiver::new(Version::Rfc6455, Role::Client, Limits::default())
    ///     .deflate(DeflateParams::default(), &codecs);
    /// // RFC 7692 §7.2.3.1: "Hello", compressed
    /// let mut read = [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    /// let mut events = receiver.receive(&mut read);
    /// assert!(matches!(events.next()?, Some(Event::Text(text)) if text == "Hello"));
    /// # Ok::<(), clws_proto::ProtocolError>(())
    /// ```
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, params: DeflateParams, codecs: &CodecPool) -> Self {
        let Status { role, version, .. } = self.framing.status();
        if version.has_extensions() {
            let inflation = Inflation::new(role, params, codecs);
            match &mut self.framing {
                Framing::Hybi(status, hybi) => {
                    self.framing = Framing::Deflate(*status, Box::new((std::mem::take(hybi), inflation)));
                }
                Framing::Stream(_, stream) => stream.inflation = Some(inflation),
                Framing::Deflate(..) | Framing::Hixie(..) => {}
            }
        }
        self
    }

    /// Memory that holds the end of earlier messages, in bytes. Compressed messages may refer to
    /// them.
    ///
    /// 0 without permessage-deflate or context takeover, and before the first compressed message.
    /// In addition, permessage-deflate costs a receiver 56 bytes.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn context_size(&self) -> usize {
        match &self.framing {
            Framing::Deflate(_, deflate) => deflate.1.context_size(),
            Framing::Stream(_, stream) => stream.context_size(),
            _ => 0,
        }
    }

    /// Takes the bytes of one read and returns the events in them.
    ///
    /// The buffer's content is lost, because payloads are unmasked in place. Call [`Events::next`]
    /// until it returns `Ok(None)`. If the caller stops earlier, the rest is copied and comes first
    /// in the next call; `receive(&mut [])` continues without new input. No limit bounds this rest:
    /// while there is [some](Self::has_unread), take its events before reading more from the peer.
    ///
    /// The buffer is borrowed until the [`Events`] are dropped. A loop that reads into the same
    /// buffer needs `drop(events)` first.
    #[must_use = "the events are pulled out of it"]
    pub fn receive<'a>(&'a mut self, input: &'a mut [u8]) -> Events<'a> {
        self.receive_with(input, &NoPool)
    }

    /// Like [`receive`](Self::receive), with a pool for the buffers of incomplete messages.
    #[must_use = "the events are pulled out of it"]
    pub fn receive_with<'a>(&'a mut self, input: &'a mut [u8], buffers: &'a dyn BufferPool) -> Events<'a> {
        self.events(Input::Lent(input), buffers)
    }

    /// Takes input from any place: [`receive_with`](Self::receive_with),
    /// [`receive_owned`](Self::receive_owned) or [`receive_direct`](Self::receive_direct).
    #[inline]
    #[must_use = "the events are pulled out of it"]
    pub fn receive_input<'a>(&'a mut self, input: Input<'a>, buffers: &'a dyn BufferPool) -> Events<'a> {
        match input {
            Input::Lent(bytes) => self.receive_with(bytes, buffers),
            Input::Owned(buffer, range) => self.receive_owned(buffer, range, buffers),
            Input::Direct(count) => self.receive_direct(count, buffers),
        }
    }

    /// Like [`receive_with`](Self::receive_with), with a buffer that a large binary message may
    /// keep. The bytes in `range` were read.
    ///
    /// An incomplete message stays in the buffer, and the caller reads its rest into
    /// [`spare_capacity`](Self::spare_capacity). A whole message stays in the buffer if it is
    /// [forwarded](crate::Sender::forward_binary). Neither is copied, and `buffer` becomes an empty
    /// `Vec`. Its capacity is at most about four times the message. It goes to `buffers` when the
    /// message is done or written. A range outside of the buffer is no input.
    ///
    /// ```
    /// use clws_proto::buffer::NoPool;
    /// use clws_proto::{Event, Limits, Receiver, Role, Sender, Version};
    ///
    /// let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
    /// let mut sender = Sender::server(Version::Rfc6455);
    /// let mut buffer = vec![0; 64 * 1024];
    ///
    /// // The bytes that a socket would have written: a binary message of 20,000 zeros, masked with
    /// // zeros.
    /// buffer[..8].copy_from_slice(&[0x82, 0xFE, 0x4E, 0x20, 0, 0, 0, 0]);
    /// let mut events = receiver.receive_owned(&mut buffer, 0..8 + 20_000, &NoPool);
    /// while let Some(event) = events.next()? {
    ///     if let Event::Binary(payload) = event {
    ///         sender.forward_binary(payload)?;
    ///     }
    /// }
    /// drop(events);
    /// assert_eq!((buffer.len(), sender.queued()), (0, 4 + 20_000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "the events are pulled out of it"]
    pub fn receive_owned<'a>(
        &'a mut self,
        buffer: &'a mut Vec<u8>,
        range: Range<usize>,
        buffers: &'a dyn BufferPool,
    ) -> Events<'a> {
        let Range { start, end } = range;
        // A shorter message cannot keep the buffer.
        if end.saturating_sub(start) < min_adoptable_len(buffer.capacity()) || buffer.len() < end {
            return self.receive_with(buffer.get_mut(start..end).unwrap_or_default(), buffers);
        }
        self.events(Input::Owned(buffer, start..end), buffers)
    }

    #[inline]
    fn events<'a>(&'a mut self, mut input: Input<'a>, buffers: &'a dyn BufferPool) -> Events<'a> {
        let (mut held, mut position) = (Vec::new(), 0);
        if let Some(unread) = self.unread.take() {
            (held, position) = (unread.bytes, unread.position);
            held.extend_from_slice(input.bytes());
        }
        Events {
            receiver: self,
            input,
            buffers,
            held,
            slice: BufSlice::default(),
            text: String::new(),
            position,
        }
    }

    /// Memory for the next bytes from the peer: the rest of a large binary frame.
    ///
    /// Reading directly into it saves a copy. Pass the number of bytes to
    /// [`receive_direct`](Self::receive_direct). The caller may also ignore this memory and use
    /// [`receive`](Self::receive). `None` if no such frame is in progress. It is always `None` for
    /// text, which is checked while it is copied.
    #[must_use]
    pub fn spare_capacity(&mut self, buffers: &dyn BufferPool) -> Option<&mut [u8]> {
        if self.unread.is_some() || self.is_finished() {
            return None;
        }
        self.framing.hybi()?.spare_capacity(buffers)
    }

    /// Takes `count` bytes that were read into [`spare_capacity`](Self::spare_capacity), and
    /// returns the events that they complete.
    #[must_use = "the events are pulled out of it"]
    pub fn receive_direct<'a>(&'a mut self, count: usize, buffers: &'a dyn BufferPool) -> Events<'a> {
        if let Some(hybi) = self.framing.hybi() {
            hybi.commit_direct(count);
        }
        self.receive_with(&mut [], buffers)
    }

    fn finish(&mut self) {
        self.framing.status_mut().finished = true;
        match &mut self.framing {
            Framing::Hybi(_, hybi) => *hybi = Hybi::default(),
            Framing::Hixie(_, hixie) => hixie.reset(),
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => {
                deflate.0 = Hybi::default();
                deflate.1.reset();
            }
            Framing::Stream(_, stream) => stream.reset(),
        }
    }
}

/// The events of one read. Dropping it stores the remaining input.
#[derive(Debug)]
pub struct Events<'a> {
    receiver: &'a mut Receiver,
    input: Input<'a>,
    /// The rest of earlier input followed by `input`, which is then unused. Usually empty.
    held: Vec<u8>,
    /// The pool for the buffers of assembled messages.
    buffers: &'a dyn BufferPool,
    /// An assembled binary message or control frame that is lent to the caller.
    slice: BufSlice,
    /// An assembled text message that is lent to the caller.
    text: String,
    position: usize,
}

impl Events<'_> {
    /// The next event. `Ok(None)` if all input is consumed or the receiver [is
    /// finished](Receiver::is_finished).
    ///
    /// # Errors
    ///
    /// The peer's violation of the protocol. It is reported once, and no event follows it.
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "an event borrows from this value, unlike the items of an Iterator"
    )]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, ProtocolError> {
        self.next_within(u64::MAX)
    }

    /// Like [`next`](Self::next), but stops after about `max_frames` frames without an event.
    ///
    /// Some frames make no event: fragments of an incomplete message, and discarded frames of
    /// hixie versions. A peer may send many of them in one read, to occupy a thread. `Ok(None)`
    /// with [`has_input`](Self::has_input) then means that input is left: call this again, or drop
    /// the [`Events`] and continue later. A compressed fragment counts as many frames, because a few
    /// bytes may inflate to a long message. At least one frame is decoded, also for 0.
    ///
    /// ```
    /// use clws_proto::{Event, Limits, Receiver, Role, Version};
    ///
    /// let mut receiver = Receiver::new(Version::Rfc6455, Role::Client, Limits::default());
    /// // A message of 1000 empty fragments.
    /// let mut read = [&[0x01, 0][..], &[0, 0].repeat(998), &[0x80, 0]].concat();
    /// let mut events = receiver.receive(&mut read);
    /// let mut pauses = 0;
    /// loop {
    ///     match events.next_within(100)? {
    ///         Some(event) => break assert!(matches!(event, Event::Text(text) if text.is_empty())),
    ///         None => pauses += 1, // other connections may have their turn
    ///     }
    /// }
    /// assert_eq!(pauses, 9);
    /// # Ok::<(), clws_proto::ProtocolError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`next`](Self::next).
    #[inline]
    pub fn next_within(&mut self, max_frames: u64) -> Result<Option<Event<'_>>, ProtocolError> {
        self.release_buffers();
        let receiver = &mut *self.receiver;
        let Status { version, role, finished, .. } = receiver.framing.status();
        if finished {
            return Ok(None);
        }
        let (is_input, min_adoptable_len) = match self.held.is_empty() {
            true => (true, self.input.min_adoptable_len()),
            false => (false, usize::MAX),
        };
        let buffer = if is_input { self.input.bytes() } else { &mut self.held };
        let limits = &*receiver.limits;
        let max_frames = max_frames.max(1);
        let input = Cursor { buffer, position: &mut self.position, min_adoptable_len, max_frames };
        // Most connections use this framing. A separate call for the others keeps this function
        // small.
        let step = match &mut receiver.framing {
            Framing::Hybi(_, hybi) => hybi.step(input, role, limits, self.buffers, &mut Plain),
            other => other.step(input, role, limits, self.buffers),
        };
        let (opcode, payload): (_, &[u8]) = match step {
            Ok(Decoded::NeedInput) => return Ok(None),
            Ok(Decoded::InPlace { opcode: Opcode::Binary, start, end }) if is_input => {
                return Ok(Some(Event::Binary(self.input.payload(start..end))));
            }
            Ok(Decoded::InPlace { opcode, start, end }) => {
                let buffer = if is_input { self.input.bytes() } else { &mut self.held };
                (opcode, buffer.get(start..end).unwrap_or_default())
            }
            Ok(Decoded::Text(text)) => {
                self.text = text;
                return Ok(Some(Event::Text(Text::assembled(&mut self.text))));
            }
            Ok(Decoded::Binary(slice)) => {
                self.slice = slice;
                return Ok(Some(Event::Binary(Payload::assembled(&mut self.slice))));
            }
            Ok(Decoded::LargeMessage { header, start }) => {
                if let Input::Owned(buffer, read) = &mut self.input
                    && let Some(hybi) = receiver.framing.hybi()
                {
                    hybi.adopt_buffer(
                        header,
                        BufSlice::new(std::mem::take(buffer), read.start + start..read.end),
                    );
                }
                return Ok(None);
            }
            Ok(Decoded::Control(opcode, bytes)) => {
                self.slice = bytes.into();
                (opcode, &self.slice[..])
            }
            Ok(Decoded::Piece { data, first, last }) => return self.lend_piece(data, first, last),
            Err(error) => {
                receiver.finish();
                return Err(error);
            }
        };
        match opcode {
            Opcode::Text if version.is_hixie() => Ok(Some(Event::Text(hixie::text(payload)))),
            // RFC 6455 §8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds
            // that the byte stream is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail
            // the WebSocket Connection_."
            Opcode::Text => match simdutf8::basic::from_utf8(payload) {
                Ok(text) => Ok(Some(Event::Text(Text::borrowed(text)))),
                Err(_) => {
                    receiver.finish();
                    Err(ProtocolError::InvalidUtf8)
                }
            },
            Opcode::Ping => Ok(Some(Event::Ping(Payload::borrowed(payload)))),
            Opcode::Pong => Ok(Some(Event::Pong(Payload::borrowed(payload)))),
            Opcode::Close => {
                // RFC 6455 §1.4: "after receiving a control frame indicating the connection should
                // be closed, a peer discards any further data received."
                receiver.finish();
                if version.is_hixie() {
                    return Ok(Some(Event::Close(None)));
                }
                close_body::parse(payload, version).map(|frame| Some(Event::Close(frame)))
            }
            Opcode::Binary | Opcode::Continuation => Ok(Some(Event::Binary(Payload::borrowed(payload)))),
        }
    }

    /// Returns the last event's buffer to the pool, unless it was taken.
    #[inline]
    fn release_buffers(&mut self) {
        release_to(self.buffers, std::mem::take(&mut self.slice).into_buffer());
        release_to(self.buffers, std::mem::take(&mut self.text).into_bytes());
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        self.release_buffers();
        let (mut bytes, mut position) = (std::mem::take(&mut self.held), self.position);
        let len = if bytes.is_empty() { self.input.bytes().len() } else { bytes.len() };
        if position >= len || self.receiver.is_finished() {
            return;
        }
        if bytes.is_empty() {
            bytes = self.input.bytes().get(position..).unwrap_or_default().to_vec();
            position = 0;
        } else if position > len / 2 {
            // Fewer bytes are moved than were decoded since the last move. The total work is
            // therefore linear, even if the caller stops after each event.
            bytes.drain(..position);
            bytes.shrink_to(2 * bytes.len());
            position = 0;
        }
        self.receiver.unread = Some(Box::new(Unread { bytes, position }));
    }
}
