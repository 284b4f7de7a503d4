//! The size and the memory of queues of messages that wait for a handler.

use std::collections::VecDeque;

/// The bytes that each queued message counts in addition to its payload, at least.
pub(crate) const MESSAGE_OVERHEAD: usize = 64;

/// The messages that an empty queue keeps room for.
const MIN_CAPACITY: usize = 16;

/// Frees the memory of an empty queue that a burst has grown: idle clients hold little.
pub(crate) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > MIN_CAPACITY {
        *queue = VecDeque::new();
    }
}
