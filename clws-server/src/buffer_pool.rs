//! Buffers that the connections of one thread pass on to each other: an idle connection holds no
//! buffer, and a busy connection does not allocate.
//!
//! Only the threads of shards keep buffers, at most 44 MiB each. A shard frees them when its last
//! connection has ended.

use std::cell::{Cell, RefCell};
use std::thread::LocalKey;

use clws_proto::Sender;
use clws_proto::buffer::{BufferPool, OutboxBuffer};

use crate::sync;

/// The most bytes of outboxes that a thread keeps.
const OUTBOX_BYTES: usize = 4 << 20;

/// The most outboxes that a thread keeps. A broadcast needs many at once.
const OUTBOX_COUNT: usize = 1024;

/// The smallest capacity that is kept for messages. The allocator reuses smaller buffers as well.
const MIN_BIG: usize = 64 * 1024;

/// The most bytes of big buffers that a thread keeps. Fresh memory from the system costs a page
/// fault for each 4 KiB, which is more than the message in it costs.
///
/// Two of the biggest messages that the default limits allow fit, with some smaller ones.
const BIG_BYTES: usize = 40 << 20;

/// The most big buffers that a thread keeps.
const BIG_COUNT: usize = 64;

thread_local! {
    static OUTBOXES: RefCell<KeptBuffers<Box<OutboxBuffer>>> =
        const { RefCell::new(KeptBuffers::new(OUTBOX_BYTES, OUTBOX_COUNT)) };
    static BIGS: RefCell<KeptBuffers<Vec<u8>>> = const { RefCell::new(KeptBuffers::new(BIG_BYTES, BIG_COUNT)) };
}

sync::thread_local! {
    /// It has no destructor, so the destructors of other thread-locals can read it.
    static IS_KEEPING: Cell<bool> = const { Cell::new(false) };
}

/// Sets whether the current thread keeps buffers. A thread that keeps buffers must call
/// [`release_memory`] when it no longer needs them.
pub(crate) fn keep_on_this_thread(keep: bool) {
    let _ = IS_KEEPING.try_with(|keeping| keeping.set(keep));
}

#[inline]
fn is_keeping() -> bool {
    IS_KEEPING.try_with(Cell::get).unwrap_or(false)
}

/// Gives an empty sender a buffer to encode into, if the thread keeps one.
#[inline]
pub(crate) fn lend(sender: &mut Sender) {
    if let Some(Some(buffer)) = with_kept(&OUTBOXES, KeptBuffers::take) {
        sender.give_buffer(buffer);
    }
}

/// Takes the buffer of an empty sender, for the next sender on this thread.
#[inline]
pub(crate) fn take_back(sender: &mut Sender) {
    if let Some(buffer) = sender.take_buffer()
        && is_keeping()
    {
        with_kept(&OUTBOXES, |kept| kept.put(buffer));
    }
}

/// Returns a buffer of `len` bytes. A kept buffer may be larger by up to a half.
pub(crate) fn take(len: usize) -> Vec<u8> {
    let buffer = take_fitting(len, len + len / 2);
    if buffer.capacity() > 0 { buffer } else { vec![0; len] }
}

/// Drops the buffers of this thread and forgets its counts.
#[cfg(test)]
pub(crate) fn clear() {
    OUTBOXES.set(KeptBuffers::new(OUTBOX_BYTES, OUTBOX_COUNT));
    BIGS.set(KeptBuffers::new(BIG_BYTES, BIG_COUNT));
}

/// Keeps a big buffer for the next connection on this thread. Drops any other buffer.
pub(crate) fn give(buffer: Vec<u8>) {
    if buffer.capacity() >= MIN_BIG && is_keeping() {
        with_kept(&BIGS, |kept| kept.put_big(buffer));
    }
}

/// Frees the buffers of this thread.
pub(crate) fn release_memory() {
    drop(with_kept(&OUTBOXES, KeptBuffers::take_all));
    drop(with_kept(&BIGS, KeptBuffers::take_all));
}

fn take_fitting(least: usize, most: usize) -> Vec<u8> {
    with_kept(&BIGS, |kept| kept.take_fitting(least, most)).unwrap_or_default()
}

/// Calls a closure with the kept buffers of one kind. Returns `None` on a thread that has dropped
/// its thread-locals: the destructor of another thread-local may send to a client.
#[inline]
fn with_kept<T, R>(
    kept: &'static LocalKey<RefCell<KeptBuffers<T>>>,
    call: impl FnOnce(&mut KeptBuffers<T>) -> R,
) -> Option<R> {
    kept.try_with(|kept| kept.try_borrow_mut().ok().map(|mut kept| call(&mut kept))).ok().flatten()
}

/// The pool for big messages that arrive in pieces or are written from their own buffer.
#[derive(Debug)]
pub(crate) struct SharedBuffers;

impl BufferPool for SharedBuffers {
    fn acquire(&self, least: usize, most: usize) -> Vec<u8> {
        take_fitting(least, most)
    }

