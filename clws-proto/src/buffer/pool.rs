//! Pools of buffers.

use std::fmt;

use bytes::Bytes;

use crate::buffer::receipt::{Fate, Receipt};

/// A pool of large buffers for a driver of many connections.
///
/// Allocating memory for each large message costs more than the message: the system maps the
/// memory, clears it and takes it back. [`Receiver::receive_with`](crate::Receiver::receive_with)
/// asks the pool for a buffer once a message is large enough to matter. The pool gets the buffer
/// back when the message is done. If the message is forwarded, the pool gets the buffer back after
/// it is written ([`Sender::consume_with`](crate::Sender::consume_with)). The pool decides how much
/// memory it keeps.
pub trait BufferPool: fmt::Debug {
    /// Returns a buffer with a capacity from `min_capacity` to `max_capacity`, or an empty `Vec`.
    ///
    /// The upper bound keeps a peer from holding much more memory than it sent. A capacity near
    /// that bound saves moving the message later. The buffer's content does not matter. Initialised
    /// content saves work, because safe code must initialise the memory it reads into.
    fn acquire(&self, min_capacity: usize, max_capacity: usize) -> Vec<u8>;

    /// Takes a buffer back, or drops it.
    fn release(&self, buffer: Vec<u8>);

    /// Drops a message that was given to the [`Sender`](crate::Sender) as [`Bytes`] and is no
    /// longer needed.
    ///
    /// The owner of the bytes may be of any type ([`Bytes::from_owner`]), so dropping it may run
    /// any code. A driver that holds a lock around the `Sender` can keep the bytes here until it
    /// has released the lock. By default they are dropped at once.
    fn discard(&self, bytes: Bytes) {
        drop(bytes);
    }

    /// Passes the end of a message to its receipt, which may run any code. A driver that holds a
    /// lock around the `Sender` can keep both until it has released the lock.
    fn settle(&self, receipt: Box<dyn Receipt>, fate: Fate) {
        receipt.settle(fate);
    }
}

/// A [`BufferPool`] that keeps nothing: buffers are allocated and freed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPool;

impl BufferPool for NoPool {
    fn acquire(&self, _min_capacity: usize, _max_capacity: usize) -> Vec<u8> {
        Vec::new()
    }

    fn release(&self, _buffer: Vec<u8>) {}
}

/// Shorter messages do not use the pool.
pub(crate) const MIN_POOLED_LEN: usize = 16 * 1024;

/// The maximum ratio of a buffer's capacity to the bytes received.
pub(crate) const MAX_CAPACITY_RATIO: usize = 4;

/// Acquires a buffer from the pool. `None` if the pool has no buffer whose capacity is in the
/// range.
pub(crate) fn acquire_fitting(
    buffers: &dyn BufferPool,
    min_capacity: usize,
    max_capacity: usize,
) -> Option<Vec<u8>> {
    if min_capacity < MIN_POOLED_LEN {
        return None;
    }
    let buffer = buffers.acquire(min_capacity, max_capacity);
    if (min_capacity..=max_capacity).contains(&buffer.capacity()) {
        return Some(buffer);
    }
    release_to(buffers, buffer);
    None
}

/// The minimum length of a message that may keep the read buffer of this capacity. The 8 KiB allow
/// for other data in the buffer.
pub(crate) const fn min_adoptable_len(capacity: usize) -> usize {
    let len = capacity.saturating_sub(8 * 1024) / MAX_CAPACITY_RATIO;
    if len > MIN_POOLED_LEN { len } else { MIN_POOLED_LEN }
}

/// Whether `len` bytes fill at least half of a buffer. Only then may they keep it for a long time.
pub(crate) const fn fills_half(len: usize, capacity: usize) -> bool {
    capacity / 2 <= len
}

/// Releases a buffer to the pool, unless it is empty.
#[inline]
pub(crate) fn release_to(buffers: &dyn BufferPool, buffer: Vec<u8>) {
    if buffer.capacity() > 0 {
        buffers.release(buffer);
    }
}
