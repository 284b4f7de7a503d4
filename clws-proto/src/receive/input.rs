//! The input of a receiver.

use std::ops::Range;

use crate::buffer::pool::min_adoptable_len;
use crate::message::event::Payload;

/// The bytes of one read, and where they lie.
#[derive(Debug)]
pub enum Input<'a> {
    /// In a buffer that the receiver may change, but not keep.
    Lent(&'a mut [u8]),
    /// In a range of a buffer that a large binary message may keep. It then leaves an empty `Vec`.
    Owned(&'a mut Vec<u8>, Range<usize>),
    /// In the [spare capacity](crate::Receiver::spare_capacity) of the receiver: their number.
    Direct(usize),
}

impl Input<'_> {
    #[inline]
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Owned(buffer, range) => buffer.get_mut(range.clone()).unwrap_or_default(),
            Self::Direct(_) => &mut [],
        }
    }

    /// The minimum length of a message that may keep the buffer.
    #[inline]
    pub(super) const fn min_adoptable_len(&self) -> usize {
        match self {
            Self::Lent(_) | Self::Direct(_) => usize::MAX,
            Self::Owned(buffer, _) => min_adoptable_len(buffer.capacity()),
        }
    }

    /// The payload at `range`. It owns the buffer if it is the last one and long enough.
    #[inline]
    pub(super) fn payload(&mut self, range: Range<usize>) -> Payload<'_> {
        match self {
            Self::Lent(bytes) => Payload::borrowed(bytes.get(range).unwrap_or_default()),
            Self::Direct(_) => Payload::borrowed(&[]),
            Self::Owned(buffer, read) => {
                let range = read.start + range.start..read.start + range.end;
                if range.end == read.end && range.len() >= min_adoptable_len(buffer.capacity()) {
                    Payload::owned(buffer, range)
                } else {
                    Payload::borrowed(buffer.get(range).unwrap_or_default())
                }
            }
        }
    }
}

/// The input of one decoding step.
pub(super) struct Cursor<'a> {
    pub(super) buffer: &'a mut [u8],
    /// The start of the step, and afterwards its end.
    pub(super) position: &'a mut usize,
    /// The minimum length of a message that may keep the buffer.
    pub(super) min_adoptable_len: usize,
    /// The step ends after this many frames without an event, although input may be left.
    pub(super) max_frames: u64,
}

/// Inflating one frame may take as long as decoding this many frames.
pub(super) const COST_OF_COMPRESSED: u64 = 1024;

/// Input that was not read by the caller: the bytes from `position` on, at least half of the
/// buffer.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) bytes: Vec<u8>,
    pub(super) position: usize,
}
