pub(crate) mod hixie;
pub(crate) mod hybi;

use std::ops::Range;
use std::sync::Arc;

use crate::buffer::pool::{BufferPool, NoPool};
use crate::buffer::pool::{give_back, min_adoptable_len};
use crate::buffer::slice::BufSlice;
use crate::close;
use crate::deflate::extension::Plain;
#[cfg(feature = "deflate")]
use crate::deflate::extension::Skip;
#[cfg(feature = "deflate")]
use crate::deflate::inflate::Inflation;
#[cfg(feature = "deflate")]
use crate::deflate::params::DeflateParams;
#[cfg(feature = "deflate")]
use crate::deflate::pool::CodecPool;
use crate::error::ProtocolError;
use crate::frame::header::{Header, Opcode};
use crate::limits::Limits;
use crate::message::event::{Event, Payload, Text};
use crate::receive::hixie::Hixie;
use crate::receive::hybi::Hybi;
use crate::version::{Role, Version};

/// The receiving half of a connection: octets in, [`Event`]s out.
///
/// It works in the buffer that the caller lends for one read. A whole message in it is unmasked in place and lent
/// back without a copy or an allocation; what is cut off moves to the connection's own buffer, which grows by what
/// came and never by what the peer declares, and is freed when the message is done. Between messages a `Receiver`
/// holds no buffer.
///
/// Any way of cutting the stream into pieces gives the same events.
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
    /// Input that came while a reader stopped short of its end.
    unread: Option<Box<Unread>>,
}

/// Each variant has the status in the bytes beside its tag, which are padding otherwise: `Receiver` is a word smaller.
#[derive(Debug)]
enum Framing {
    Hybi(Status, Hybi),
    Hixie(Status, Hixie),
    /// Boxed as a whole: it costs those nothing that did not negotiate it.
    #[cfg(feature = "deflate")]
    Deflate(Status, Box<(Hybi, Inflation)>),
}

#[derive(Clone, Copy, Debug)]
struct Status {
    version: Version,
    role: Role,
    /// A close frame was read, or the peer broke the protocol. Later input is discarded.
    finished: bool,
}

impl Framing {
    #[inline]
    const fn status(&self) -> Status {
        match self {
            Self::Hybi(status, _) | Self::Hixie(status, _) => *status,
            #[cfg(feature = "deflate")]
            Self::Deflate(status, _) => *status,
        }
    }

    const fn status_mut(&mut self) -> &mut Status {
        match self {
            Self::Hybi(status, _) | Self::Hixie(status, _) => status,
            #[cfg(feature = "deflate")]
            Self::Deflate(status, _) => status,
        }
    }

    /// A step of any kind.
    #[inline(never)]
    fn step(
        &mut self,
        input: hybi::Input<'_>,
        role: Role,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<Decoded, ProtocolError> {
        match self {
            Self::Hybi(_, hybi) => hybi.step(input, role, limits, buffers, &mut Plain),
            Self::Hixie(_, hixie) => hixie.step(input.buffer, input.position, limits),
            #[cfg(feature = "deflate")]
            Self::Deflate(_, deflate) => {
                let (hybi, inflation) = &mut **deflate;
                hybi.step(input, role, limits, buffers, inflation)
            }
        }
    }

    /// Whether the frame that goes on in `rest`, or begins there, is a ping.
    fn is_ping(&self, rest: &[u8]) -> bool {
        match self {
            Self::Hybi(_, hybi) => hybi.is_ping(rest),
            Self::Hixie(_, _) => false,
            #[cfg(feature = "deflate")]
            Self::Deflate(_, deflate) => deflate.0.is_ping(rest),
        }
    }

    /// The framing with frames that have a length and may be read in pieces.
    const fn hybi(&mut self) -> Option<&mut Hybi> {
        match self {
            Self::Hybi(_, hybi) => Some(hybi),
            Self::Hixie(_, _) => None,
            #[cfg(feature = "deflate")]
            Self::Deflate(_, deflate) => Some(&mut deflate.0),
        }
    }
}

/// What a reader left: the octets from `position` on, never less than half of them all.
#[derive(Debug)]
struct Unread {
    octets: Vec<u8>,
    position: usize,
}

impl Receiver {
    /// A receiver at the start of a connection, right behind the opening handshake.
    ///
    /// The limits are given as they are, or in an `Arc` that many receivers share: to each of them they are 8 octets then.
    #[must_use]
    pub fn new(version: Version, role: Role, limits: impl Into<Arc<Limits>>) -> Self {
        let mut limits = limits.into();
        // No buffer can be longer, so a length that passes the limits can always be counted and held.
        let longest = isize::MAX.unsigned_abs();
        if limits.max_frame_size.max(limits.max_message_size) > longest {
            let limits = Arc::make_mut(&mut limits);
            limits.max_frame_size = limits.max_frame_size.min(longest);
            limits.max_message_size = limits.max_message_size.min(longest);
        }
        let status = Status { version, role, finished: false };
        let framing = match version {
            Version::Hixie75 | Version::Hybi00 => Framing::Hixie(status, Hixie::new(version)),
            Version::Hybi07 | Version::Hybi08 | Version::Rfc6455 => Framing::Hybi(status, Hybi::default()),
        };
        Self { framing, limits, unread: None }
    }

