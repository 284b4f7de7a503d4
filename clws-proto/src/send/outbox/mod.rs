//! The queue of bytes to write.

mod chunk;
pub(crate) mod fragments;
mod insert;

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::buffer::pool::{BufferPool, release_to};
use crate::buffer::slice::BufSlice;
use crate::send::backlog::Backlog;
use crate::send::outbox::chunk::Chunk;
use crate::send::shared::{Encoded, Reference};

/// Shared messages up to this length are copied to the small frames, which saves a slice.
const MAX_COPIED: usize = 1024;

/// From this queue length on the peer is considered slow. Copies would be held for a long time.
const SLOW_PEER_QUEUE: usize = 16 * 1024;

/// For a slow peer, a reference to a longer shared message takes less memory than a copy.
const MAX_COPIED_IF_SLOW: usize = 64;

/// A buffer of small frames that has reached this length gets no more frames. A message of this
/// length gets its own buffer.
pub(crate) const CHUNK_LEN: usize = 60 * 1024;

/// A shorter written part of a buffer is not removed.
const MIN_COMPACTED: usize = 4096;

/// The maximum capacity of an empty buffer that is kept for the next frames.
const MAX_KEPT_CAPACITY: usize = 64 * 1024;

/// The buffer of a [`Sender`](crate::Sender) that has something to send.
///
/// A `Sender` allocates one when it needs it. A driver of many connections may take it away when
/// everything is written ([`take_buffer`](crate::Sender::take_buffer)) and give it to the next
/// sender ([`give_buffer`](crate::Sender::give_buffer)). Idle connections then have none. A
/// `Sender` without a buffer takes 24 bytes on a 64-bit machine.
#[derive(Debug, Default)]
pub struct OutboxBuffer {
    pub(crate) outbox: Outbox,
    /// The payload of the newest ping, if earlier pongs use up the budget.
    pub(crate) deferred_pong: Option<Box<DeferredPong>>,
    /// The bytes of all pongs since the last time that none was queued.
    pub(crate) pong_bytes: u32,
    /// The number of bytes up to the end of the last queued pong.
    pub(crate) pong_mark: usize,
    /// The number of bytes that no pong may overtake: bytes up to `pong_mark`, and pinned bytes.
    pub(crate) floor: usize,
    /// Messages that are not encoded yet, and receipts.
    pub(crate) backlog: Option<Box<Backlog>>,
    /// The bytes of the messages in the backlog. If there are some, the outbox is not empty.
    pub(crate) waiting: usize,
    /// The data messages that were queued since the last
    /// [`take_message_count`](crate::Sender::take_message_count).
    pub(crate) messages: u32,
}

impl OutboxBuffer {
    /// Memory held in addition to the struct, in bytes.
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

/// A queue of bytes to write. Small frames share one buffer, large messages keep theirs.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// All chunks before `tail`.
    chunks: VecDeque<Chunk>,
    /// The last bytes. Small frames are appended here.
    tail: Vec<u8>,
    /// The number of bytes of the first chunk that are already written.
    written: usize,
    /// The number of bytes that are not yet written.
    queued: usize,
    /// The memory that the chunks hold besides their entries in the queue.
    chunk_memory: usize,
    /// The number of slices of the chunks.
    chunk_slices: usize,
}

impl Outbox {
    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    /// Memory held, in bytes. Shared messages count only as references.
    pub(crate) fn held(&self) -> usize {
        self.tail.capacity() + self.chunks.capacity() * size_of::<Chunk>() + self.chunk_memory
    }

    /// The number of slices for the whole queue.
    pub(crate) fn slices(&self) -> usize {
        self.chunk_slices + usize::from(!self.tail.is_empty())
    }

