use std::fmt;

use bytes::Bytes;

/// A pool that big buffers come from and go back to, for a driver of many connections.
///
/// Fresh memory for each big message costs more than the message: the system maps it, clears it and takes it back. A
/// pool is asked when so much of a message has come that it matters
/// ([`Receiver::receive_with`](crate::Receiver::receive_with)), and is given the buffer when the message is done or,
/// forwarded, has been written ([`Sender::consume_with`](crate::Sender::consume_with)). How much it keeps is its own
/// decision.
pub trait BufferPool: fmt::Debug {
    /// A buffer for a message of which `least` octets have come or are coming: of that capacity at least, and of `most` at
    /// most, so that no peer holds much more than it sent; the nearer to `most`, the seldomer the message moves. Its content
    /// does not matter, and it helps if it has some: safe code has to initialise what it reads into. An empty `Vec` where
    /// there is none that fits.
    fn acquire(&self, least: usize, most: usize) -> Vec<u8>;

    /// Takes a buffer back, or drops it.
    fn release(&self, buffer: Vec<u8>);

    /// Drops the bytes of a message that was given to the [`Sender`](crate::Sender) as [`Bytes`] and is written, or never will
    /// be. Their owner may be of any kind ([`Bytes::from_owner`]), and its drop may run any code. A driver that holds a lock
    /// of its own around the `Sender` keeps them here until that is free. The default drops them at once.
    fn discard(&self, bytes: Bytes) {
        drop(bytes);
    }
}

/// No pool: buffers are allocated and freed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPool;

impl BufferPool for NoPool {
    fn acquire(&self, _least: usize, _most: usize) -> Vec<u8> {
        Vec::new()
    }

    fn release(&self, _buffer: Vec<u8>) {}
}

/// Messages under this are not min_adoptable_len a buffer of the pool.
pub(crate) const POOLED: usize = 16 * 1024;

/// A buffer has at most so many times the octets that came.
pub(crate) const MOST_TIMES: usize = 4;

/// A buffer of the pool for `least` octets, if it has one of not over `most`.
pub(crate) fn fitting(buffers: &dyn BufferPool, least: usize, most: usize) -> Option<Vec<u8>> {
    if least < POOLED {
        return None;
    }
    let buffer = buffers.acquire(least, most);
    if (least..=most).contains(&buffer.capacity()) {
        return Some(buffer);
    }
    give_back(buffers, buffer);
    None
}

/// From how many octets on a message may keep the buffer of that capacity that it was read to, the octets around it counted
/// leniently.
pub(crate) const fn min_adoptable_len(capacity: usize) -> usize {
    let octets = capacity.saturating_sub(8 * 1024) / MOST_TIMES;
    if octets > POOLED { octets } else { POOLED }
}

/// Whether so many octets fill half of a buffer of that capacity, and so may keep it for as long as they are kept.
pub(crate) const fn is_snug(octets: usize, capacity: usize) -> bool {
    capacity / 2 <= octets
}

/// Gives a buffer to the pool, if it is one.
#[inline]
pub(crate) fn give_back(buffers: &dyn BufferPool, buffer: Vec<u8>) {
    if buffer.capacity() > 0 {
        buffers.release(buffer);
    }
}
