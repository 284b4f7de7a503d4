//! A message that is not encoded yet.

use std::num::NonZeroUsize;

use bytes::Bytes;
use bytestring::ByteString;

use crate::buffer::pool::BufferPool;
use crate::buffer::receipt::{Fate, Receipt};
use crate::frame::header::Opcode;
use crate::send::backlog::policy::SlowPolicy;
use crate::send::shared::{Held, SharedMessage};

/// The bytes that a waiting message counts in addition to its length.
const OVERHEAD: usize = 128;

/// Identifies messages of which only the newest must wait: a scope, such as a group, and a key in
/// it.
pub type Key = (u64, u64);

/// A message, or a ping or pong, for [`Sender::queue`](crate::Sender::queue). It is encoded and
/// compressed when it enters the outbox. Until then it can be dropped.
#[derive(Debug)]
pub struct Pending {
    pub(in crate::send) content: Content,
    pub(in crate::send) frame_size: Option<NonZeroUsize>,
    pub(in crate::send) is_compressed: bool,
    pub(in crate::send) key: Option<Key>,
    pub(in crate::send) policy: Option<SlowPolicy>,
    pub(in crate::send) receipt: Option<Box<dyn Receipt>>,
}

#[derive(Debug)]
pub(in crate::send) enum Content {
    Copied(Opcode, Vec<u8>),
    Owned(Opcode, Bytes),
    Shared(Held),
}

impl Pending {
    /// A text message. The text is copied.
    #[must_use]
    pub fn text(message: &str) -> Self {
        Self::new(Content::Copied(Opcode::Text, message.into()))
    }

    /// A binary message. The bytes are copied.
    #[must_use]
    pub fn binary(message: &[u8]) -> Self {
        Self::new(Content::Copied(Opcode::Binary, message.into()))
    }

    /// A text message that the caller may share. It is not copied while it waits.
    #[must_use]
    pub fn text_bytes(message: ByteString) -> Self {
        Self::new(Content::Owned(Opcode::Text, message.into_bytes()))
    }

    /// A binary message that the caller may share. It is not copied while it waits.
    #[must_use]
    pub fn binary_bytes(message: Bytes) -> Self {
        Self::new(Content::Owned(Opcode::Binary, message))
    }

    /// A message to many clients. Its [meter](SharedMessage::set_meter) counts it once while it
    /// waits for any number of clients.
    #[must_use]
    pub fn shared(message: &SharedMessage) -> Self {
        Self::new(Content::Shared(message.hold()))
    }

    /// A ping, as [`Sender::ping`](crate::Sender::ping) sends it.
    #[must_use]
    pub fn ping(payload: &[u8]) -> Self {
        Self::new(Content::Copied(Opcode::Ping, payload.into()))
    }

    /// A pong, as [`Sender::pong`](crate::Sender::pong) sends it.
    #[must_use]
    pub fn pong(payload: &[u8]) -> Self {
        Self::new(Content::Copied(Opcode::Pong, payload.into()))
    }

    const fn new(content: Content) -> Self {
        Self { content, frame_size: None, is_compressed: true, key: None, policy: None, receipt: None }
    }

    /// Splits the message into fragments of at most `frame_size` bytes. A shared message keeps its
    /// own frame size.
    #[must_use]
    pub const fn frame_size(mut self, frame_size: Option<NonZeroUsize>) -> Self {
        self.frame_size = frame_size;
        self
    }

    /// Sends the message uncompressed, although permessage-deflate was negotiated.
    #[must_use]
    pub const fn uncompressed(mut self) -> Self {
        self.is_compressed = false;
        self
    }

    /// Replaces the waiting message with this key.
    #[must_use]
    pub const fn key(mut self, key: Option<Key>) -> Self {
        self.key = key;
        self
    }

    /// Sets the policy of this message, in place of the sender's own
    /// [policy](crate::Sender::set_policy).
    #[must_use]
    pub const fn policy(mut self, policy: Option<SlowPolicy>) -> Self {
        self.policy = policy;
        self
    }

    /// Asks to be told what becomes of the message.
    #[must_use]
    pub fn receipt(mut self, receipt: Box<dyn Receipt>) -> Self {
        self.receipt = Some(receipt);
        self
    }

    /// The bytes of the message in one uncompressed frame, and an allowance for the other memory of
    /// a waiting message. Without the allowance, many short messages would hold far more than the
    /// limits permit.
    pub(in crate::send) fn len(&self) -> usize {
        let payload = match &self.content {
            Content::Copied(_, payload) => payload.len(),
            Content::Owned(_, payload) => payload.len(),
            Content::Shared(message) => message.message().len(),
        };
        let header = match payload {
            0..=125 => 2,
            126..=0xFFFF => 4,
            _ => 10,
        };
        payload + header + OVERHEAD
    }

    /// The memory that the message holds, without the entry in the backlog. A shared message is
    /// counted by its meter.
    pub(in crate::send) fn held(&self) -> usize {
        match &self.content {
            Content::Copied(_, payload) => payload.capacity(),
            Content::Owned(_, payload) => payload.len(),
            Content::Shared(_) => 0,
        }
    }

    pub(in crate::send) const fn is_control(&self) -> bool {
        matches!(self.content, Content::Copied(Opcode::Ping | Opcode::Pong, _))
    }

    #[cfg(test)]
    pub(in crate::send) fn payload(&self) -> &[u8] {
        match &self.content {
            Content::Copied(_, payload) => payload,
            Content::Owned(_, payload) => payload,
            Content::Shared(message) => message.message().payload(),
        }
    }

    pub(in crate::send) fn opcode(&self) -> Opcode {
        match &self.content {
            Content::Copied(opcode, _) | Content::Owned(opcode, _) => *opcode,
            Content::Shared(message) => message.message().opcode(),
        }
    }

    /// Drops the message. Everything that may be code of the application goes to the pool.
    pub(in crate::send) fn release(mut self, fate: Fate, buffers: &dyn BufferPool) {
        if let Some(receipt) = self.receipt.take() {
            buffers.settle(receipt, fate);
        }
        self.content.release(buffers);
    }
}

impl Content {
    pub(in crate::send) fn release(self, buffers: &dyn BufferPool) {
        match self {
            Self::Copied(..) => {}
            Self::Owned(_, bytes) => buffers.discard(bytes),
            Self::Shared(message) => message.release(buffers),
        }
    }
}