    /// Appends the bytes that `write` writes. They must start at a frame boundary.
    #[inline]
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.tail.len() >= CHUNK_LEN {
            self.start_chunk();
        }
        let len = self.tail.len();
        write(&mut self.tail);
        self.queued += self.tail.len() - len;
    }

    /// Appends a shared message, by reference if it is long enough.
    pub(crate) fn append_shared(&mut self, message: &Encoded) {
        let copied = if self.queued < SLOW_PEER_QUEUE { MAX_COPIED } else { MAX_COPIED_IF_SLOW };
        if message.len() <= copied {
            return self.append(|tail| tail.extend_from_slice(message));
        }
        if self.tail.is_empty()
            && let Some(Chunk::Shared(_) | Chunk::Run(_)) = self.chunks.back()
        {
            self.queued += message.len();
            return self.append_to_run(message.reference());
        }
        self.append_chunk(Chunk::Shared(message.reference()));
    }

    /// Appends to a run of shared messages, where each takes only a pointer.
    fn append_to_run(&mut self, message: Reference) {
        if let Some(Chunk::Run(run)) = self.chunks.back_mut() {
            let capacity = run.capacity();
            run.push_back(message);
            self.chunk_memory += (run.capacity() - capacity) * size_of::<Reference>();
            self.chunk_slices += 1;
        } else if let Some(Chunk::Shared(first)) = self.chunks.pop_back() {
            self.chunk_slices -= 1;
            self.push(Chunk::Run(VecDeque::from([first, message])));
        }
    }

    /// Appends a large message of the application without a copy.
    pub(crate) fn append_bytes(&mut self, message: &Bytes) {
        self.append_chunk(Chunk::Bytes(message.clone()));
    }

    /// Appends an owned buffer.
    pub(crate) fn append_slice(&mut self, bytes: BufSlice) {
        self.append_chunk(Chunk::Slice(bytes));
    }

    fn append_chunk(&mut self, chunk: Chunk) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.push(Chunk::Flat(tail));
        }
        self.queued += chunk.first().len();
        self.push(chunk);
    }

    /// Starts another buffer if the last one is long. A control frame can be inserted between them.
    pub(crate) fn start_chunk_if_long(&mut self) {
        if self.tail.len() >= CHUNK_LEN {
            self.start_chunk();
        }
    }

    /// Starts another buffer. The queue must end at a frame boundary.
    #[cold]
    pub(crate) fn start_chunk(&mut self) {
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
        self.chunk_memory += chunk.held();
        self.chunk_slices += chunk.slices();
        self.chunks.push_back(chunk);
    }

    fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.chunk_memory -= chunk.held();
        self.chunk_slices -= chunk.slices();
        Some(chunk)
    }

    /// Fills `slices` with the next bytes. Returns the number of filled slices.
    #[inline]
    pub(crate) fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.chunks.is_empty()
            && let Some(slice) = slices.first_mut()
        {
            *slice = IoSlice::new(self.tail.get(self.written..).unwrap_or_default());
            return usize::from(!self.tail.is_empty());
        }
        self.all_io_slices(slices)
    }

    fn all_io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let chunks =
            self.chunks.iter().flat_map(|chunk| std::iter::once(chunk.first()).chain(chunk.others()));
        let all = chunks.chain((!self.tail.is_empty()).then_some(&self.tail[..]));
        let mut filled = 0;
        for (slice, bytes) in slices.iter_mut().zip(all) {
            let skip = if filled == 0 { self.written } else { 0 };
            *slice = IoSlice::new(bytes.get(skip..).unwrap_or_default());
            filled += 1;
        }
        filled
    }

    /// Removes `count` written bytes, or everything if fewer are queued. Empty buffers go to the
    /// pool, unless they are kept.
    pub(crate) fn consume(&mut self, count: usize, buffers: &dyn BufferPool) {
        let count = count.min(self.queued);
        self.queued -= count;
        self.written += count;
        while let Some(first) = self.chunks.front().map(|chunk| chunk.first().len())
            && self.written >= first
        {
            self.written -= first;
            if self.shorten_run() {
                continue;
            }
            match self.pop() {
                // Reused for the next frames.
                Some(Chunk::Flat(mut buffer))
                    if self.tail.capacity() == 0 && buffer.capacity() <= MAX_KEPT_CAPACITY =>
                {
                    buffer.clear();
                    self.tail = buffer;
                }
                Some(chunk) => chunk.release(buffers),
                None => {}
            }
        }
        shrink(&mut self.chunks);
        if self.queued == 0 {
            self.written = 0;
            self.tail.clear();
            if self.chunks.capacity() * size_of::<Chunk>() > MAX_KEPT_CAPACITY {
                self.chunks = VecDeque::new();
            }
            if self.tail.capacity() > MAX_KEPT_CAPACITY {
                buffers.release(std::mem::take(&mut self.tail));
            }
        } else if self.chunks.is_empty() && self.written > MIN_COMPACTED && self.written > self.tail.len() / 2
        {
            self.drop_written();
        }
    }

    /// Drops the whole queue.
    pub(crate) fn abandon(self, buffers: &dyn BufferPool) {
        self.chunks.into_iter().for_each(|chunk| chunk.release(buffers));
        release_to(buffers, self.tail);
    }

    /// Drops the first message of a run. Returns false if the run has no other message.
    fn shorten_run(&mut self) -> bool {
        let Some(Chunk::Run(run)) = self.chunks.front_mut() else { return false };
        let capacity = run.capacity();
        self.chunk_slices -= usize::from(run.pop_front().is_some());
        shrink(run);
        self.chunk_memory -= (capacity - run.capacity()) * size_of::<Reference>();
        !run.is_empty()
    }

    /// Removes the written part of a buffer that never becomes empty, once it is longer than the
    /// rest. The total work is linear. One byte stays: it shows that the buffer does not start at a
    /// frame boundary.
    #[cold]
    fn drop_written(&mut self) {
        self.tail.drain(..self.written.saturating_sub(1));
        self.written = 1;
        if self.tail.capacity() > MAX_KEPT_CAPACITY && self.tail.len() < self.tail.capacity() / 4 {
            self.tail.shrink_to(2 * self.tail.len());
        }
    }
}

