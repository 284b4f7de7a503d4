//! The methods of a sender that queue messages.

use std::num::NonZeroUsize;

use bytes::Bytes;
use bytestring::ByteString;

use crate::buffer::slice::BufSlice;
use crate::error::SendError;
use crate::frame::encode;
use crate::frame::header::{Header, Opcode};
use crate::message::event::{Payload, Text};
use crate::send::Sender;
use crate::send::outbox::CHUNK_LEN;
use crate::send::outbox::fragments::{append_fragments, append_message};
use crate::send::shared::SharedMessage;
use crate::version::Role;

/// An owned message of this length or more is queued without a copy.
pub(super) const MIN_UNCOPIED_LEN: usize = 16 * 1024;

impl Sender {
    /// Queues a text message in frames of at most `frame_size` bytes (`None`: one frame). Draft 0
    /// and hixie-75 ignore `frame_size`.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after a close frame.
    #[inline]
    pub fn text(&mut self, message: &str, frame_size: Option<NonZeroUsize>) -> Result<(), SendError> {
        self.queue_message(Opcode::Text, message.as_bytes(), frame_size)
    }

    /// Queues a binary message in frames of at most `frame_size` bytes (`None`: one frame).
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after a close frame; [`SendError::Unsupported`] in draft 0 and
    /// hixie-75.
    #[inline]
    pub fn binary(&mut self, message: &[u8], frame_size: Option<NonZeroUsize>) -> Result<(), SendError> {
        self.queue_message(Opcode::Binary, message, frame_size)
    }

    /// Queues an owned text message. From 16 KiB on it is not copied.
    ///
    /// # Errors
    ///
    /// Like [`text`](Self::text).
    pub fn text_owned(&mut self, message: impl Into<ByteString>) -> Result<(), SendError> {
        self.queue_bytes(Opcode::Text, message.into().as_bytes())
    }

    /// Queues a text message that the caller also keeps: see [`binary_bytes`](Self::binary_bytes).
    ///
    /// # Errors
    ///
    /// Like [`text`](Self::text).
    pub fn text_bytes(&mut self, message: &ByteString) -> Result<(), SendError> {
        self.queue_bytes(Opcode::Text, message.as_bytes())
    }

    /// Queues an owned binary message. From 16 KiB on it is not copied.
    ///
    /// # Errors
    ///
    /// Like [`binary`](Self::binary).
    pub fn binary_owned(&mut self, message: impl Into<Bytes>) -> Result<(), SendError> {
        self.queue_bytes(Opcode::Binary, &message.into())
    }

    /// Queues a binary message that the caller shares. From 16 KiB on it is not copied.
    ///
    /// The caller keeps its handle and decides where to drop it, for example after it has released
    /// a lock around the sender. A refused message is not changed.
    ///
    /// # Errors
    ///
    /// Like [`binary`](Self::binary).
    pub fn binary_bytes(&mut self, message: &Bytes) -> Result<(), SendError> {
        self.queue_bytes(Opcode::Binary, message)
    }

    /// Queues a received text message. A large message that was assembled from pieces is not
    /// copied.
    ///
    /// # Errors
    ///
    /// Like [`text`](Self::text).
    pub fn forward_text(&mut self, text: Text<'_>) -> Result<(), SendError> {
        if self.is_uncopied(text.len()) && text.is_owned(self.queued() == 0) {
            self.check(Opcode::Text)?;
            return self.queue_slice(Opcode::Text, text.into_buffer().into());
        }
        self.text(&text, None)
    }

    /// Queues a received binary message. A large message is not copied if it was assembled from
    /// pieces or is the last one in a buffer given to
    /// [`receive_owned`](crate::Receiver::receive_owned).
    ///
    /// The message's buffer may be four times as long if nothing else is queued, and otherwise
    /// twice as long. [`queued`](Self::queued) therefore approximates the memory held.
    ///
    /// # Errors
    ///
    /// Like [`binary`](Self::binary).
    pub fn forward_binary(&mut self, payload: Payload<'_>) -> Result<(), SendError> {
        if !self.is_uncopied(payload.len()) {
            return self.binary(&payload, None);
        }
        self.check(Opcode::Binary)?;
        match payload.into_slice(self.queued() == 0) {
            Ok(slice) => self.queue_slice(Opcode::Binary, slice),
            Err(payload) => self.binary(&payload, None),
        }
    }

