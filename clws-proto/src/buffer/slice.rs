use std::fmt;
use std::ops::{Deref, Range};

use bytes::Bytes;

use crate::buffer::pool::is_snug;
use crate::frame::mask::apply_mask;

/// Octets in a buffer of their own, which may have others before and behind them: who reads into it again need not initialise
/// it again.
#[derive(Default)]
pub(crate) struct BufSlice {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl BufSlice {
    pub(crate) const fn new(buffer: Vec<u8>, range: Range<usize>) -> Self {
        Self { buffer, start: range.start, end: range.end }
    }

    pub(crate) const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Initialised octets behind them.
    pub(crate) const fn spare(&self) -> usize {
        self.buffer.len().saturating_sub(self.end)
    }

    /// How many more bytes fit without another allocation.
    pub(crate) const fn free(&self) -> usize {
        self.buffer.capacity().saturating_sub(self.end)
    }

    /// The next so many octets behind them; `None` where not so many are initialised.
    pub(crate) fn spare_capacity(&mut self, octets: usize) -> Option<&mut [u8]> {
        self.buffer.get_mut(self.end..)?.get_mut(..octets)
    }

    /// Takes so many more of the initialised octets for its own, and shows them.
    pub(crate) fn extend_by(&mut self, octets: usize) -> &mut [u8] {
        let start = self.end;
        self.end = self.buffer.len().min(start.saturating_add(octets));
        self.buffer.get_mut(start..self.end).unwrap_or_default()
    }

    /// Appends octets, past what is initialised: `reserve` is given the buffer, its end being the end of these octets.
    pub(crate) fn append(&mut self, octets: &[u8], reserve: impl FnOnce(&mut Vec<u8>)) {
        if let Some(room) = self.spare_capacity(octets.len()) {
            room.copy_from_slice(octets);
        } else {
            self.buffer.truncate(self.end);
            reserve(&mut self.buffer);
            self.buffer.extend_from_slice(octets);
        }
        self.end += octets.len();
    }

    /// Initialises as much of the buffer as it takes to have so many octets of room.
    pub(crate) fn initialise(&mut self, octets: usize) {
        let end = self.end.saturating_add(octets);
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
    }

    pub(crate) fn reserve_exact(&mut self, octets: usize) {
        let initialised = self.spare();
        self.buffer.reserve_exact(octets.saturating_sub(initialised));
    }

    /// Masks or unmasks all of them, as the beginning of a frame.
    pub(crate) fn apply_mask(&mut self, key: [u8; 4]) {
        apply_mask(key, 0, self.buffer.get_mut(self.start..self.end).unwrap_or_default());
    }

    /// Moves to the start of its buffer, so that nothing is before it. A part that is to grow does so once.
    pub(crate) fn move_to_start(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start.min(self.end)..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
    }

    /// Whether it fills half of its buffer, and so may keep it.
    pub(crate) const fn is_snug(&self) -> bool {
        is_snug(self.len(), self.buffer.capacity())
    }

    /// Moves to another buffer, and gives up this one.
    pub(crate) fn move_to(&mut self, mut buffer: Vec<u8>) -> Vec<u8> {
        match buffer.get_mut(..self.len()) {
            Some(start) => start.copy_from_slice(self),
            None => {
                buffer.clear();
                buffer.extend_from_slice(self);
            }
        }
        let moved = Self { start: 0, end: self.len(), buffer };
        std::mem::replace(self, moved).buffer
    }

    /// The whole buffer, for another to read into.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The octets and nothing else.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        self.buffer.truncate(self.end);
        self.buffer.drain(..self.start.min(self.end));
        self.buffer
    }

    /// The octets, where they are.
    pub(crate) fn into_bytes(self) -> Bytes {
        let Self { mut buffer, start, end } = self;
        buffer.truncate(end);
        let mut bytes = Bytes::from(buffer);
        bytes.split_off(start.min(bytes.len()))
    }
}

impl From<Vec<u8>> for BufSlice {
    fn from(buffer: Vec<u8>) -> Self {
        Self { start: 0, end: buffer.len(), buffer }
    }
}

impl Deref for BufSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }
}

impl fmt::Debug for BufSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufSlice").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}
