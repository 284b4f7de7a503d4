//! What became of a queued message, for a driver that asked for it.

use std::fmt;

/// The end of a queued message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All its bytes were [consumed](crate::Sender::consume): the socket has taken them.
    Written,
    /// It was dropped, or replaced by a newer message with its key, before any byte was written.
    Dropped,
    /// The connection ended before all its bytes were written.
    Lost,
}

/// Is told once what became of a message: see [`Pending::receipt`](crate::backlog::Pending).
///
/// The sender passes it to [`BufferPool::settle`](crate::buffer::BufferPool::settle). A receipt
/// that is dropped without a call belongs to a sender that was dropped: the message is lost.
pub trait Receipt: Send + fmt::Debug {
    /// The message has come to its end.
    fn settle(self: Box<Self>, fate: Fate);
}
