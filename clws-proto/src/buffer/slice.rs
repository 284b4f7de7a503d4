//! Byte ranges in owned buffers.

use std::fmt;
use std::ops::{Deref, Range};

use bytes::Bytes;

use crate::buffer::pool::fills_half;
use crate::frame::mask::apply_mask;

/// A byte range within an owned, initialised buffer.
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

    /// The number of initialised bytes after the range.
    pub(crate) const fn spare(&self) -> usize {
        self.buffer.len().saturating_sub(self.end)
    }

    /// The number of bytes that can follow without a new allocation.
    pub(crate) const fn free(&self) -> usize {
        self.buffer.capacity().saturating_sub(self.end)
    }

    /// The `len` bytes after the range. `None` if they are not all initialised.
    pub(crate) fn spare_capacity(&mut self, len: usize) -> Option<&mut [u8]> {
        self.buffer.get_mut(self.end..)?.get_mut(..len)
    }

    /// Extends the range by `len` initialised bytes and returns them.
    pub(crate) fn extend_by(&mut self, len: usize) -> &mut [u8] {
        let start = self.end;
        self.end = self.buffer.len().min(start.saturating_add(len));
        self.buffer.get_mut(start..self.end).unwrap_or_default()
    }

    /// Appends bytes. If they exceed the initialised part, `reserve` gets the buffer, cut at the
    /// range's end.
    pub(crate) fn append(&mut self, bytes: &[u8], reserve: impl FnOnce(&mut Vec<u8>)) {
        if let Some(spare) = self.spare_capacity(bytes.len()) {
            spare.copy_from_slice(bytes);
        } else {
            self.buffer.truncate(self.end);
            reserve(&mut self.buffer);
            self.buffer.extend_from_slice(bytes);
        }
        self.end += bytes.len();
    }

    /// Initialises the buffer until at least `len` bytes follow the range.
    pub(crate) fn initialise(&mut self, len: usize) {
        let end = self.end.saturating_add(len);
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
    }

    pub(crate) fn reserve_exact(&mut self, additional: usize) {
        let initialised = self.spare();
        self.buffer.reserve_exact(additional.saturating_sub(initialised));
    }

    /// Masks or unmasks the range, which is the beginning of a frame's payload.
    pub(crate) fn apply_mask(&mut self, key: [u8; 4]) {
        apply_mask(key, 0, self.buffer.get_mut(self.start..self.end).unwrap_or_default());
    }

    /// Moves the range to the start of its buffer, so that it can grow.
    pub(crate) fn move_to_start(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start.min(self.end)..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
    }

    /// Whether the range fills at least half of its buffer.
    pub(crate) const fn fills_half(&self) -> bool {
        fills_half(self.len(), self.buffer.capacity())
    }

    /// Moves the range to another buffer and returns the previous one.
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

    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The bytes of the range, without the rest of the buffer.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        self.buffer.truncate(self.end);
        self.buffer.drain(..self.start.min(self.end));
        self.buffer
    }

    /// The bytes of the range, without a copy.
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
