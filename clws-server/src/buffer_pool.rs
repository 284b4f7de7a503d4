//! BufferPool that the connections of one thread hand on: an idle connection holds none, a busy one does not allocate.
//!
//! Only the threads of shards keep some, at most 44 MiB each, for they can tell when the last connection has gone and free them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::thread::LocalKey;

use bytes::Bytes;
use clws_proto::Sender;
use clws_proto::buffer::{BufferPool, OutboxBuffer};

use crate::config::Config;
use crate::guard::discard;
use crate::wake;

/// The most octets of outboxes that a thread keeps, and how many: a broadcast needs many at once.
const OUTBOX_OCTETS: usize = 4 << 20;
const OUTBOX_COUNT: usize = 1024;

/// A buffer under this capacity is not kept for messages: the allocator hands it on as well.
const BIG: usize = 64 * 1024;

/// The most octets of big buffers that a thread keeps. Memory that is fresh from the system costs a page fault for
/// each 4 KiB, which is more than the message that it is for.
///
/// Two of the biggest messages that the default limits let in, and some smaller ones.
const BIG_OCTETS: usize = 40 << 20;

thread_local! {
    static OUTBOXES: RefCell<Shelf<Box<OutboxBuffer>>> =
        const { RefCell::new(Shelf::new(OUTBOX_OCTETS, OUTBOX_COUNT)) };
    static BIGS: RefCell<Shelf<Vec<u8>>> = const { RefCell::new(Shelf::new(BIG_OCTETS, 64)) };
}

/// Gives a sender that has nothing queued what it encodes into, if there is some to spare.
#[inline]
pub(crate) fn lend(sender: &mut Sender) {
    if let Some(Some(buffer)) = on(&OUTBOXES, Shelf::take) {
        sender.give_buffer(buffer);
    }
}

/// Takes from a sender that has nothing queued what it encodes into, for the next one on this thread.
#[inline]
pub(crate) fn take_back(sender: &mut Sender) {
    if let Some(buffer) = sender.take_buffer()
        && wake::is_shard()
    {
        on(&OUTBOXES, |shelf| shelf.give(buffer));
    }
}

/// A buffer of so many octets, or not many more.
pub(crate) fn take(octets: usize) -> Vec<u8> {
    let buffer = take_fitting(octets, octets + octets / 2);
    if buffer.capacity() > 0 { buffer } else { vec![0; octets] }
}

/// Drops what this thread keeps.
#[cfg(test)]
pub(crate) fn clear() {
    OUTBOXES.set(Shelf::new(OUTBOX_OCTETS, OUTBOX_COUNT));
    BIGS.set(Shelf::new(BIG_OCTETS, 64));
}

/// Gives a big buffer to the next one on this thread, or drops it.
pub(crate) fn give(buffer: Vec<u8>) {
    if buffer.capacity() >= BIG && wake::is_shard() {
        on(&BIGS, |shelf| shelf.give_big(buffer));
    }
}

/// Frees what this thread keeps.
pub(crate) fn release_memory() {
    drop(on(&OUTBOXES, Shelf::take_all));
    drop(on(&BIGS, Shelf::take_all));
}

fn take_fitting(least: usize, most: usize) -> Vec<u8> {
    on(&BIGS, |shelf| shelf.take_fitting(least, most)).unwrap_or_default()
}

/// Does something with a shelf. `None` in a thread that ends and has its shelves no more: a client may be sent to by the
/// destructor of another thread-local.
#[inline]
fn on<T, R>(shelf: &'static LocalKey<RefCell<Shelf<T>>>, call: impl FnOnce(&mut Shelf<T>) -> R) -> Option<R> {
    shelf.try_with(|shelf| shelf.try_borrow_mut().ok().map(|mut shelf| call(&mut shelf))).ok().flatten()
}

/// The pool for big messages that come in pieces, and go out as they are.
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

/// The same pool while an outbox is locked. Bytes of the application that are written, or never will be, are kept until this
/// is dropped, because their drop is code of the application. Make it before the lock is taken: then it is dropped later.
pub(crate) struct DeferredDrops<'a> {
    config: &'a Config,
    /// Mostly there is none, or one.
    first: Cell<Option<Bytes>>,
    more: RefCell<Vec<Bytes>>,
}

impl<'a> DeferredDrops<'a> {
    #[inline]
    pub(crate) const fn new(config: &'a Config) -> Self {
        Self { config, first: Cell::new(None), more: RefCell::new(Vec::new()) }
    }
}

impl BufferPool for DeferredDrops<'_> {
    fn acquire(&self, least: usize, most: usize) -> Vec<u8> {
        SharedBuffers.acquire(least, most)
    }

    fn release(&self, buffer: Vec<u8>) {
        SharedBuffers.release(buffer);
    }

    fn discard(&self, bytes: Bytes) {
        if let Some(before) = self.first.replace(Some(bytes)) {
            self.more.borrow_mut().push(before);
        }
    }
}