    /// The same with permessage-deflate as it was agreed on: compressed messages are inflated, into the same events.
    ///
    /// [`Limits::max_message_size`] then holds on the inflated octets, while they are inflated,
    /// [`max_frame_size`](Limits::max_frame_size) on those that came. Each compressed message borrows a decompressor from
    /// the `codecs`, until it is complete. For versions other than 13, which have no such extension, nothing changes.
    ///
    /// ```
    /// use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Event, Limits, Receiver, Role, Version};
    ///
    /// let codecs = CodecPool::new(&DeflateConfig::default());
    /// let mut receiver = Receiver::new(Version::Rfc6455, Role::Client, Limits::default())
    ///     .with_deflate(DeflateParams::default(), &codecs);
    /// // RFC 7692 §7.2.3.1: "Hello", compressed
    /// let mut read = [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    /// let mut events = receiver.receive(&mut read);
    /// assert!(matches!(events.next()?, Some(Event::Text(text)) if text == "Hello"));
    /// # Ok::<(), clws_proto::ProtocolError>(())
    /// ```
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn with_deflate(mut self, params: DeflateParams, codecs: &CodecPool) -> Self {
        if let Framing::Hybi(status @ Status { version: Version::Rfc6455, .. }, hybi) = &mut self.framing {
            let inflation = Inflation::new(status.role, params, codecs);
            self.framing = Framing::Deflate(*status, Box::new((std::mem::take(hybi), inflation)));
        }
        self
    }

    /// Octets of memory that hold the end of earlier messages, which compressed ones may refer back to.
    ///
    /// 0 where permessage-deflate or context takeover was not agreed on, and before the first compressed message. Beside
    /// it, permessage-deflate costs a receiver 56 octets.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn context_size(&self) -> usize {
        match &self.framing {
            Framing::Deflate(_, deflate) => deflate.1.context_size(),
            _ => 0,
        }
    }

    /// Lends the octets of one read and returns the events in them.
    ///
    /// The buffer's content is spent afterwards: payloads are unmasked in place. Pull until `Ok(None)`; a reader
    /// that stops earlier loses nothing, the remainder is copied and comes first next time (`receive(&mut [])`
    /// goes on without new input). The remainder is the one thing that no limit bounds: while there is
    /// [some](Self::has_unread), pull before you read more from the peer.
    ///
    /// The buffer is yours again when the [`Events`] are dropped; in a loop that reads more into it, `drop(events)`
    /// comes first.
    #[must_use = "the events are pulled out of it"]
    pub fn receive<'a>(&'a mut self, input: &'a mut [u8]) -> Events<'a> {
        self.receive_with(input, &NoPool)
    }

