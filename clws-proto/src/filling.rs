use crate::Buffers;
use crate::buffers::{fitting, give_back};
use crate::utf8::reserve_bounded;

/// The most octets that a frame's payload is read in directly at once: they are unmasked while they are in the cache.
const AT_ONCE: usize = 256 * 1024;

/// Rooms under this are not worth a read of their own.
const WORTH_IT: usize = 16 * 1024;

/// A binary message that grows: by copies of what came, or by reads straight into it.
///
/// The buffer is longer than what has come, since safe code can only read into memory that is initialised, and to do
/// that again for each message would cost as much as a copy. A pooled buffer comes initialised.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    octets: Vec<u8>,
    filled: usize,
}

impl Filling {
    pub(crate) const fn len(&self) -> usize {
        self.filled
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.octets.capacity()
    }

    /// Appends what has come, to a message that will not be longer than `longest`.
    pub(crate) fn append(&mut self, piece: &[u8], longest: usize, buffers: &dyn Buffers) {
        self.grow(self.filled.saturating_add(piece.len()), buffers);
        if let Some(room) = self.octets.get_mut(self.filled..).and_then(|room| room.get_mut(..piece.len())) {
            room.copy_from_slice(piece);
        } else {
            self.octets.truncate(self.filled);
            let capacity = self.octets.capacity();
            reserve_bounded(self.filled, capacity, piece.len(), longest, |n| self.octets.reserve_exact(n));
            self.octets.extend_from_slice(piece);
        }
        self.filled += piece.len();
    }

    /// Room to read into, for a frame of which `remaining` octets have not come; `None` where little is missing.
    ///
    /// There is never more room than there are octets already, so a peer that declares much and sends little gets
    /// little.
    pub(crate) fn room(&mut self, remaining: usize, buffers: &dyn Buffers) -> Option<&mut [u8]> {
        let size = remaining.min(AT_ONCE).min(self.filled);
        if size < WORTH_IT {
            return None;
        }
        let end = self.filled + size;
        self.grow(end, buffers);
        if self.octets.len() < end {
            // To double keeps the growth linear in all; from what has come, not from a capacity that was doubled before.
            let wanted = end.max(self.filled.saturating_mul(2).min(self.filled + remaining));
            self.octets.reserve_exact(wanted.saturating_sub(self.octets.len()));
            self.octets.resize(end, 0);
        }
        self.octets.get_mut(self.filled..end)
    }

    /// Moves to a buffer of the pool where so many octets are too many for this one, and the pool has one.
    fn grow(&mut self, octets: usize, buffers: &dyn Buffers) {
        if octets > self.octets.capacity()
            && let Some(mut buffer) = fitting(buffers, octets)
        {
            let filled = self.octets.get(..self.filled).unwrap_or_default();
            match buffer.get_mut(..self.filled) {
                Some(start) => start.copy_from_slice(filled),
                None => {
                    buffer.clear();
                    buffer.extend_from_slice(filled);
                }
            }
            give_back(buffers, std::mem::replace(&mut self.octets, buffer));
        }
    }

    /// Takes note that so many octets of the room were read, and lends them.
    pub(crate) fn read(&mut self, count: usize) -> &mut [u8] {
        let start = self.filled;
        self.filled = self.octets.len().min(start + count);
        self.octets.get_mut(start..self.filled).unwrap_or_default()
    }

    /// What has come.
    #[cfg(feature = "deflate")]
    pub(crate) fn octets(&self) -> &[u8] {
        self.octets.get(..self.filled).unwrap_or_default()
    }

    /// The whole message.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.octets.truncate(self.filled);
        self.octets
    }
}
