mod chunk;
pub(crate) mod fragments;
mod insert;

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::buffer::pool::BufferPool;
use crate::buffer::pool::give_back;
use crate::buffer::slice::BufSlice;
use crate::send::outbox::chunk::Chunk;
use crate::send::shared::{Encoded, Reference};

/// A message to many is copied behind the small frames up to this length: one buffer, one slice for the write.
const FLATTEN: usize = 1024;

/// From so many queued bytes on the peer is behind. Copies would be held for as long as it stays behind.
const BEHIND: usize = 16 * 1024;

/// Then a message to many is copied up to this length only: a reference to a longer one takes less memory.
const FLATTEN_BEHIND: usize = 64;

/// From so many bytes on a buffer of small frames need not grow, and a bigger message gets one of its own.
pub(crate) const CUT: usize = 60 * 1024;

/// The written part of a buffer stays up to this length.
const COMPACT: usize = 4096;

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
    /// Bytes of pongs that were queued since none was waiting.
    pub(crate) pong_octets: u32,
    /// How much of the outbox is to be written until none of these pongs waits.
    pub(crate) pong_mark: usize,
    /// The next bytes to be written that no pong may pass: those up to `pong_mark`, and those that are pinned.
    pub(crate) floor: usize,
}

impl OutboxBuffer {
    /// Octets of memory that it holds, beside its own.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.outbox.held()
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
    /// Bytes of memory that the chunks of `before` hold, beside their places in it.
    chunks: usize,
    /// How many slices show the chunks of `before`.
    slices: usize,
}

impl Outbox {
    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes of memory that it holds. Of messages to many only the places of the references count.
    pub(crate) fn held(&self) -> usize {
        self.tail.capacity() + self.before.capacity() * size_of::<Chunk>() + self.chunks
    }

    /// How many slices show all of it.
    pub(crate) fn slices(&self) -> usize {
        self.slices + usize::from(!self.tail.is_empty())
    }

    /// Appends what `write` writes. It must begin where a frame begins.
    #[inline]
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.tail.len() >= CUT {
            self.begin_chunk();
        }
        let len = self.tail.len();
        write(&mut self.tail);
        self.queued += self.tail.len() - len;
    }

    /// Appends a message to many, without a copy where that is min_adoptable_len it.
    pub(crate) fn append_shared(&mut self, message: &Encoded) {
        let copied = if self.queued < BEHIND { FLATTEN } else { FLATTEN_BEHIND };
        if message.len() <= copied {
            return self.append(|tail| tail.extend_from_slice(message));
        }
        if self.tail.is_empty()
            && let Some(Chunk::Shared(_) | Chunk::Run(_)) = self.before.back()
        {
            self.queued += message.len();
            return self.append_to_run(message.refer());
        }
        self.append_chunk(Chunk::Shared(message.refer()));
    }

    /// Appends to the messages to many that are last: there each takes the place of a pointer.
    fn append_to_run(&mut self, message: Reference) {
        if let Some(Chunk::Run(run)) = self.before.back_mut() {
            let places = run.capacity();
            run.push_back(message);
            self.chunks += (run.capacity() - places) * size_of::<Reference>();
            self.slices += 1;
        } else if let Some(Chunk::Shared(first)) = self.before.pop_back() {
            self.slices -= 1;
            self.push(Chunk::Run(VecDeque::from([first, message])));
        }
    }

    /// Appends a big message that the application gave away, without a copy.
    pub(crate) fn append_given(&mut self, message: &Bytes) {
        self.append_chunk(Chunk::Given(message.clone()));
    }

    /// Appends octets that are given away.
    pub(crate) fn append_owned(&mut self, octets: BufSlice) {
        self.append_chunk(Chunk::Owned(octets));
    }

    fn append_chunk(&mut self, chunk: Chunk) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.push(Chunk::Flat(tail));
        }
        self.queued += chunk.first().len();
        self.push(chunk);
    }

    /// Begins another buffer where the last one has got long: there a control frame may be put between.
    pub(crate) fn cut(&mut self) {
        if self.tail.len() >= CUT {
            self.begin_chunk();
        }
    }

    /// Begins another buffer. What is queued must end where a frame ends.
    #[cold]
    pub(crate) fn begin_chunk(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let mut tail = std::mem::take(&mut self.tail);
        if tail.len() < tail.capacity() / 8 * 7 {
            tail.shrink_to_fit();
        }
        self.push(Chunk::Flat(tail));
    }

    fn push(&mut self, chunk: Chunk) {
        self.chunks += chunk.held();
        self.slices += chunk.slices();
        self.before.push_back(chunk);
    }

    fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.before.pop_front()?;
        self.chunks -= chunk.held();
        self.slices -= chunk.slices();
        Some(chunk)
    }

    /// Puts the octets that are next into `slices`; returns how many slices they fill.
    #[inline]
    pub(crate) fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.before.is_empty()
            && let Some(slice) = slices.first_mut()
        {
            *slice = IoSlice::new(self.tail.get(self.written..).unwrap_or_default());
            return usize::from(!self.tail.is_empty());
        }
        self.all_io_slices(slices)
    }

    fn all_io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let before =
            self.before.iter().flat_map(|chunk| std::iter::once(chunk.first()).chain(chunk.others()));
        let all = before.chain((!self.tail.is_empty()).then_some(&self.tail[..]));
        let mut filled = 0;
        for (slice, bytes) in slices.iter_mut().zip(all) {
            let skip = if filled == 0 { self.written } else { 0 };
            *slice = IoSlice::new(bytes.get(skip..).unwrap_or_default());
            filled += 1;
        }
        filled
    }

    /// Takes note that so many octets were written; more than are queued count as all of them.
    /// Emptied buffers that are not kept go to the pool.
    pub(crate) fn consume(&mut self, count: usize, buffers: &dyn BufferPool) {
        let count = count.min(self.queued);
        self.queued -= count;
        self.written += count;
        while let Some(first) = self.before.front().map(|chunk| chunk.first().len())
            && self.written >= first
        {
            self.written -= first;
            if self.shorten_run() {
                continue;
            }
            match self.pop() {
                // Of use for the next ones.
                Some(Chunk::Flat(mut buffer)) if self.tail.capacity() == 0 && buffer.capacity() <= KEEP => {
                    buffer.clear();
                    self.tail = buffer;
                }
                Some(chunk) => chunk.give_back(buffers),
                None => {}
            }
        }
        shrink(&mut self.before);
        if self.queued == 0 {
            self.written = 0;
            self.tail.clear();
            if self.before.capacity() * size_of::<Chunk>() > KEEP {
                self.before = VecDeque::new();
            }
            if self.tail.capacity() > KEEP {
                buffers.release(std::mem::take(&mut self.tail));
            }
        } else if self.before.is_empty() && self.written > COMPACT && self.written > self.tail.len() / 2 {
            self.drop_written();
        }
    }

    /// Gives up all that is queued.
    pub(crate) fn abandon(self, buffers: &dyn BufferPool) {
        self.before.into_iter().for_each(|chunk| chunk.give_back(buffers));
        give_back(buffers, self.tail);
    }

    /// Drops the first message of a run that is next; false where no other follows in the run.
    fn shorten_run(&mut self) -> bool {
        let Some(Chunk::Run(run)) = self.before.front_mut() else { return false };
        let places = run.capacity();
        self.slices -= usize::from(run.pop_front().is_some());
        shrink(run);
        self.chunks -= (places - run.capacity()) * size_of::<Reference>();
        !run.is_empty()
    }

    /// Drops the written part of a buffer that never empties, once it outweighs the rest: linear in all. One byte stays, which
    /// tells that the buffer does not begin where a frame does.
    #[cold]
    fn drop_written(&mut self) {
        self.tail.drain(..self.written.saturating_sub(1));
        self.written = 1;
        if self.tail.capacity() > KEEP && self.tail.len() < self.tail.capacity() / 4 {
            self.tail.shrink_to(2 * self.tail.len());
        }
    }
}