    /// The same, with a pool for the buffers that messages are assembled in.
    #[must_use = "the events are pulled out of it"]
    pub fn receive_with<'a>(&'a mut self, input: &'a mut [u8], buffers: &'a dyn BufferPool) -> Events<'a> {
        self.events(Input::Lent(input), buffers)
    }

    /// Takes input from where it lies: [`receive_with`](Self::receive_with), [`receive_owned`](Self::receive_owned) or
    /// [`receive_direct`](Self::receive_direct).
    #[inline]
    #[must_use = "the events are pulled out of it"]
    pub fn receive_input<'a>(&'a mut self, input: Input<'a>, buffers: &'a dyn BufferPool) -> Events<'a> {
        match input {
            Input::Lent(bytes) => self.receive_with(bytes, buffers),
            Input::Owned(buffer, range) => self.receive_owned(buffer, range, buffers),
            Input::Direct(count) => self.receive_direct(count, buffers),
        }
    }

    /// The same with a buffer that a big binary message may keep, of which the octets in `range` were read.
    ///
    /// Where the message is cut off, what follows is then read behind it ([`spare_capacity`](Self::spare_capacity)); where it is whole and is
    /// forwarded ([`Sender::forward_binary`](crate::Sender::forward_binary)), it goes out from there: neither is copied. An
    /// empty `Vec` is left behind then. The buffer has at most about four times the octets of the message, and goes the way of
    /// all that messages are assembled in: to `buffers`, when the message is done or written. A range that is not in the
    /// buffer is no input.
    ///
    /// ```
    /// use clws_proto::{Event, Limits, NoPool, Receiver, Role, Sender, Version};
    ///
    /// let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
    /// let mut sender = Sender::server(Version::Rfc6455);
    /// let mut scratch = vec![0; 64 * 1024];
    ///
    /// // What a socket would have put there: a binary message of 20,000 zeros, masked with zeros.
    /// scratch[..8].copy_from_slice(&[0x82, 0xFE, 0x4E, 0x20, 0, 0, 0, 0]);
    /// let mut events = receiver.receive_owned(&mut scratch, 0..8 + 20_000, &NoPool);
    /// while let Some(event) = events.next()? {
    ///     if let Event::Binary(payload) = event {
    ///         sender.forward_binary(payload)?;
    ///     }
    /// }
    /// drop(events);
    /// assert_eq!((scratch.len(), sender.queued()), (0, 4 + 20_000));
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
        // Only a message of which so many octets are here can keep it.
        if end.saturating_sub(start) < min_adoptable_len(buffer.capacity()) || buffer.len() < end {
            return self.receive_with(buffer.get_mut(start..end).unwrap_or_default(), buffers);
        }
        self.events(Input::Owned(buffer, start..end), buffers)
    }

    #[inline]
    fn events<'a>(&'a mut self, mut input: Input<'a>, buffers: &'a dyn BufferPool) -> Events<'a> {
        let (mut held, mut position) = (Vec::new(), 0);
        if let Some(unread) = self.unread.take() {
            (held, position) = (unread.octets, unread.position);
            held.extend_from_slice(input.octets());
        }
        Events {
            receiver: self,
            input,
            buffers,
            held,
            part: BufSlice::default(),
            text: String::new(),
            position,
        }
    }

    /// Where the next octets from the peer may be read to directly: behind what has come of a big binary frame.
    ///
    /// It saves the copy from the lent buffer. Read into it and tell [`receive_direct`](Self::receive_direct) how much
    /// came, or do not: [`receive`](Self::receive) works all the same. `None` where there is no such frame (and always
    /// for text, which is checked as it is copied).
    #[must_use]
    pub fn spare_capacity(&mut self, buffers: &dyn BufferPool) -> Option<&mut [u8]> {
        if self.unread.is_some() || self.is_finished() {
            return None;
        }
        self.framing.hybi()?.spare_capacity(buffers)
    }

    /// Takes `count` octets that were read into [`spare_capacity`](Self::spare_capacity), and returns the events that they complete.
    #[must_use = "the events are pulled out of it"]
    pub fn receive_direct<'a>(&'a mut self, count: usize, buffers: &'a dyn BufferPool) -> Events<'a> {
        if let Some(hybi) = self.framing.hybi() {
            hybi.read_to_room(count);
        }
        self.receive_with(&mut [], buffers)
    }

    /// The version that is spoken.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.framing.status().version
    }

    /// The limits that hold.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether nothing more will come: a close frame was read or the peer broke the protocol.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.framing.status().finished
    }

    /// Whether input waits that a reader left unread.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        let is_complete = match &self.framing {
            Framing::Hybi(_, hybi) => hybi.is_complete(),
            Framing::Hixie(_, _) => false,
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => deflate.0.is_complete(),
        };
        is_complete || self.unread.is_some()
    }

    /// Whether all that has come was whole messages and frames, and none of it is unread: if the connection ends here, the
    /// end cuts nothing off.
    ///
    /// In hixie-75, which has no close frame, this tells an end that the peer meant from a connection that broke. Draft 0
    /// has a close frame, but there are clients that end the TCP connection instead. Ask before [`discard`](Self::discard): a
    /// receiver that [is finished](Self::is_finished) has forgotten what had begun, and says true.
    ///
    /// ```
    /// use clws_proto::{Limits, Receiver, Role, Version};
    ///
    /// let mut receiver = Receiver::new(Version::Hixie75, Role::Server, Limits::default());
    /// assert!(receiver.is_between_messages());
    /// assert!(receiver.receive(&mut b"\0half of a".to_owned()).next()?.is_none());
    /// assert!(!receiver.is_between_messages());
    /// # Ok::<(), clws_proto::ProtocolError>(())
    /// ```
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        let has_begun = match &self.framing {
            Framing::Hybi(_, hybi) => hybi.has_begun(),
            Framing::Hixie(_, hixie) => !hixie.is_between_frames(),
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => deflate.0.has_begun(),
        };
        !has_begun && self.unread.is_none()
    }

    /// Whether the input that a reader left unread begins with a close frame: then no message waits before it.
    ///
    /// A reader that takes no more messages for now need not let the end of the connection wait.
    #[must_use]
    pub fn is_close_next(&self) -> bool {
        let Some(unread) = &self.unread else { return false };
        let rest = unread.octets.get(unread.position..).unwrap_or_default();
        match &self.framing {
            Framing::Hybi(_, hybi) => hybi.is_close(rest),
            Framing::Hixie(_, hixie) => hixie.is_close(rest),
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => deflate.0.is_close(rest),
        }
    }

    /// Whether the input that a reader left unread begins with a ping, or goes on with one: then no message waits before it.
    ///
    /// A reader that takes no more messages for now may still answer pings.
    #[must_use]
    pub fn is_ping_next(&self) -> bool {
        let Some(unread) = &self.unread else { return false };
        self.framing.is_ping(unread.octets.get(unread.position..).unwrap_or_default())
    }

    /// Whether a message has begun to come and is not complete. In draft 0 and hixie-75 it is always false.
    #[must_use]
    pub fn is_in_message(&self) -> bool {
        match &self.framing {
            Framing::Hybi(_, hybi) => hybi.is_in_message(),
            Framing::Hixie(_, _) => false,
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => deflate.0.is_in_message(),
        }
    }

    /// Octets of memory held for what is cut off or unread: 0 between messages. (What is kept for compressed messages to refer
    /// back to is counted apart, by `context_size`.)
    #[must_use]
    pub fn held(&self) -> usize {
        let partial = match &self.framing {
            Framing::Hybi(_, hybi) => hybi.held(),
            Framing::Hixie(_, hixie) => hixie.held(),
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => deflate.0.held() + deflate.1.held(),
        };
        partial + self.unread.as_ref().map_or(0, |unread| size_of::<Unread>() + unread.octets.capacity())
    }

    /// Discards all that is held, for a connection that ends: unread input, and a message in progress.
    ///
    /// Returns how many whole data messages were in it that no event has told of. Compressed ones are counted without being
    /// inflated. Nothing more can be received afterwards.
    ///
    /// ```
    /// use clws_proto::{Limits, Receiver, Role, Version};
    ///
    /// let mut receiver = Receiver::new(Version::Rfc6455, Role::Client, Limits::default());
    /// let mut read = [0x81, 0x01, b'a', 0x89, 0x00, 0x82, 0x01, b'b', 0x81, 0x05, b'c'];
    /// drop(receiver.receive(&mut read)); // a reader that stops at once
    /// assert_eq!(receiver.discard(), 2); // "a" and "b"; the ping is no data, and "c" is not complete
    /// assert_eq!(receiver.held(), 0);
    /// ```
    pub fn discard(&mut self) -> u64 {
        let Status { role, finished, .. } = self.framing.status();
        if finished {
            return 0;
        }
        let (mut held, mut position) = self.unread.take().map_or((Vec::new(), 0), |u| (u.octets, u.position));
        if let Some(hybi) = self.framing.hybi() {
            hybi.forget_payload();
        }
        let mut messages = 0;
        loop {
            let input =
                hybi::Input { buffer: &mut held, position: &mut position, min_adoptable_len: usize::MAX };
            let step = match &mut self.framing {
                Framing::Hybi(_, hybi) => hybi.step(input, role, &self.limits, &NoPool, &mut Plain),
                Framing::Hixie(_, hixie) => hixie.step(input.buffer, input.position, &self.limits),
                #[cfg(feature = "deflate")]
                Framing::Deflate(_, deflate) => deflate.0.step(input, role, &self.limits, &NoPool, &mut Skip),
            };
            match step {
                Ok(
                    Decoded::Text(_)
                    | Decoded::Binary(_)
                    | Decoded::InPlace { opcode: Opcode::Text | Opcode::Binary | Opcode::Continuation, .. },
                ) => messages += 1,
                Ok(
                    Decoded::Control(Opcode::Ping | Opcode::Pong, _)
                    | Decoded::InPlace { opcode: Opcode::Ping | Opcode::Pong, .. },
                ) => {}
                // The end of the input, a close frame, or something that breaks the protocol.
                Ok(_) | Err(_) => break,
            }
        }
        self.finish();
        messages
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
        }
    }
}

