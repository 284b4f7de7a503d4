//! Binary messages in progress.

use crate::buffer::pool::{BufferPool, MAX_CAPACITY_RATIO, acquire_fitting, release_to};
use crate::buffer::slice::BufSlice;
use crate::message::text::reserve_bounded;

/// The maximum length of one direct read. The bytes are unmasked while they are in the cache.
const MAX_DIRECT_READ: usize = 256 * 1024;

/// Shorter reads go through the shared read buffer.
const MIN_DIRECT_READ: usize = 16 * 1024;

/// A binary message in progress. It grows by copies of received bytes, or by reads directly into
/// its buffer.
///
/// The buffer is longer than the received bytes, because safe code can only read into initialised
/// memory. Initialising it for each message would cost as much as a copy. A pooled buffer is
/// already initialised.
#[derive(Debug, Default)]
pub(crate) struct BinaryAssembler {
    slice: BufSlice,
    /// The length of the last spare capacity that was lent.
    lent: usize,
}

impl BinaryAssembler {
    /// Continues in the buffer that the first bytes were read into.
    pub(crate) const fn adopt_buffer(slice: BufSlice) -> Self {
        Self { slice, lent: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.slice.len()
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.slice.capacity()
    }

    /// Appends received bytes. The whole message has at most `max_len` bytes.
    pub(crate) fn append(&mut self, piece: &[u8], max_len: usize, buffers: &dyn BufferPool) {
        self.lent = 0;
        if piece.len() > self.slice.spare() {
            self.grow(piece.len(), piece.len(), max_len, buffers);
        }
        self.slice.append(piece, |buffer| {
            let (len, capacity) = (buffer.len(), buffer.capacity());
            reserve_bounded(len, capacity, piece.len(), max_len, |additional| {
                buffer.reserve_exact(additional);
            });
        });
    }

    /// Memory to read into, for a frame with `remaining` missing bytes. `None` if few bytes are
    /// missing.
    ///
    /// The memory at most doubles the received bytes. A peer that declares a long frame and sends
    /// little gets little memory.
    pub(crate) fn spare_capacity(&mut self, remaining: usize, buffers: &dyn BufferPool) -> Option<&mut [u8]> {
        // Initialised memory is used first. Growing at each short read would move the message each
        // time.
        let spare = self.slice.spare();
        let max = if spare >= MIN_DIRECT_READ.min(remaining) { spare } else { self.len() };
        let size = remaining.min(MAX_DIRECT_READ).min(max);
        if size < MIN_DIRECT_READ {
            return None;
        }
        if size > self.slice.spare() {
            self.grow(size, 0, self.len().saturating_add(remaining), buffers);
        }
        if size > self.slice.spare() {
            // Doubling once the capacity is used up keeps the total work linear.
            if size > self.slice.free() {
                self.slice.reserve_exact(size.max(self.len().min(remaining)));
            }
            self.slice.initialise(size);
        }
        self.lent = size;
        self.slice.spare_capacity(size)
    }

    /// Makes space for `additional` bytes, of which `incoming` have been received: at the start of
    /// this buffer, or in a pooled buffer of at most twice the message's maximum length.
    fn grow(&mut self, additional: usize, incoming: usize, max_len: usize, buffers: &dyn BufferPool) {
        let needed = self.len().saturating_add(additional);
        let received = self.len().saturating_add(incoming);
        let max = max_len.saturating_mul(2).min(received.saturating_mul(MAX_CAPACITY_RATIO)).max(needed);
        if needed > self.slice.capacity()
            && let Some(buffer) = acquire_fitting(buffers, needed, max)
        {
            release_to(buffers, self.slice.move_to(buffer));
        }
        self.slice.move_to_start();
    }

    /// Marks `count` bytes of the lent spare capacity as received, and returns them.
    pub(crate) fn read(&mut self, count: usize) -> &mut [u8] {
        let count = count.min(std::mem::take(&mut self.lent));
        self.slice.extend_by(count)
    }

    /// Takes the received bytes.
    pub(crate) fn take(&mut self) -> BufSlice {
        std::mem::take(self).slice
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.slice
    }

    pub(crate) fn finish(self) -> BufSlice {
        self.slice
    }
}