/// Shrinks a queue with few entries, because it may never become empty.
fn shrink<T>(queue: &mut VecDeque<T>) {
    let (len, capacity) = (queue.len(), queue.capacity());
    if capacity * size_of::<T>() > MAX_KEPT_CAPACITY && len < capacity / 4 {
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
        let bytes: Vec<u8> =
            slices[..filled].iter().flat_map(|s| s.iter().copied()).take(at_a_time).collect();
        outbox.consume(bytes.len(), &NoPool);
        bytes
    }

    proptest! {
        /// All appended bytes are written once and in order, for any lengths of appends and writes.
        #[test]
        fn writes_all_bytes_once_and_in_order(steps in prop::collection::vec((0u8..7, 0usize..70_000, 0usize..90_000, any::<bool>()), 1..40)) {
            let mut outbox = Outbox::default();
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            for (fill, (kind, size, write, cut)) in (0u8..).zip(steps) {
                let bytes = vec![fill; size];
                match kind {
                    0..3 => {
                        let message = SharedMessage::binary(bytes);
                        expected.extend_from_slice(message.hybi());
                        outbox.append_shared(message.hybi());
                    }
                    3 => {
                        expected.extend_from_slice(&bytes);
                        outbox.append_bytes(&Bytes::from(bytes));
                    }
                    4 => {
                        expected.extend_from_slice(&bytes);
                        outbox.append_slice(bytes.into());
                    }
                    _ => {
                        expected.extend_from_slice(&bytes);
                        outbox.append(|tail| tail.extend_from_slice(&bytes));
                    }
                }
                found.extend(drain(&mut outbox, write));
                if cut {
                    outbox.start_chunk_if_long();
                }
                prop_assert_eq!(outbox.queued(), expected.len() - found.len());
                prop_assert_eq!(outbox.chunk_memory, outbox.chunks.iter().map(Chunk::held).sum::<usize>());
                prop_assert_eq!(outbox.chunk_slices, outbox.chunks.iter().map(Chunk::slices).sum::<usize>());
            }
            while outbox.queued() > 0 {
                found.extend(drain(&mut outbox, 100_000));
            }
            prop_assert_eq!(found, expected);
            prop_assert!(outbox.chunks.is_empty() && outbox.tail.is_empty());
            prop_assert!(outbox.chunk_memory == 0 && outbox.held() <= 2 * MAX_KEPT_CAPACITY, "{}", outbox.held());
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
    fn a_queue_that_never_empties_shrinks() {
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
        assert!(outbox.held() < 3 * MAX_KEPT_CAPACITY, "{}", outbox.held());
    }
}