    /// Queues a message for many clients. It is encoded only if no other sender with this framing
    /// has done so.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after a close frame; [`SendError::Unsupported`] for binary in draft 0
    /// and hixie-75.
    pub fn shared(&mut self, message: &SharedMessage) -> Result<(), SendError> {
        self.check(message.opcode())?;
        if self.version.is_hixie() {
            self.message_outbox().append_shared(message.hixie());
        } else if self.role == Role::Client {
            // A client masks each frame with its own key, so the encoding cannot be shared.
            return self.queue_message(message.opcode(), message.payload(), message.max_frame_size());
        } else {
            #[cfg(feature = "deflate")]
            if let Some(deflation) = self.deflation()
                && deflation.should_compress(message.len())
            {
                if deflation.has_context() {
                    return self.queue_message(message.opcode(), message.payload(), message.max_frame_size());
                }
                if let Some(encoded) = message.deflated(deflation) {
                    self.message_outbox().append_shared(encoded);
                    return Ok(());
                }
            }
            self.message_outbox().append_shared(message.hybi());
        }
        Ok(())
    }

    #[inline]
    pub(super) fn queue_message(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        frame_size: Option<NonZeroUsize>,
    ) -> Result<(), SendError> {
        self.check(opcode)?;
        if payload.len() >= CHUNK_LEN {
            self.outbox().start_chunk();
        }
        if self.version.is_hixie() {
            self.message_outbox().append(|out| encode::hixie_text(out, payload));
        } else if self.extras.is_some() {
            self.queue_transformed(opcode, payload, frame_size);
        } else if let Some(size) = frame_size.filter(|size| payload.len() > size.get()) {
            append_fragments(self.message_outbox(), opcode, payload, size, false, || None);
        } else {
            self.message_outbox().append(|out| encode::hybi(out, opcode, payload, None, || None));
        }
        Ok(())
    }

    /// Queues a client's message, or a message that may be compressed.
    fn queue_transformed(&mut self, opcode: Opcode, payload: &[u8], frame_size: Option<NonZeroUsize>) {
        self.message_outbox();
        let Some(extras) = self.extras.as_deref_mut() else { return };
        #[cfg(feature = "deflate")]
        if let Some(deflation) = &mut extras.deflation
            && deflation.should_compress(payload.len())
        {
            let (outbox, keys) = (&mut self.buffer.get_or_insert_default().outbox, &mut extras.keys);
            let sent = deflation.compress(payload, |compressed| {
                let key = || keys.as_mut().map(|keys| (keys.0)());
                append_message(outbox, opcode, compressed, frame_size, true, key);
            });
            if sent {
                return;
            }
        }
        let outbox = &mut self.buffer.get_or_insert_default().outbox;
        append_message(outbox, opcode, payload, frame_size, false, || extras.key());
    }

    pub(super) fn queue_bytes(&mut self, opcode: Opcode, payload: &Bytes) -> Result<(), SendError> {
        if !self.is_uncopied(payload.len()) {
            return self.queue_message(opcode, payload, None);
        }
        self.check(opcode)?;
        self.append_uncopied(opcode, payload);
        Ok(())
    }

    pub(super) fn append_uncopied(&mut self, opcode: Opcode, payload: &Bytes) {
        self.message_outbox().append(|out| Header::write(out, true, opcode, payload.len(), None));
        self.outbox().append_bytes(payload);
    }

    /// Whether a message of `len` bytes is queued without a copy: it is long, and is sent
    /// unchanged.
    fn is_uncopied(&self, len: usize) -> bool {
        len >= MIN_UNCOPIED_LEN && !self.version.is_hixie() && !self.is_transformed(len)
    }

    /// Whether a message of `len` bytes is masked or compressed.
    fn is_transformed(&self, len: usize) -> bool {
        #[cfg(feature = "deflate")]
        if self.deflation().is_some_and(|deflation| deflation.should_compress(len)) {
            return true;
        }
        let _ = len;
        self.role == Role::Client
    }

    fn queue_slice(&mut self, opcode: Opcode, payload: BufSlice) -> Result<(), SendError> {
        self.check(opcode)?;
        self.message_outbox().append(|out| Header::write(out, true, opcode, payload.len(), None));
        self.outbox().append_slice(payload);
        Ok(())
    }
}
