use std::fmt;

/// Counts the memory of messages to many while they wait in outboxes: see [`SharedMessage::set_meter`](crate::SharedMessage::set_meter).
///
/// Both methods are called while an outbox is changed, from any thread.
pub trait Meter: fmt::Debug + Send + Sync {
    /// A message waits in a first outbox, and holds so many bytes from now on.
    fn charge(&self, bytes: usize);

    /// It waits in no outbox any more: the bytes that were charged for it.
    fn release(&self, bytes: usize);
}
