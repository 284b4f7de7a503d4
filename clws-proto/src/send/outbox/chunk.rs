//! The parts of an outbox.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use crate::buffer::pool::BufferPool;
use crate::buffer::slice::BufSlice;
use crate::send::shared::Reference;

/// A part of what is queued.
#[derive(Debug)]
pub(super) enum Chunk {
    /// A message to many.
    Shared(Reference),
    /// Several of them.
    Run(VecDeque<Reference>),
    /// Some frames of a message to many that was sent in fragments: the bytes in the range.
    Frames(Reference, Range<usize>),
    /// A message that the application gave away, and may still share. To drop it may run code of its own.
    Given(Bytes),
    Owned(BufSlice),
    /// Small frames: what was a tail.
    Flat(Vec<u8>),
    /// Control frames that have passed what is behind them.
    Control(Vec<u8>),
}

impl Chunk {
    /// Bytes of memory that it alone holds. A message to many counts itself, once for all outboxes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Shared(_) | Self::Frames(..) => 0,
            Self::Run(run) => run.capacity() * size_of::<Reference>(),
            Self::Given(bytes) => bytes.len(),
            Self::Owned(part) => part.capacity(),
            Self::Flat(buffer) | Self::Control(buffer) => buffer.capacity(),
        }
    }

    /// How many slices show it.
    pub(super) fn slices(&self) -> usize {
        if let Self::Run(run) = self { run.len() } else { 1 }
    }

    /// The bytes of the first slice.
    pub(super) fn first(&self) -> &[u8] {
        match self {
            Self::Shared(message) => message,
            Self::Run(run) => run.front().map_or(&[], |message| message),
            Self::Frames(message, range) => message.get(range.clone()).unwrap_or_default(),
            Self::Given(bytes) => bytes,
            Self::Owned(part) => part,
            Self::Flat(buffer) | Self::Control(buffer) => buffer,
        }
    }

    /// The bytes of the others.
    pub(super) fn others(&self) -> impl Iterator<Item = &[u8]> {
        let run = if let Self::Run(run) = self { Some(run) } else { None };
        run.into_iter().flat_map(|run| run.iter().skip(1)).map(|message| &message[..])
    }

    /// Gives its buffer to those that it came from.
    pub(super) fn give_back(self, buffers: &dyn BufferPool) {
        match self {
            Self::Flat(buffer) => buffers.release(buffer),
            Self::Owned(part) => buffers.release(part.into_buffer()),
            Self::Given(bytes) => buffers.discard(bytes),
            Self::Shared(message) | Self::Frames(message, _) => drop(message),
            Self::Run(run) => drop(run),
            Self::Control(frames) => drop(frames),
        }
    }
}
