//! Buffers that the connections of one thread hand on: an idle connection holds none, a busy one does not allocate.

use std::cell::RefCell;

use clws_proto::Buffers;

/// A buffer up to this capacity is an ordinary one; these serve outboxes, and a broadcast needs many at once.
const ORDINARY: usize = 64 * 1024;

/// The most octets of ordinary buffers that a thread keeps, and how many.
const ORDINARY_OCTETS: usize = 4 << 20;
const ORDINARY_COUNT: usize = 1024;

/// The most octets of big buffers that a thread keeps. Memory that is fresh from the system costs a page fault for
/// each 4 KiB, which is more than the message that it is for.
const BIG_OCTETS: usize = 16 << 20;

thread_local! {
    static ORDINARIES: RefCell<Shelf> = const { RefCell::new(Shelf::new(ORDINARY_OCTETS, ORDINARY_COUNT)) };
    static BIGS: RefCell<Shelf> = const { RefCell::new(Shelf::new(BIG_OCTETS, 64)) };
}

/// A buffer for an outbox; empty where there is none to spare.
#[inline]
pub(crate) fn take() -> Vec<u8> {
    ORDINARIES.with_borrow_mut(Shelf::take)
}

/// Gives a buffer to the next one on this thread, or drops it.
#[inline]
pub(crate) fn give(buffer: Vec<u8>) {
    match buffer.capacity() {
        0 => {}
        1..=ORDINARY => ORDINARIES.with_borrow_mut(|shelf| shelf.give(buffer)),
        _ => BIGS.with_borrow_mut(|shelf| shelf.give(buffer)),
    }
}

/// The pool for big messages that come in pieces, and go out as they are.
#[derive(Debug)]
pub(crate) struct Pool;

impl Buffers for Pool {
    fn take(&self, octets: usize) -> Vec<u8> {
        BIGS.with_borrow_mut(|shelf| shelf.take_fitting(octets))
    }

    fn give(&self, buffer: Vec<u8>) {
        give(buffer);
    }
}

struct Shelf {
    buffers: Vec<Vec<u8>>,
    octets: usize,
    most_octets: usize,
    most: usize,
}

impl Shelf {
    const fn new(most_octets: usize, most: usize) -> Self {
        Self { buffers: Vec::new(), octets: 0, most_octets, most }
    }

    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.octets -= buffer.capacity();
        buffer
    }

    /// The smallest that holds so many octets, if it holds not over four times as many.
    fn take_fitting(&mut self, octets: usize) -> Vec<u8> {
        let fits =
            |(_, buffer): &(usize, &Vec<u8>)| buffer.capacity() >= octets && buffer.capacity() / 4 <= octets;
        let best = self.buffers.iter().enumerate().filter(fits).min_by_key(|(_, buffer)| buffer.capacity());
        let Some((index, _)) = best else { return Vec::new() };
        let buffer = self.buffers.swap_remove(index);
        self.octets -= buffer.capacity();
        buffer
    }

    fn give(&mut self, buffer: Vec<u8>) {
        if self.octets + buffer.capacity() <= self.most_octets && self.buffers.len() < self.most {
            self.octets += buffer.capacity();
            self.buffers.push(buffer);
        }
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
        assert_eq!(shelf.take_fitting(100).capacity(), 400, "the best of those that fit");
        assert_eq!(shelf.take_fitting(100).capacity(), 0, "500 are too many for 100, 90 too few");
        shelf.give(Vec::with_capacity(400));
        let sum: usize = (0..3).map(|_| shelf.take().capacity()).sum();
        assert_eq!((sum, shelf.octets, shelf.take().capacity()), (990, 0, 0));
    }
}
