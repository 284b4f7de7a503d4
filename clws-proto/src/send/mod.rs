pub(crate) mod outbox;
mod pongs;
pub(crate) mod shared;

use std::fmt;
use std::io::{self, IoSlice};
use std::num::NonZeroUsize;

use bytes::Bytes;
use bytestring::ByteString;

use crate::buffer::pool::{BufferPool, NoPool};
use crate::buffer::slice::BufSlice;
use crate::close;
use crate::close::{CloseCode, CloseFrame};
#[cfg(feature = "deflate")]
use crate::deflate::compress::Deflation;
#[cfg(feature = "deflate")]
use crate::deflate::params::DeflateParams;
#[cfg(feature = "deflate")]
use crate::deflate::pool::CodecPool;
use crate::error::SendError;
use crate::frame::encode;
use crate::frame::header::{Header, MAX_HEADER, Opcode};
use crate::message::event::{Payload, Text};
use crate::send::outbox::fragments::{append_fragments, append_message};
use crate::send::outbox::{CUT, Outbox, OutboxBuffer};
use crate::send::shared::SharedMessage;
use crate::version::{Role, Version};

/// Messages from this length on are queued as they are where the caller gives them away.
const BIG: usize = 16 * 1024;

/// The sending half of a connection: messages in, octets for the socket out.
///
/// It is an outbox. Commands encode into it; then write what [`io_slices`](Self::io_slices) shows and tell
/// [`consume`](Self::consume) how much of it went. A `Sender` never refuses for fullness: whoever drives it compares
/// [`queued`](Self::queued) with a bound of its own.
///
/// ```
/// use clws_proto::{Sender, Version};
///
/// let mut sender = Sender::server(Version::Rfc6455);
/// sender.text("Hello", None)?;
///
/// let mut socket = Vec::new(); // anything that implements Write
/// sender.write_to(&mut socket)?;
/// // RFC 6455 §5.7: "A single-frame unmasked text message"
/// assert_eq!(socket, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sender {
    /// What is queued. Nothing in it is of use when it is empty: it may be taken away then, and is when idle.
    buffer: Option<Box<OutboxBuffer>>,
    /// What a server without extensions has not.
    special: Option<Box<Special>>,
    version: Version,
    role: Role,
    close_sent: bool,
    /// Nothing can be sent any more, not even in front of a close frame that is queued.
    sealed: bool,
    /// The driver's own.
    mark: u32,
}

#[derive(Default)]
struct Special {
    /// With the client's role only.
    keys: Option<KeySource>,
    #[cfg(feature = "deflate")]
    deflation: Option<Deflation>,
}

impl Special {
    fn key(&mut self) -> Option<[u8; 4]> {
        self.keys.as_mut().map(|keys| (keys.0)())
    }
}

/// Where masking keys come from.
struct KeySource(Box<dyn FnMut() -> [u8; 4] + Send>);

impl Sender {
    /// The server's half: its frames are not masked.
    #[must_use]
    pub const fn server(version: Version) -> Self {
        Self {
            buffer: None,
            special: None,
            version,
            role: Role::Server,
            close_sent: false,
            sealed: false,
            mark: 0,
        }
    }

    /// The client's half: each frame is masked with a fresh key from `keys`.
    ///
    /// RFC 6455 §5.3: "The masking key needs to be unpredictable; thus, the masking key MUST be derived from a strong
    /// source of entropy" — give it a cryptographic random source. Draft 0 and hixie-75 do not mask and ask for no
    /// key.
    #[must_use]
    pub fn client(version: Version, keys: impl FnMut() -> [u8; 4] + Send + 'static) -> Self {
        let mut special = Box::<Special>::default();
        special.keys = Some(KeySource(Box::new(keys)));
        Self { special: Some(special), role: Role::Client, ..Self::server(version) }
    }

    /// The same with permessage-deflate as it was agreed on: messages from the [threshold] on are compressed, unless they
    /// would not get smaller and no later one may refer back to them.
    ///
    /// Each borrows a compressor from the `codecs`, whose [`DeflateConfig`](crate::DeflateConfig) says how. What it costs
    /// in time is the caller's: `text` and the others return when the message is compressed. Where the agreed window of
    /// this side has 8 bits, which no zlib can do, and for versions other than 13, nothing is compressed.
    ///
    /// [threshold]: crate::DeflateConfig::threshold
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn with_deflate(mut self, params: DeflateParams, codecs: &CodecPool) -> Self {
        if self.version == Version::Rfc6455 {
            let deflation = Deflation::new(self.role, params, codecs);
            self.special.get_or_insert_default().deflation = Some(deflation);
        }
        self
    }

