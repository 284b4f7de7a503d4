use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Deref;

use bytes::Bytes;

use crate::Buffers;
use crate::buffers::give_back;
use crate::part::Part;

/// Shared octets up to this length are copied behind the small frames: one buffer, one slice for the write.
const FLATTEN: usize = 1024;

/// An emptied buffer is kept for the next frames up to this capacity.
const KEEP: usize = 64 * 1024;

/// What a [`Sender`](crate::Sender) encodes into, while it has something to send.
///
/// A `Sender` makes one when it is needed. A driver of many connections may take it away when all of it is written
/// ([`take_buffer`](crate::Sender::take_buffer)) and give it to the next one that sends
/// ([`give_buffer`](crate::Sender::give_buffer)): then those that are idle have none. A `Sender` without one is 24 octets on a
/// 64-bit machine.
#[derive(Debug, Default)]
pub struct OutboxBuffer {
    pub(crate) outbox: Outbox,
    /// The newest ping's payload, while answers to earlier ones fill the budget.
    pub(crate) deferred_pong: Option<Box<DeferredPong>>,
    /// Octets of pongs that were queued since none was waiting.
    pub(crate) pong_octets: u32,
    /// How much of the outbox is to be written until none of these pongs waits.
    pub(crate) pong_mark: usize,
}

impl OutboxBuffer {
    /// Octets of memory that it holds, beside its own.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.outbox.capacity()
    }
}

#[derive(Debug)]
pub(crate) struct DeferredPong {
    pub(crate) payload: [u8; 125],
    pub(crate) len: u8,
}

/// Octets to be written, in order: small frames flattened into one buffer, big ones as they are.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What comes before `tail`: big or shared octets, and what was queued before them.
    before: VecDeque<Chunk>,
    /// The last octets, to which small frames are appended.
    tail: Vec<u8>,
    /// Octets of the first chunk that are written already.
    written: usize,
    /// All octets that are not written.
    queued: usize,
}

/// Octets that are not copied.
#[derive(Debug)]
enum Chunk {
    Shared(Bytes),
    /// The same, but they are the caller's: to drop them may run code of its own.
    Given(Bytes),
    Owned(Part),
    /// Small frames: what was a tail.
    Flat(Vec<u8>),
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Shared(octets) | Self::Given(octets) => octets,
            Self::Owned(octets) => octets,
            Self::Flat(octets) => octets,
        }
    }
}

impl Chunk {
    /// Gives its buffer to those that it came from.
    fn give_back(self, buffers: &dyn Buffers) {
        match self {
            Self::Flat(buffer) => buffers.give(buffer),
            Self::Owned(part) => buffers.give(part.into_buffer()),
            Self::Given(octets) => buffers.discard(octets),
            Self::Shared(octets) => drop(octets),
        }
    }
}