/// The events of one read; dropping it keeps what was not pulled.
#[derive(Debug)]
pub struct Events<'a> {
    receiver: &'a mut Receiver,
    input: Input<'a>,
    /// The unread rest of earlier input with `input` behind it; empty (and then unused) in the normal case.
    held: Vec<u8>,
    /// Where assembled messages come from and go to.
    buffers: &'a dyn BufferPool,
    /// What was assembled and is lent: a binary message, the body of a control frame.
    part: BufSlice,
    /// A text message that was assembled and is lent.
    text: String,
    position: usize,
}

/// Input, and where it lies.
#[derive(Debug)]
pub enum Input<'a> {
    /// In a buffer that the receiver may change, but not keep.
    Lent(&'a mut [u8]),
    /// In a range of a buffer that a big binary message may keep. An empty `Vec` is left then.
    Owned(&'a mut Vec<u8>, Range<usize>),
    /// In the receiver's own [spare capacity](Receiver::spare_capacity): the number of bytes that were read to it.
    Direct(usize),
}

impl Input<'_> {
    #[inline]
    fn octets(&mut self) -> &mut [u8] {
        match self {
            Self::Lent(octets) => octets,
            Self::Owned(buffer, range) => buffer.get_mut(range.clone()).unwrap_or_default(),
            Self::Direct(_) => &mut [],
        }
    }

    /// How many octets of one message may keep the buffer.
    #[inline]
    const fn min_adoptable_len(&self) -> usize {
        match self {
            Self::Lent(_) | Self::Direct(_) => usize::MAX,
            Self::Owned(buffer, _) => min_adoptable_len(buffer.capacity()),
        }
    }

    /// A message that lies there, with the buffer if it is the last that was read and is min_adoptable_len it.
    #[inline]
    fn payload(&mut self, range: Range<usize>) -> Payload<'_> {
        match self {
            Self::Lent(octets) => Payload::borrowed(octets.get(range).unwrap_or_default()),
            Self::Direct(_) => Payload::borrowed(&[]),
            Self::Owned(buffer, read) => {
                let range = read.start + range.start..read.start + range.end;
                if range.end == read.end && range.len() >= min_adoptable_len(buffer.capacity()) {
                    Payload::owned(buffer, range)
                } else {
                    Payload::borrowed(buffer.get(range).unwrap_or_default())
                }
            }
        }
    }
}