    fn release(&self, buffer: Vec<u8>) {
        give(buffer);
    }
}

/// The buffers of one kind that a thread keeps, with their limits.
struct KeptBuffers<T> {
    buffers: Vec<T>,
    bytes: usize,
    max_bytes: usize,
    max_count: usize,
}

trait Capacity {
    /// The bytes of memory that a buffer holds.
    fn bytes(&self) -> usize;
}

impl Capacity for Vec<u8> {
    fn bytes(&self) -> usize {
        self.capacity()
    }
}

impl Capacity for Box<OutboxBuffer> {
    fn bytes(&self) -> usize {
        self.capacity()
    }
}

impl<T: Capacity> KeptBuffers<T> {
    const fn new(max_bytes: usize, max_count: usize) -> Self {
        Self { buffers: Vec::new(), bytes: 0, max_bytes, max_count }
    }

    fn take_all(&mut self) -> Vec<T> {
        self.bytes = 0;
        std::mem::take(&mut self.buffers)
    }

    #[inline]
    fn take(&mut self) -> Option<T> {
        let buffer = self.buffers.pop()?;
        self.bytes -= buffer.bytes();
        Some(buffer)
    }

    #[inline]
    fn put(&mut self, buffer: T) {
        if self.bytes + buffer.bytes() <= self.max_bytes && self.buffers.len() < self.max_count {
            self.bytes += buffer.bytes();
            self.buffers.push(buffer);
        }
    }
}

impl KeptBuffers<Vec<u8>> {
    fn put_big(&mut self, buffer: Vec<u8>) {
        if self.bytes + buffer.capacity() > self.max_bytes || self.buffers.len() >= self.max_count {
            self.make_room(buffer.capacity());
        }
        self.put(buffer);
    }

    /// Drops the biggest buffer if it is bigger than `bytes`, or else the oldest buffer if there
    /// are too many. So unused buffers do not displace useful ones.
    #[cold]
    fn make_room(&mut self, bytes: usize) {
        let sizes = self.buffers.iter().map(Vec::capacity).enumerate();
        let index = match sizes.max_by_key(|(_, size)| *size) {
            Some((index, size)) if size > bytes => index,
            Some(_) if self.buffers.len() >= self.max_count => 0,
            _ => return,
        };
        self.bytes -= self.buffers.remove(index).capacity();
    }

    /// Takes the biggest buffer of `least` to `most` bytes. Of equal buffers it takes the most
    /// recently used.
    fn take_fitting(&mut self, least: usize, most: usize) -> Vec<u8> {
        let fits = |(_, buffer): &(usize, &Vec<u8>)| (least..=most).contains(&buffer.capacity());
        let best = self.buffers.iter().enumerate().filter(fits).max_by_key(|(_, buffer)| buffer.capacity());
        let Some((index, _)) = best else { return Vec::new() };
        let buffer = self.buffers.remove(index); // keeps the order; the list is short
        self.bytes -= buffer.capacity();
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_than_its_limits() {
        let mut kept = KeptBuffers::new(1000, 3);
        for capacity in [400, 500, 200, 90] {
            kept.put(Vec::with_capacity(capacity));
        }
        assert_eq!((kept.buffers.len(), kept.bytes), (3, 990), "200 more bytes exceed the limit");
        kept.put(Vec::with_capacity(1));
        assert_eq!(kept.buffers.len(), 3, "a fourth buffer exceeds the limit");
        assert_eq!(kept.take_fitting(100, 450).capacity(), 400, "the biggest that fits");
        assert_eq!(kept.take_fitting(100, 450).capacity(), 0, "500 bytes are too many, 90 too few");
        kept.put(Vec::with_capacity(400));
        let sum: usize = (0..3).map(|_| kept.take().unwrap().capacity()).sum();
        assert_eq!((sum, kept.bytes, kept.take()), (990, 0, None));
    }

    #[test]
    fn a_big_buffer_makes_room_for_smaller_ones() {
        let mut kept = KeptBuffers::new(1000, 3);
        for capacity in [900, 300, 300, 800] {
            kept.put_big(Vec::with_capacity(capacity));
        }
        let capacities =
            |kept: &KeptBuffers<Vec<u8>>| kept.buffers.iter().map(Vec::capacity).collect::<Vec<_>>();
        assert_eq!(
            (capacities(&kept), kept.bytes),
            (vec![300, 300], 600),
            "a smaller buffer does not make room for a bigger one"
        );
        kept.put_big(Vec::with_capacity(100));
        kept.put_big(Vec::with_capacity(350));
        assert_eq!(
            (capacities(&kept), kept.bytes),
            (vec![300, 100, 350], 750),
            "the oldest of too many buffers makes room"
        );
        kept.put_big(Vec::with_capacity(200));
        assert_eq!(
            (capacities(&kept), kept.bytes),
            (vec![300, 100, 200], 600),
            "the biggest of too many buffers makes room"
        );
    }
}