    /// Octets of memory that hold the end of earlier messages, which the next compressed one may refer back to.
    ///
    /// 0 where permessage-deflate or context takeover was not agreed on, and before the first compressed message. Beside
    /// it, permessage-deflate costs a sender 80 octets.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn context_size(&self) -> usize {
        self.deflation().map_or(0, Deflation::context_size)
    }

    /// The version that is spoken.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Which half this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Queues octets that come before the first frame: the answer to the opening handshake.
    ///
    /// So the answer and the first messages go out in one write, in order.
    pub fn preface(&mut self, octets: &[u8]) {
        self.outbox().append(|out| out.extend_from_slice(octets));
        self.pin(self.queued());
    }

    /// Queues a text message, in frames of at most `frame_size` octets (`None`: one frame). Draft 0 and hixie-75 ignore it.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] behind a close frame.
    #[inline]
    pub fn text(&mut self, message: &str, frame_size: Option<NonZeroUsize>) -> Result<(), SendError> {
        self.message(Opcode::Text, message.as_bytes(), frame_size)
    }

    /// Queues a binary message, in frames of at most `frame_size` octets (`None`: one frame).
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] behind a close frame; [`SendError::Unsupported`] in draft 0 and hixie-75.
    #[inline]
    pub fn binary(&mut self, message: &[u8], frame_size: Option<NonZeroUsize>) -> Result<(), SendError> {
        self.message(Opcode::Binary, message, frame_size)
    }

    /// Queues a text message that is given away: a big one (from 16 KiB on) goes out without a copy.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn text_owned(&mut self, message: impl Into<ByteString>) -> Result<(), SendError> {
        self.owned(Opcode::Text, message.into().as_bytes())
    }

    /// Queues a text message of which the caller keeps a share, as [`binary_bytes`](Self::binary_bytes) does.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn text_bytes(&mut self, message: &ByteString) -> Result<(), SendError> {
        self.owned(Opcode::Text, message.as_bytes())
    }

    /// Queues a binary message that is given away: a big one (from 16 KiB on) goes out without a copy.
    ///
    /// # Errors
    ///
    /// As [`binary`](Self::binary).
    pub fn binary_owned(&mut self, message: impl Into<Bytes>) -> Result<(), SendError> {
        self.owned(Opcode::Binary, &message.into())
    }

    /// The same with a message of which the caller keeps a share, and so decides itself where that is dropped: outside of a
    /// lock that it holds around the sender, for instance. A small message is copied, a big one is shared, and one that is
    /// refused is not touched.
    ///
    /// # Errors
    ///
    /// As [`binary`](Self::binary).
    pub fn binary_bytes(&mut self, message: &Bytes) -> Result<(), SendError> {
        self.owned(Opcode::Binary, message)
    }

    /// Queues a text message that came from a peer: a big one that was assembled goes out without a copy.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn forward_text(&mut self, text: Text<'_>) -> Result<(), SendError> {
        if self.keeps(text.len()) && text.is_assembled(self.queued() == 0) {
            self.check(Opcode::Text)?;
            return self.given(Opcode::Text, text.into_buffer().into());
        }
        self.text(&text, None)
    }

    /// Queues a binary message that came from a peer: a big one that was assembled, or is all that was read to a buffer that
    /// was [given](crate::Receiver::receive_owned), goes out without a copy. Its buffer may be four times as long if nothing else is
    /// queued, and twice behind others, so that [`queued`](Self::queued) tells what is held.
    ///
    /// # Errors
    ///
    /// As [`binary`](Self::binary).
    pub fn forward_binary(&mut self, payload: Payload<'_>) -> Result<(), SendError> {
        if !self.keeps(payload.len()) {
            return self.binary(&payload, None);
        }
        self.check(Opcode::Binary)?;
        match payload.into_part(self.queued() == 0) {
            Ok(part) => self.given(Opcode::Binary, part),
            Err(payload) => self.binary(&payload, None),
        }
    }

    /// Queues a message that goes to many, encoding it only if no other sender of this framing has.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] behind a close frame; [`SendError::Unsupported`] for binary in draft 0 and hixie-75.
    pub fn shared(&mut self, message: &SharedMessage) -> Result<(), SendError> {
        self.check(message.opcode())?;
        if self.version.is_hixie() {
            self.outbox().append_shared(message.hixie());
        } else if self.role == Role::Client {
            // A client masks each frame with a key of its own, so there is nothing to share.
            return self.message(message.opcode(), message.payload(), message.frame_size());
        } else {
            #[cfg(feature = "deflate")]
            if let Some(deflation) = self.deflation()
                && deflation.wants(message.len())
            {
                if deflation.has_context() {
                    return self.message(message.opcode(), message.payload(), message.frame_size());
                }
                if let Some(encoded) = message.deflated(deflation) {
                    self.outbox().append_shared(encoded);
                    return Ok(());
                }
            }
            self.outbox().append_shared(message.hybi());
        }
        Ok(())
    }

    /// Queues a ping with a payload of at most 125 octets, behind all that is queued.
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`], [`SendError::Closed`], and [`SendError::Unsupported`] in draft 0 and
    /// hixie-75.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.control(Opcode::Ping, payload)
    }

    /// Queues a pong that no ping asked for (RFC 6455 §5.5.3: "a unidirectional heartbeat"), behind all that is queued.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.control(Opcode::Pong, payload)
    }

    /// Queues the close frame: the beginning of the closing handshake, or its end. Nothing can follow it.
    ///
    /// A code that this version's table lacks is sent as [the nearest it has](CloseCode::nearest_in). A reason of over
    /// 123 bytes is cut off at the end of a character. Draft 0 sends its `FF 00`, which has neither code nor reason.
    /// Hixie-75 [has no close frame](Version::has_close_frame): nothing is queued, and when all that was queued before is
    /// written, the caller ends its side of the TCP connection.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] the second time. [`SendError::InvalidCloseCode`] for a code that must not be on the wire
    /// (RFC 6455 §7.4): nothing is queued, and [`close_without_code`](Self::close_without_code) still closes.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if self.close_sent {
            return Err(SendError::Closed);
        }
        if self.version.is_hixie() {
            if !code.is_allowed_in(Version::Rfc6455) && code != CloseCode::FRAME_TOO_LARGE {
                return Err(SendError::InvalidCloseCode(code.value()));
            }
            self.close_with(&[]);
            return Ok(());
        }
        let code = code.nearest_in(self.version);
        if !code.is_allowed_in(self.version) {
            return Err(SendError::InvalidCloseCode(code.value()));
        }
        let mut body = [0; 125];
        let len = close::write_body(&mut body, code, reason);
        self.close_with(body.get(..len).unwrap_or_default());
        Ok(())
    }

    /// Queues a close frame without a code. A second one is ignored.
    pub fn close_without_code(&mut self) {
        if !self.close_sent {
            self.close_with(&[]);
        }
    }

    /// Answers the peer's close frame with its own code, unless a close frame was sent before.
    pub fn answer_close(&mut self, frame: Option<&CloseFrame<'_>>) {
        // RFC 6455 §5.5.1: "If an endpoint receives a Close frame and did not previously send a Close frame, the
        // endpoint MUST send a Close frame in response. (When sending a Close frame in response, the endpoint
        // typically echos the status code it received.)"
        match frame {
            Some(frame) if !self.version.is_hixie() => {
                // The receiver has checked the code against the table; one made by hand may be wrong, and an answer
                // is due nevertheless.
                if self.close(frame.code, "").is_err() {
                    self.close_without_code();
                }
            }
            _ => self.close_without_code(),
        }
    }

    /// Whether a close frame was queued: nothing more can be sent.
    #[must_use]
    pub const fn close_sent(&self) -> bool {
        self.close_sent
    }

    /// Octets that are queued and not written.
    #[must_use]
    pub const fn queued(&self) -> usize {
        match &self.buffer {
            Some(buffer) => buffer.outbox.queued(),
            None => 0,
        }
    }

    /// Bytes of memory that it holds: the buffers of what is queued, which may be longer, and the end of earlier messages that
    /// compressed ones refer back to. A [`SharedMessage`] that is queued without a copy counts as a reference to it; see
    /// [`SharedMessage::set_meter`].
    #[must_use]
    #[inline]
    pub fn held(&self) -> usize {
        let queued = self.buffer.as_ref().map_or(0, |buffer| buffer.outbox.held());
        #[cfg(feature = "deflate")]
        let queued = queued + self.context_size();
        queued
    }

    /// Begins another buffer where the last one has got long, which the next message would do else. What is queued need not be
    /// moved then to queue more, and is free as it is written: for a peer that is behind.
    pub fn cut(&mut self) {
        if let Some(buffer) = &mut self.buffer {
            buffer.outbox.cut();
        }
    }

    /// A number that its driver keeps here: what it was charged for [what is held](Self::held), for instance. It takes no
    /// memory of its own, and is 0 at first.
    #[must_use]
    pub const fn mark(&self) -> u32 {
        self.mark
    }

    /// Sets that number.
    pub const fn set_mark(&mut self, mark: u32) {
        self.mark = mark;
    }

    /// How many slices [`io_slices`](Self::io_slices) fills to show all that is queued.
    #[must_use]
    pub fn slices(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.outbox.slices())
    }

    /// Puts the octets to be written next into `slices`, for one vectored write; returns how many slices are filled.
    ///
    /// With as many slices as it is given it may show less than is [queued](Self::queued).
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.outbox.io_slices(slices))
    }

    /// Writes what is queued to a blocking writer, until all of it is written.
    ///
    /// It is [`io_slices`](Self::io_slices) and [`consume`](Self::consume) in a loop, for whoever needs no other.
    ///
    /// # Errors
    ///
    /// The writer's; what it took before is consumed.
    pub fn write_to(&mut self, writer: &mut impl io::Write) -> io::Result<()> {
        while self.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = self.io_slices(&mut slices);
            match writer.write_vectored(slices.get(..filled).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.consume(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes note that so many octets were written.
    ///
    /// An emptied buffer of up to 64 KiB is kept for what comes next; [`take_buffer`](Self::take_buffer) takes it away.
    pub fn consume(&mut self, written: usize) {
        self.consume_with(written, &NoPool);
    }

    /// The same, with a pool that big buffers go to when they are written.
    pub fn consume_with(&mut self, written: usize, buffers: &dyn BufferPool) {
        let Some(buffer) = &mut self.buffer else { return };
        buffer.outbox.consume(written, buffers);
        if buffer.floor > 0 {
            self.lower_floor(written);
        }
    }

    /// Takes away the buffer of an outbox that is empty, for another connection to use. `None` where something is queued,
    /// or where it has none.
    #[must_use]
    #[inline]
    pub fn take_buffer(&mut self) -> Option<Box<OutboxBuffer>> {
        if self.queued() == 0 { self.buffer.take() } else { None }
    }

    /// Gives an outbox without a buffer that one, to save it the allocation. One that has its own drops it.
    #[inline]
    pub fn give_buffer(&mut self, buffer: Box<OutboxBuffer>) {
        self.buffer.get_or_insert(buffer);
    }

    #[inline]
    fn buffer(&mut self) -> &mut OutboxBuffer {
        self.buffer.get_or_insert_default()
    }

    #[inline]
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.buffer().outbox
    }

    /// Takes nothing more, as behind a close frame, without sending one: for a peer that has ended its side.
    pub fn seal(&mut self) {
        (self.close_sent, self.sealed) = (true, true);
        if let Some(buffer) = &mut self.buffer {
            buffer.deferred_pong = None;
        }
        // No message will refer back to earlier ones any more.
        #[cfg(feature = "deflate")]
        if let Some(special) = &mut self.special {
            special.deflation = None;
        }
    }

    /// Takes nothing more and drops all that is queued: for a connection that is lost.
    pub fn abandon(&mut self) {
        self.abandon_with(&NoPool);
    }

    /// The same, with a pool that the buffers go to.
    pub fn abandon_with(&mut self, buffers: &dyn BufferPool) {
        self.seal();
        if let Some(buffer) = self.buffer.take() {
            buffer.outbox.abandon(buffers);
        }
    }

    #[inline]
    fn check(&self, opcode: Opcode) -> Result<(), SendError> {
        // RFC 6455 §5.5.1: "The application MUST NOT send any more data frames after sending a Close frame."
        if self.close_sent {
            return Err(SendError::Closed);
        }
        if self.version.is_hixie() && opcode != Opcode::Text {
            return Err(SendError::Unsupported);
        }
        Ok(())
    }

    #[inline]
    fn message(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        frame_size: Option<NonZeroUsize>,
    ) -> Result<(), SendError> {
        self.check(opcode)?;
        if payload.len() >= CUT {
            self.outbox().begin_chunk(); // what is before it need not wait for it
        }
        if self.version.is_hixie() {
            self.outbox().append(|out| encode::hixie_text(out, payload));
        } else if self.special.is_some() {
            self.special_message(opcode, payload, frame_size);
        } else if let Some(size) = frame_size.filter(|size| payload.len() > size.get()) {
            append_fragments(self.outbox(), opcode, payload, size, false, || None);
        } else {
            self.outbox().append(|out| encode::hybi(out, opcode, payload, None, || None));
        }
        Ok(())
    }

    /// A client's message, or one that may be compressed.
    fn special_message(&mut self, opcode: Opcode, payload: &[u8], frame_size: Option<NonZeroUsize>) {
        let Some(special) = self.special.as_deref_mut() else { return };
        #[cfg(feature = "deflate")]
        if let Some(deflation) = &mut special.deflation
            && deflation.wants(payload.len())
        {
            let (outbox, keys) = (&mut self.buffer.get_or_insert_default().outbox, &mut special.keys);
            let sent = deflation.compress(payload, |compressed| {
                let key = || keys.as_mut().map(|keys| (keys.0)());
                append_message(outbox, opcode, compressed, frame_size, true, key);
            });
            if sent {
                return;
            }
        }
        let outbox = &mut self.buffer.get_or_insert_default().outbox;
        append_message(outbox, opcode, payload, frame_size, false, || special.key());
    }

    #[cfg(feature = "deflate")]
    fn deflation(&self) -> Option<&Deflation> {
        self.special.as_deref()?.deflation.as_ref()
    }

    fn owned(&mut self, opcode: Opcode, payload: &Bytes) -> Result<(), SendError> {
        if !self.keeps(payload.len()) {
            return self.message(opcode, payload, None);
        }
        self.check(opcode)?;
        self.outbox().append(|out| Header::write(out, true, opcode, payload.len(), None));
        self.outbox().append_given(payload);
        Ok(())
    }

    /// Whether a message of that length is queued as it is: it is big, and its octets are those on the wire.
    fn keeps(&self, len: usize) -> bool {
        len >= BIG && !self.version.is_hixie() && !self.changes(len)
    }

    /// Whether a message of that length is masked or compressed.
    fn changes(&self, len: usize) -> bool {
        #[cfg(feature = "deflate")]
        if self.deflation().is_some_and(|deflation| deflation.wants(len)) {
            return true;
        }
        let _ = len;
        self.role == Role::Client
    }

    fn given(&mut self, opcode: Opcode, payload: BufSlice) -> Result<(), SendError> {
        self.check(opcode)?;
        self.outbox().append(|out| Header::write(out, true, opcode, payload.len(), None));
        self.outbox().append_owned(payload);
        Ok(())
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        self.check(opcode)?;
        // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be
        // fragmented."
        if payload.len() > 125 {
            return Err(SendError::ControlTooLong);
        }
        self.frame(opcode, payload);
        Ok(())
    }

    fn close_with(&mut self, body: &[u8]) {
        if let Some(buffer) = &mut self.buffer
            && let Some(pong) = buffer.deferred_pong.take()
        {
            self.queue_pong(pong.payload.get(..usize::from(pong.len)).unwrap_or_default());
        }
        self.close_sent = true;
        if !self.version.has_close_frame() {
            // hixie-75 has no closing handshake: the end of the TCP connection is the end of the conversation.
        } else if self.version.is_hixie() {
            // hybi-00 §5.3: "Send a 0xFF byte and a 0x00 byte to the client to indicate the start of the closing
            // handshake."
            self.outbox().append(|out| out.extend_from_slice(&[0xFF, 0x00]));
        } else {
            self.frame(Opcode::Close, body);
        }
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let key = self.special.as_mut().and_then(|special| special.key());
        self.outbox().append(|out| {
            out.reserve(MAX_HEADER + payload.len());
            encode::frame(out, true, opcode, payload, key);
        });
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("version", &self.version)
            .field("role", &self.role())
            .field("queued", &self.queued())
            .field("close_sent", &self.close_sent)
            .finish_non_exhaustive()
    }
}
