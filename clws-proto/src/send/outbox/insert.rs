//! Control frames that overtake queued frames.

use std::collections::VecDeque;

use crate::send::outbox::chunk::Chunk;
use crate::send::outbox::{CHUNK_LEN, Outbox};
use crate::send::shared::Reference;

/// A boundary between two frames.
enum Boundary {
    /// Before the chunk at this index. Before the tail, if the index equals the number of chunks.
    Before(usize),
    /// At the end of the chunk of control frames at this index.
    AtEnd(usize),
    /// In the chunk at `index`, after `messages` messages and `bytes` bytes of the next message.
    Within { index: usize, messages: usize, bytes: usize },
}

impl Outbox {
    /// Queues a control frame at the first known frame boundary after `floor` bytes.
    ///
    /// It does not overtake a short queue, which is written at once. Returns the number of bytes up
    /// to the frame's end. If the frame could only be the last one and `may_be_last` is false, it
    /// is not queued and `None` is returned.
    pub(crate) fn insert(
        &mut self,
        floor: usize,
        may_be_last: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<usize> {
        let is_short = self.chunks.is_empty() && self.tail.len() < CHUNK_LEN;
        let found = if is_short { None } else { self.find_boundary(floor) };
        match found {
            Some((boundary, position)) => Some(position + self.insert_at(boundary, write)),
            None if may_be_last => {
                self.append(write);
                Some(self.queued)
            }
            None => None,
        }
    }

    /// The first known frame boundary after `floor` bytes, and the number of bytes before it.
    fn find_boundary(&self, floor: usize) -> Option<(Boundary, usize)> {
        let (mut position, mut written) = (0, self.written);
        for (index, chunk) in self.chunks.iter().enumerate() {
            let end = position + chunk.first().len().saturating_sub(written);
            match chunk {
                // Pongs keep the order of the pings.
                Chunk::Control(_) if end >= floor => return Some((Boundary::AtEnd(index), end)),
                // The frame header is in the chunk before.
                Chunk::Bytes(_) | Chunk::Slice(_) | Chunk::Control(_) => {}
                _ if written == 0 && position >= floor => return Some((Boundary::Before(index), position)),
                Chunk::Flat(_) => {}
                Chunk::Shared(message) => {
                    if let Some((bytes, position)) = within(message, 0, written, position, floor) {
                        return Some((Boundary::Within { index, messages: 0, bytes }, position));
                    }
                }
                Chunk::Frames(message, range) => {
                    if let Some((bytes, position)) = within(message, range.start, written, position, floor)
                        && bytes < range.end
                    {
                        let bytes = bytes.saturating_sub(range.start);
                        return Some((Boundary::Within { index, messages: 0, bytes }, position));
                    }
                }
                Chunk::Run(run) => {
                    for (messages, message) in run.iter().enumerate() {
                        if messages > 0 && position >= floor {
                            return Some((Boundary::Within { index, messages, bytes: 0 }, position));
                        }
                        if let Some((bytes, position)) = within(message, 0, written, position, floor) {
                            return Some((Boundary::Within { index, messages, bytes }, position));
                        }
                        position += message.len().saturating_sub(written);
                        written = 0;
                    }
                    continue;
                }
            }
            (position, written) = (end, 0);
        }
        let is_boundary = !self.tail.is_empty() && written == 0 && position >= floor;
        is_boundary.then_some((Boundary::Before(self.chunks.len()), position))
    }

    /// Inserts a frame and returns its length.
    fn insert_at(&mut self, boundary: Boundary, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let index = match boundary {
            Boundary::Before(index) => index,
            Boundary::Within { index, messages, bytes } => self.split(index, messages, bytes),
            Boundary::AtEnd(index) => {
                let len = self.change(index, |chunk| {
                    let Chunk::Control(frames) = chunk else { return 0 };
                    let len = frames.len();
                    write(frames);
                    frames.len() - len
                });
                self.queued += len;
                return len;
            }
        };
        let mut frame = Vec::new();
        write(&mut frame);
        let len = frame.len();
        self.queued += len;
        self.insert_chunk(index, Chunk::Control(frame));
        len
    }

    /// Splits a chunk of shared messages after `messages` messages and `bytes` bytes of the next
    /// one. Returns the index of the second part.
    fn split(&mut self, mut index: usize, messages: usize, bytes: usize) -> usize {
        if messages > 0
            && let Some(first) = self.change(index, |chunk| chunk.take_messages(messages))
        {
            self.insert_chunk(index, first);
            index += 1;
        }
        if bytes == 0 {
            return index;
        }
        if let Some(first) = self.change(index, |chunk| chunk.take_messages(1)) {
            self.insert_chunk(index, first);
        }
        let Some(first) = self.change(index, |chunk| chunk.take_frames(bytes)) else { return index };
        if index == 0 && self.written >= bytes {
            self.written -= bytes; // the first part is completely written
            return index;
        }
        self.insert_chunk(index, first);
        index + 1
    }

    /// Changes a chunk and updates the totals.
    fn change<T: Default>(&mut self, index: usize, change: impl FnOnce(&mut Chunk) -> T) -> T {
        let Some(chunk) = self.chunks.get_mut(index) else { return T::default() };
        self.chunk_memory -= chunk.held();
        self.chunk_slices -= chunk.slices();
        let changed = change(chunk);
        self.chunk_memory += chunk.held();
        self.chunk_slices += chunk.slices();
        changed
    }

    fn insert_chunk(&mut self, index: usize, chunk: Chunk) {
        self.chunk_memory += chunk.held();
        self.chunk_slices += chunk.slices();
        self.chunks.insert(index, chunk);
    }
}

/// The first frame boundary of a message after `floor` bytes of the queue. The message is queued
/// from its byte `start`, and `written` of these bytes are written. Returns the offset in the
/// message and the offset in the queue.
fn within(
    message: &Reference,
    start: usize,
    written: usize,
    position: usize,
    floor: usize,
) -> Option<(usize, usize)> {
    let next = start + written;
    let bytes = message.frame_boundary(next + floor.saturating_sub(position))?;
    Some((bytes, position + (bytes - next)))
}

impl Chunk {
    /// Takes the first `count` shared messages out of a run. `None` if the run has no more.
    fn take_messages(&mut self, count: usize) -> Option<Self> {
        let Self::Run(run) = self else { return None };
        if run.len() <= count {
            return None;
        }
        let mut first: VecDeque<_> = run.drain(..count).collect();
        Some(match first.pop_front() {
            Some(only) if first.is_empty() => Self::Shared(only),
            Some(message) => {
                first.push_front(message);
                Self::Run(first)
            }
            None => return None,
        })
    }

    /// Takes the first frames, `bytes` bytes in all, out of a shared message.
    fn take_frames(&mut self, bytes: usize) -> Option<Self> {
        let (message, range) = match self {
            Self::Shared(message) => (message.reference(), 0..message.len()),
            Self::Frames(message, range) => (message.reference(), range.clone()),
            Self::Run(run) => {
                let message = run.front()?;
                (message.reference(), 0..message.len())
            }
            Self::Bytes(_) | Self::Slice(_) | Self::Flat(_) | Self::Control(_) => return None,
        };
        let middle = range.start + bytes;
        let first = Self::Frames(message.reference(), range.start..middle);
        *self = Self::Frames(message, middle..range.end);
        Some(first)
    }
}
