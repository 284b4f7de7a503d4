//! Queueing messages.

use std::num::NonZeroUsize;

use bytes::Bytes;

use crate::buffer::slice::BufSlice;
use crate::error::SendError;
use crate::frame::encode;
use crate::frame::header::{Header, Opcode};
use crate::message::event::{Payload, Text};
use crate::send::Sender;
use crate::send::outbox::CUT;
use crate::send::outbox::fragments::{append_fragments, append_message};
use crate::send::shared::SharedMessage;
use crate::version::Role;

/// Messages from this length on are queued as they are where the caller gives them away.
const BIG: usize = 16 * 1024;

impl Sender {
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
    pub fn text_owned(&mut self, message: impl Into<String>) -> Result<(), SendError> {
        self.owned(Opcode::Text, &Bytes::from(message.into()))
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
            return self.message(message.opcode(), message.payload(), message.max_frame_size());
        } else {
            #[cfg(feature = "deflate")]
            if let Some(deflation) = self.deflation()
                && deflation.wants(message.len())
            {
                if deflation.has_context() {
                    return self.message(message.opcode(), message.payload(), message.max_frame_size());
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
}
