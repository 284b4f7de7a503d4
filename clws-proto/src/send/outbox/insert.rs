//! Control frames that pass what is queued.

use std::collections::VecDeque;

use crate::send::outbox::chunk::Chunk;
use crate::send::outbox::{CUT, Outbox};
use crate::send::shared::Reference;

/// Where one frame ends and the next begins.
enum Boundary {
    /// Before this chunk; before the tail where there are not so many.
    Before(usize),
    /// At the end of a chunk of control frames.
    Behind(usize),
    /// In the chunk at `index`, behind so many messages of it, and so many bytes of the next message, or 0.
    Within { index: usize, messages: usize, bytes: usize },
}

impl Outbox {
    /// Queues a control frame as far in front as a frame may begin: at the first boundary between frames that is known and is
    /// not in the first `floor` bytes.
    ///
    /// What is short goes out at once and is not passed. Returns how much is to be written until the frame is. `None`, and
    /// nothing is queued, where it could only be queued at the end and `may_be_last` is false.
    pub(crate) fn insert(
        &mut self,
        floor: usize,
        may_be_last: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<usize> {
        let is_short = self.before.is_empty() && self.tail.len() < CUT;
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

    /// The first known boundary that is not in the first `floor` bytes, and how many bytes are before it.
    fn find_boundary(&self, floor: usize) -> Option<(Boundary, usize)> {
        let (mut position, mut written) = (0, self.written);
        for (index, chunk) in self.before.iter().enumerate() {
            let end = position + chunk.first().len().saturating_sub(written);
            match chunk {
                // One behind the other, as the pings came.
                Chunk::Control(_) if end >= floor => return Some((Boundary::Behind(index), end)),
                // Their headers are before them.
                Chunk::Given(_) | Chunk::Owned(_) | Chunk::Control(_) => {}
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
        is_boundary.then_some((Boundary::Before(self.before.len()), position))
    }

    /// Writes a frame there; returns its length.
    fn insert_at(&mut self, boundary: Boundary, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let index = match boundary {
            Boundary::Before(index) => index,
            Boundary::Within { index, messages, bytes } => self.split(index, messages, bytes),
            Boundary::Behind(index) => {
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

    /// Splits a chunk of messages to many behind so many of them and so many bytes of the next; returns the index of what is
    /// behind that.
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
            self.written -= bytes; // all of the first part is written
            return index;
        }
        self.insert_chunk(index, first);
        index + 1
    }

    /// Changes a chunk, and what is counted of it.
    fn change<T: Default>(&mut self, index: usize, change: impl FnOnce(&mut Chunk) -> T) -> T {
        let Some(chunk) = self.before.get_mut(index) else { return T::default() };
        self.chunks -= chunk.held();
        self.slices -= chunk.slices();
        let changed = change(chunk);
        self.chunks += chunk.held();
        self.slices += chunk.slices();
        changed
    }

    fn insert_chunk(&mut self, index: usize, chunk: Chunk) {
        self.chunks += chunk.held();
        self.slices += chunk.slices();
        self.before.insert(index, chunk);
    }
}

/// The first boundary between frames in a message of which the bytes from `start` are queued, and `written` of those are
/// written: how far behind the beginning of the message, and where in the queue.
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
    /// Takes the first messages to many out of several; `None` where it is no more than these.
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

    /// Takes the first frames, which are so many bytes, out of a message to many.
    fn take_frames(&mut self, bytes: usize) -> Option<Self> {
        let (message, range) = match self {
            Self::Shared(message) => (message.refer(), 0..message.len()),
            Self::Frames(message, range) => (message.refer(), range.clone()),
            Self::Run(run) => {
                let message = run.front()?;
                (message.refer(), 0..message.len())
            }
            Self::Given(_) | Self::Owned(_) | Self::Flat(_) | Self::Control(_) => return None,
        };
        let middle = range.start + bytes;
        let first = Self::Frames(message.refer(), range.start..middle);
        *self = Self::Frames(message, middle..range.end);
        Some(first)
    }
}