impl fmt::Debug for DeferredDrops<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeferredDrops")
    }
}

impl Drop for DeferredDrops<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(last) = self.first.take() {
            // In the order in which they were written.
            let (before, debug) = (std::mem::take(self.more.get_mut()), self.config.debug_on());
            before.into_iter().chain([last]).for_each(|bytes| discard(debug, bytes));
        }
    }
}

struct Shelf<T> {
    buffers: Vec<T>,
    octets: usize,
    most_octets: usize,
    most: usize,
}

/// What holds octets of memory.
trait Capacity {
    fn octets(&self) -> usize;
}

impl Capacity for Vec<u8> {
    fn octets(&self) -> usize {
        self.capacity()
    }
}

impl Capacity for Box<OutboxBuffer> {
    fn octets(&self) -> usize {
        self.capacity()
    }
}

impl<T: Capacity> Shelf<T> {
    const fn new(most_octets: usize, most: usize) -> Self {
        Self { buffers: Vec::new(), octets: 0, most_octets, most }
    }

    fn take_all(&mut self) -> Vec<T> {
        self.octets = 0;
        std::mem::take(&mut self.buffers)
    }

    #[inline]
    fn take(&mut self) -> Option<T> {
        let buffer = self.buffers.pop()?;
        self.octets -= buffer.octets();
        Some(buffer)
    }

    #[inline]
    fn give(&mut self, buffer: T) {
        if self.octets + buffer.octets() <= self.most_octets && self.buffers.len() < self.most {
            self.octets += buffer.octets();
            self.buffers.push(buffer);
        }
    }
}

impl Shelf<Vec<u8>> {
    fn give_big(&mut self, buffer: Vec<u8>) {
        if self.octets + buffer.capacity() > self.most_octets || self.buffers.len() >= self.most {
            self.make_room(buffer.capacity());
        }
        self.give(buffer);
    }

    /// Lets go of the biggest, if that is bigger than what comes, or of the oldest where there are too many: what was once of
    /// use is not kept for ever in the place of what is.
    #[cold]
    fn make_room(&mut self, octets: usize) {
        let sizes = self.buffers.iter().map(Vec::capacity).enumerate();
        let index = match sizes.max_by_key(|(_, size)| *size) {
            Some((index, size)) if size > octets => index,
            Some(_) if self.buffers.len() >= self.most => 0,
            _ => return,
        };
        self.octets -= self.buffers.remove(index).capacity();
    }

    /// The biggest that holds so many octets; of equals the one that was used last.
    fn take_fitting(&mut self, least: usize, most: usize) -> Vec<u8> {
        let fits = |(_, buffer): &(usize, &Vec<u8>)| (least..=most).contains(&buffer.capacity());
        let best = self.buffers.iter().enumerate().filter(fits).max_by_key(|(_, buffer)| buffer.capacity());
        let Some((index, _)) = best else { return Vec::new() };
        let buffer = self.buffers.remove(index); // in order: there are few
        self.octets -= buffer.capacity();
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_may_and_no_more() {
        let mut shelf = Shelf::new(1000, 3);
        for capacity in [400, 500, 200, 90] {
            shelf.give(Vec::with_capacity(capacity));
        }
        assert_eq!((shelf.buffers.len(), shelf.octets), (3, 990), "200 more would have been too much");
        shelf.give(Vec::with_capacity(1));
        assert_eq!(shelf.buffers.len(), 3, "a fourth is too many");
        assert_eq!(shelf.take_fitting(100, 450).capacity(), 400, "the best of those that fit");
        assert_eq!(shelf.take_fitting(100, 450).capacity(), 0, "500 are too many, 90 too few");
        shelf.give(Vec::with_capacity(400));
        let sum: usize = (0..3).map(|_| shelf.take().unwrap().capacity()).sum();
        assert_eq!((sum, shelf.octets, shelf.take()), (990, 0, None));
    }

    #[test]
    fn what_was_once_of_use_makes_room() {
        let mut shelf = Shelf::new(1000, 3);
        for capacity in [900, 300, 300, 800] {
            shelf.give_big(Vec::with_capacity(capacity));
        }
        let capacities = |shelf: &Shelf<Vec<u8>>| shelf.buffers.iter().map(Vec::capacity).collect::<Vec<_>>();
        assert_eq!(
            (capacities(&shelf), shelf.octets),
            (vec![300, 300], 600),
            "not the smaller for the bigger"
        );
        shelf.give_big(Vec::with_capacity(100));
        shelf.give_big(Vec::with_capacity(350));
        assert_eq!((capacities(&shelf), shelf.octets), (vec![300, 100, 350], 750), "the oldest of too many");
        shelf.give_big(Vec::with_capacity(200));
        assert_eq!((capacities(&shelf), shelf.octets), (vec![300, 100, 200], 600), "the biggest of too many");
    }
}