/// What a framing found.
pub(crate) enum Decoded {
    /// All input is consumed.
    NeedInput,
    /// A payload that lies in the input, unmasked, from `start` to `end`.
    InPlace { opcode: Opcode, start: usize, end: usize },
    /// Text that was assembled.
    Text(String),
    /// A binary message that was assembled.
    Binary(BufSlice),
    /// The beginning of a binary message, to the end of the input.
    LargeMessage { header: Header, start: usize },
    /// A control frame that was assembled.
    Control(Opcode, Vec<u8>),
}

impl Events<'_> {
    /// The next event; `Ok(None)` when the input is used up or the receiver [is finished](Receiver::is_finished).
    ///
    /// # Errors
    ///
    /// What the peer did wrong, once; after it there are no more events.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it lends from itself, which an Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, ProtocolError> {
        self.give_back();
        let receiver = &mut *self.receiver;
        let Status { version, role, finished } = receiver.framing.status();
        if finished {
            return Ok(None);
        }
        let (is_input, min_adoptable_len) = match self.held.is_empty() {
            true => (true, self.input.min_adoptable_len()),
            false => (false, usize::MAX),
        };
        let buffer = if is_input { self.input.octets() } else { &mut self.held };
        let limits = &*receiver.limits;
        let input = hybi::Input { buffer, position: &mut self.position, min_adoptable_len };
        // Most are of the first kind: the others are by themselves, so that this stays small for those.
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
                let buffer = if is_input { self.input.octets() } else { &mut self.held };
                (opcode, buffer.get(start..end).unwrap_or_default())
            }
            Ok(Decoded::Text(text)) => {
                self.text = text;
                return Ok(Some(Event::Text(Text::assembled(&mut self.text))));
            }
            Ok(Decoded::Binary(part)) => {
                self.part = part;
                return Ok(Some(Event::Binary(Payload::assembled(&mut self.part))));
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
            Ok(Decoded::Control(opcode, octets)) => {
                self.part = octets.into();
                (opcode, &self.part[..])
            }
            Err(error) => {
                receiver.finish();
                return Err(error);
            }
        };
        match opcode {
            Opcode::Text if version.is_hixie() => Ok(Some(Event::Text(crate::receive::hixie::text(payload)))),
            // RFC 6455 §8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream
            // is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket Connection_."
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
                // RFC 6455 §1.4: "after receiving a control frame indicating the connection should be closed, a peer
                // discards any further data received."
                receiver.finish();
                if version.is_hixie() {
                    return Ok(Some(Event::Close(None)));
                }
                close::parse_body(payload, version).map(|frame| Some(Event::Close(frame)))
            }
            Opcode::Binary | Opcode::Continuation => Ok(Some(Event::Binary(Payload::borrowed(payload)))),
        }
    }
}

