//! Encoding messages that were to wait.

use std::mem;
use std::num::NonZeroUsize;

use bytes::Bytes;

use crate::buffer::pool::BufferPool;
use crate::error::SendError;
use crate::frame::header::Opcode;
use crate::send::Sender;
use crate::send::backlog::pending::{Content, Pending};
use crate::send::messages::MIN_UNCOPIED_LEN;
use crate::send::outbox::fragments::append_message;
use crate::send::shared::SharedMessage;
use crate::version::Role;

impl Sender {
    pub(super) fn check_pending(&self, message: &Pending) -> Result<(), SendError> {
        let opcode = message.opcode();
        self.check(opcode)?;
        // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less".
        match &message.content {
            Content::Copied(Opcode::Ping | Opcode::Pong, payload) if payload.len() > 125 => {
                Err(SendError::ControlTooLong)
            }
            _ => Ok(()),
        }
    }

    /// Encodes a message that was checked. It may have waited since, so a close frame may be next.
    pub(super) fn encode_pending(&mut self, mut message: Pending, buffers: &dyn BufferPool) {
        let receipt = message.receipt.take();
        // A close frame that follows refuses messages that come later, and this one came before.
        let close_sent = mem::replace(&mut self.close_sent, false);
        let encoded = self.encode_content(&message);
        self.close_sent = close_sent;
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        if let Some(receipt) = receipt {
            let buffer = self.buffer();
            let end = buffer.outbox.queued();
            buffer.backlog.get_or_insert_default().receipts.push(end, receipt);
        }
        message.content.release(buffers);
    }

    fn encode_content(&mut self, message: &Pending) -> Result<(), SendError> {
        let frame_size = message.frame_size;
        match &message.content {
            Content::Copied(opcode @ (Opcode::Ping | Opcode::Pong), payload) => {
                self.queue_frame(*opcode, payload);
                Ok(())
            }
            Content::Copied(opcode, payload) if message.is_compressed => {
                self.queue_message(*opcode, payload, frame_size)
            }
            Content::Owned(opcode, payload) if message.is_compressed && frame_size.is_none() => {
                self.queue_bytes(*opcode, payload)
            }
            Content::Owned(opcode, payload) if message.is_compressed => {
                self.queue_message(*opcode, payload, frame_size)
            }
            Content::Shared(shared) if message.is_compressed => self.shared(shared.message()),
            Content::Copied(opcode, payload) => self.queue_uncompressed(*opcode, payload, frame_size),
            Content::Owned(opcode, payload) => self.queue_bytes_uncompressed(*opcode, payload, frame_size),
            Content::Shared(shared) => self.shared_uncompressed(shared.message()),
        }
    }

    fn queue_bytes_uncompressed(
        &mut self,
        opcode: Opcode,
        payload: &Bytes,
        frame_size: Option<NonZeroUsize>,
    ) -> Result<(), SendError> {
        let is_long = payload.len() >= MIN_UNCOPIED_LEN;
        if is_long && frame_size.is_none() && self.role == Role::Server && !self.version.is_hixie() {
            self.check(opcode)?;
            self.append_uncopied(opcode, payload);
            return Ok(());
        }
        self.queue_uncompressed(opcode, payload, frame_size)
    }

    fn queue_uncompressed(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        frame_size: Option<NonZeroUsize>,
    ) -> Result<(), SendError> {
        if self.version.is_hixie() || self.extras.is_none() {
            return self.queue_message(opcode, payload, frame_size);
        }
        self.check(opcode)?;
        self.message_outbox();
        let Some(extras) = self.extras.as_deref_mut() else { return Ok(()) };
        let outbox = &mut self.buffer.get_or_insert_default().outbox;
        append_message(outbox, opcode, payload, frame_size, false, || extras.key());
        Ok(())
    }

    /// Like [`shared`](Self::shared), for a message that is not to be compressed.
    pub fn shared_uncompressed(&mut self, message: &SharedMessage) -> Result<(), SendError> {
        self.check(message.opcode())?;
        if self.version.is_hixie() {
            self.message_outbox().append_shared(message.hixie());
        } else if self.role == Role::Client {
            let (opcode, frame_size) = (message.opcode(), message.max_frame_size());
            return self.queue_uncompressed(opcode, message.payload(), frame_size);
        } else {
            self.message_outbox().append_shared(message.hybi());
        }
        Ok(())
    }
}