/// Gives back most of the places once few are taken: a queue may go on for long without being empty.
fn shrink<T>(queue: &mut VecDeque<T>) {
    let (len, places) = (queue.len(), queue.capacity());
    if places * size_of::<T>() > KEEP && len < places / 4 {
        queue.shrink_to(2 * len);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buffer::pool::NoPool;
    use crate::send::shared::SharedMessage;

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
        fn is_a_queue(steps in prop::collection::vec((0u8..7, 0usize..70_000, 0usize..90_000, any::<bool>()), 1..40)) {
            let mut outbox = Outbox::default();
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            for (fill, (kind, size, write, cut)) in (0u8..).zip(steps) {
                let octets = vec![fill; size];
                match kind {
                    0..3 => {
                        let message = SharedMessage::binary(octets);
                        expected.extend_from_slice(message.hybi());
                        outbox.append_shared(message.hybi());
                    }
                    3 => {
                        expected.extend_from_slice(&octets);
                        outbox.append_given(&Bytes::from(octets));
                    }
                    4 => {
                        expected.extend_from_slice(&octets);
                        outbox.append_owned(octets.into());
                    }
                    _ => {
                        expected.extend_from_slice(&octets);
                        outbox.append(|tail| tail.extend_from_slice(&octets));
                    }
                }
                found.extend(drain(&mut outbox, write));
                if cut {
                    outbox.cut();
                }
                prop_assert_eq!(outbox.queued(), expected.len() - found.len());
                prop_assert_eq!(outbox.chunks, outbox.before.iter().map(Chunk::held).sum::<usize>());
                prop_assert_eq!(outbox.slices, outbox.before.iter().map(Chunk::slices).sum::<usize>());
            }
            while outbox.queued() > 0 {
                found.extend(drain(&mut outbox, 100_000));
            }
            prop_assert_eq!(found, expected);
            prop_assert!(outbox.before.is_empty() && outbox.tail.is_empty());
            prop_assert!(outbox.chunks == 0 && outbox.held() <= 2 * KEEP, "{}", outbox.held());
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
    #[test]
    fn a_queue_that_never_empties_gives_its_places_back() {
        let message = SharedMessage::binary(vec![0; 2000]);
        let mut outbox = Outbox::default();
        (0..100_000).for_each(|_| outbox.append_shared(message.hybi()));
        let full = outbox.held();
        assert!((800_000..2_000_000).contains(&full), "{full}");
        outbox.consume(99_000 * message.hybi().len(), &NoPool);
        assert!(outbox.held() < full / 10, "{} of {full}", outbox.held());
        outbox.append(|tail| tail.extend_from_slice(&[0; 4 << 20]));
        outbox.consume(outbox.queued() - 100, &NoPool);
        outbox.append(|tail| tail.push(0));
        assert_eq!(outbox.queued(), 101);
        assert!(outbox.held() < 3 * KEEP, "{}", outbox.held());
    }
}