impl Events<'_> {
    /// Whether the next event is a ping, as far as the input tells: see [`Receiver::is_ping_next`].
    #[must_use]
    pub fn is_ping_next(&mut self) -> bool {
        let is_input = self.held.is_empty();
        let input = if is_input { self.input.octets() } else { &mut self.held };
        let rest = input.get(self.position..).unwrap_or_default();
        !self.receiver.is_finished() && !rest.is_empty() && self.receiver.framing.is_ping(rest)
    }

    /// Gives the buffer of the last event back, unless it was taken.
    #[inline]
    fn give_back(&mut self) {
        give_back(self.buffers, std::mem::take(&mut self.part).into_buffer());
        give_back(self.buffers, std::mem::take(&mut self.text).into_bytes());
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        self.give_back();
        let (mut octets, mut position) = (std::mem::take(&mut self.held), self.position);
        let len = if octets.is_empty() { self.input.octets().len() } else { octets.len() };
        if position >= len || self.receiver.is_finished() {
            return;
        }
        if octets.is_empty() {
            octets = self.input.octets().get(position..).unwrap_or_default().to_vec();
            position = 0;
        } else if position > len / 2 {
            // What is moved is less than what was pulled since the last time, so that a reader who stops at each event
            // causes linear work in all.
            octets.drain(..position);
            octets.shrink_to(2 * octets.len());
            position = 0;
        }
        self.receiver.unread = Some(Box::new(Unread { octets, position }));
    }
}
