//! Memory accounting of shared messages.

use std::fmt;

/// Counts the memory that shared messages hold while they are queued. See
/// [`SharedMessage::set_meter`](crate::SharedMessage::set_meter).
///
/// Any thread may call these methods, while it changes an outbox.
pub trait Meter: fmt::Debug + Send + Sync {
    /// Adds the bytes of an encoded message when the first outbox queues it.
    fn charge(&self, bytes: usize);

    /// Subtracts the same number of bytes when no outbox holds the message.
    fn release(&self, bytes: usize);
}