impl Outbox {
    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    /// Appends what `write` writes.
    #[inline]
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.compact();
        let len = self.tail.len();
        write(&mut self.tail);
        self.queued += self.tail.len() - len;
    }

    /// Appends octets that others share, without a copy where that is worth it.
    pub(crate) fn append_shared(&mut self, octets: &Bytes) {
        if octets.len() <= FLATTEN {
            return self.append(|tail| tail.extend_from_slice(octets));
        }
        self.append_chunk(Chunk::Shared(octets.clone()));
    }

    /// Appends octets of the caller's, without a copy.
    pub(crate) fn append_given(&mut self, octets: &Bytes) {
        self.append_chunk(Chunk::Given(octets.clone()));
    }

    /// Appends octets that are given away.
    pub(crate) fn append_owned(&mut self, octets: Part) {
        self.append_chunk(Chunk::Owned(octets));
    }

    fn append_chunk(&mut self, chunk: Chunk) {
        if !self.tail.is_empty() {
            self.before.push_back(Chunk::Flat(std::mem::take(&mut self.tail)));
        }
        self.queued += chunk.len();
        self.before.push_back(chunk);
    }

    /// Puts the octets that are next into `slices`; returns how many slices they fill.
    pub(crate) fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let before = self.before.iter().map(|chunk| &chunk[..]);
        let chunks = before.chain((!self.tail.is_empty()).then_some(&self.tail[..]));
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            let skip = if filled == 0 { self.written } else { 0 };
            *slice = IoSlice::new(chunk.get(skip..).unwrap_or_default());
            filled += 1;
        }
        filled
    }

    /// Takes note that so many octets were written; more than are queued count as all of them.
    /// Emptied buffers that are not kept go to the pool.
    pub(crate) fn consume(&mut self, count: usize, buffers: &dyn Buffers) {
        let count = count.min(self.queued);
        self.queued -= count;
        self.written += count;
        while let Some(chunk) = self.before.front()
            && self.written >= chunk.len()
        {
            self.written -= chunk.len();
            match self.before.pop_front() {
                // Of use for the next ones.
                Some(Chunk::Flat(mut buffer)) if self.tail.capacity() == 0 && buffer.capacity() <= KEEP => {
                    buffer.clear();
                    self.tail = buffer;
                }
                Some(chunk) => chunk.give_back(buffers),
                None => {}
            }
        }
        if self.queued == 0 {
            self.written = 0;
            self.tail.clear();
            if self.before.capacity() * size_of::<Chunk>() > KEEP {
                self.before = VecDeque::new();
            }
            if self.tail.capacity() > KEEP {
                buffers.give(std::mem::take(&mut self.tail));
            }
        }
    }

    /// Gives up all that is queued.
    pub(crate) fn abandon(self, buffers: &dyn Buffers) {
        self.before.into_iter().for_each(|chunk| chunk.give_back(buffers));
        give_back(buffers, self.tail);
    }

    /// Octets of memory that it holds when it is empty.
    pub(crate) fn capacity(&self) -> usize {
        self.tail.capacity() + self.before.capacity() * size_of::<Chunk>()
    }

    /// Drops the written part of a buffer that never empties, once it outweighs the rest: linear in all.
    fn compact(&mut self) {
        if self.before.is_empty() && self.written > 4096 && self.written > self.tail.len() / 2 {
            self.tail.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::NoPool;

    fn drain(outbox: &mut Outbox, at_a_time: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 3];
        let filled = outbox.io_slices(&mut slices);
        let octets: Vec<u8> =
            slices[..filled].iter().flat_map(|s| s.iter().copied()).take(at_a_time).collect();
        outbox.consume(octets.len(), &NoPool);
        octets
    }

    proptest! {
        /// Whatever is appended, and however the writes are cut, comes out once and in order.
        #[test]
        fn is_a_queue(steps in prop::collection::vec((any::<bool>(), 0usize..5000, 0usize..9000), 1..40)) {
            let mut outbox = Outbox::default();
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            for (fill, (shared, size, write)) in (0u8..).zip(steps) {
                let octets = vec![fill; size];
                expected.extend_from_slice(&octets);
                if shared {
                    outbox.append_shared(&Bytes::from(octets));
                } else {
                    outbox.append(|tail| tail.extend_from_slice(&octets));
                }
                found.extend(drain(&mut outbox, write));
                prop_assert_eq!(outbox.queued(), expected.len() - found.len());
            }
            while outbox.queued() > 0 {
                found.extend(drain(&mut outbox, 100_000));
            }
            prop_assert_eq!(found, expected);
            prop_assert!(outbox.before.is_empty() && outbox.tail.is_empty());
        }
    }

    #[test]
    fn a_buffer_that_never_empties_stays_small() {
        let mut outbox = Outbox::default();
        outbox.append(|tail| tail.extend_from_slice(&[0; 100]));
        for _ in 0..100_000 {
            outbox.append(|tail| tail.extend_from_slice(&[0; 100]));
            outbox.consume(100, &NoPool);
        }
        assert_eq!(outbox.queued(), 100);
        assert!(outbox.tail.capacity() < 32 * 1024, "{}", outbox.tail.capacity());
    }
}
