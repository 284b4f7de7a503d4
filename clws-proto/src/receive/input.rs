//! The input of a receiver.

use std::ops::Range;

use crate::buffer::pool::min_adoptable_len;
use crate::message::event::Payload;

/// What was read.
#[derive(Debug)]
pub(super) enum Input<'a> {
    Lent(&'a mut [u8]),
    /// What lies between in a buffer, which may be kept.
    Owned {
        buffer: &'a mut Vec<u8>,
        start: usize,
        end: usize,
    },
}

impl Input<'_> {
    #[inline]
    pub(super) fn octets(&mut self) -> &mut [u8] {
        match self {
            Self::Lent(octets) => octets,
            Self::Owned { buffer, start, end } => buffer.get_mut(*start..*end).unwrap_or_default(),
        }
    }

    /// How many octets of one message may keep the buffer.
    #[inline]
    pub(super) const fn min_adoptable_len(&self) -> usize {
        match self {
            Self::Lent(_) => usize::MAX,
            Self::Owned { buffer, .. } => min_adoptable_len(buffer.capacity()),
        }
    }

    /// A message that lies there, with the buffer if it is the last that was read and is min_adoptable_len it.
    #[inline]
    pub(super) fn payload(&mut self, range: Range<usize>) -> Payload<'_> {
        match self {
            Self::Lent(octets) => Payload::borrowed(octets.get(range).unwrap_or_default()),
            Self::Owned { buffer, start, end } => {
                let range = *start + range.start..*start + range.end;
                if range.end == *end && range.len() >= min_adoptable_len(buffer.capacity()) {
                    Payload::owned(buffer, range)
                } else {
                    Payload::borrowed(buffer.get(range).unwrap_or_default())
                }
            }
        }
    }
}

/// The input of one step.
pub(super) struct Cursor<'a> {
    pub(super) buffer: &'a mut [u8],
    /// Where the step begins, and then where it ended.
    pub(super) position: &'a mut usize,
    /// So many octets of one message may keep the buffer.
    pub(super) min_adoptable_len: usize,
}
