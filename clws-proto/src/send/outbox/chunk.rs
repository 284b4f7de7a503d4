//! The chunks of an outbox.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use crate::buffer::pool::BufferPool;
use crate::buffer::slice::BufSlice;
use crate::send::shared::Reference;

/// A chunk of queued bytes.
#[derive(Debug)]
pub(super) enum Chunk {
    /// A shared message.
    Shared(Reference),
    /// Several shared messages.
    Run(VecDeque<Reference>),
    /// Some frames of a fragmented shared message: the bytes in the range.
    Frames(Reference, Range<usize>),
    /// A message that the application gave away and may still share. Dropping it may run
    /// application code.
    Bytes(Bytes),
    Slice(BufSlice),
    /// Small frames.
    Flat(Vec<u8>),
    /// Control frames that overtook the chunks after them.
    Control(Vec<u8>),
}

impl Chunk {
    /// The memory that only this chunk holds. A shared message is counted once for all outboxes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Shared(_) | Self::Frames(..) => 0,
            Self::Run(run) => run.capacity() * size_of::<Reference>(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Slice(slice) => slice.capacity(),
            Self::Flat(buffer) | Self::Control(buffer) => buffer.capacity(),
        }
    }

    /// The number of slices.
    pub(super) fn slices(&self) -> usize {
        if let Self::Run(run) = self { run.len() } else { 1 }
    }

    /// The first slice.
    pub(super) fn first(&self) -> &[u8] {
        match self {
            Self::Shared(message) => message,
            Self::Run(run) => run.front().map_or(&[], |message| message),
            Self::Frames(message, range) => message.get(range.clone()).unwrap_or_default(),
            Self::Bytes(bytes) => bytes,
            Self::Slice(slice) => slice,
            Self::Flat(buffer) | Self::Control(buffer) => buffer,
        }
    }

    /// The other slices.
    pub(super) fn others(&self) -> impl Iterator<Item = &[u8]> {
        let run = if let Self::Run(run) = self { Some(run) } else { None };
        run.into_iter().flat_map(|run| run.iter().skip(1)).map(|message| &message[..])
    }

    /// Returns the buffer to the pool.
    pub(super) fn release(self, buffers: &dyn BufferPool) {
        match self {
            Self::Flat(buffer) => buffers.release(buffer),
            Self::Slice(slice) => buffers.release(slice.into_buffer()),
            Self::Bytes(bytes) => buffers.discard(bytes),
            Self::Shared(message) | Self::Frames(message, _) => drop(message),
            Self::Run(run) => drop(run),
            Self::Control(frames) => drop(frames),
        }
    }
}
