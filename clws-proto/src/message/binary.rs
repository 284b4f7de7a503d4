use crate::buffer::pool::BufferPool;
use crate::buffer::pool::{MOST_TIMES, fitting, give_back};
use crate::buffer::slice::BufSlice;
use crate::message::text::reserve_bounded;

/// The most octets that a frame's payload is read in directly at once: they are unmasked while they are in the cache.
const AT_ONCE: usize = 256 * 1024;

/// Rooms under this are not min_adoptable_len a read of their own.
const WORTH_IT: usize = 16 * 1024;

/// A binary message that grows: by copies of what came, or by reads straight into it.
///
/// The buffer is longer than what has come, since safe code can only read into memory that is initialised, and to do
/// that again for each message would cost as much as a copy. A pooled buffer comes initialised.
#[derive(Debug, Default)]
pub(crate) struct BinaryAssembler {
    part: BufSlice,
    /// Octets of the room that was lent last.
    lent: usize,
}

impl BinaryAssembler {
    /// Goes on in the buffer that the first octets were read to.
    pub(crate) const fn adopt_buffer(part: BufSlice) -> Self {
        Self { part, lent: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.part.len()
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.part.capacity()
    }

    /// Appends what has come, to a message that will not be longer than `longest`.
    pub(crate) fn append(&mut self, piece: &[u8], longest: usize, buffers: &dyn BufferPool) {
        self.lent = 0;
        if piece.len() > self.part.spare() {
            self.grow(piece.len(), piece.len(), longest, buffers);
        }
        self.part.append(piece, |buffer| {
            let (len, capacity) = (buffer.len(), buffer.capacity());
            reserve_bounded(len, capacity, piece.len(), longest, |more| buffer.reserve_exact(more));
        });
    }

    /// Room to read into, for a frame of which `remaining` octets have not come; `None` where little is missing.
    ///
    /// No memory is taken for more octets than there are already, so a peer that declares much and sends little gets
    /// little.
    pub(crate) fn spare_capacity(&mut self, remaining: usize, buffers: &dyn BufferPool) -> Option<&mut [u8]> {
        // What is there is used first: to grow at each read that brings little would move the message at each.
        let spare = self.part.spare();
        let most = if spare >= WORTH_IT.min(remaining) { spare } else { self.len() };
        let size = remaining.min(AT_ONCE).min(most);
        if size < WORTH_IT {
            return None;
        }
        if size > self.part.spare() {
            self.grow(size, 0, self.len().saturating_add(remaining), buffers);
        }
        if size > self.part.spare() {
            // Doubling keeps the growth linear in all, if it waits until the capacity is used up.
            if size > self.part.free() {
                self.part.reserve_exact(size.max(self.len().min(remaining)));
            }
            self.part.initialise(size);
        }
        self.lent = size;
        self.part.spare_capacity(size)
    }

    /// Makes room for so many more octets, of which `coming` have come: at the beginning of this buffer, or, where that is too
    /// small, in one of the pool's that is not over twice the whole message.
    fn grow(&mut self, more: usize, coming: usize, longest: usize, buffers: &dyn BufferPool) {
        let octets = self.len().saturating_add(more);
        let came = self.len().saturating_add(coming);
        let most = longest.saturating_mul(2).min(came.saturating_mul(MOST_TIMES)).max(octets);
        if octets > self.part.capacity()
            && let Some(buffer) = fitting(buffers, octets, most)
        {
            give_back(buffers, self.part.move_to(buffer));
        }
        self.part.move_to_start();
    }

    /// Takes note that so many octets of the room were read, of those that were lent, and shows them.
    pub(crate) fn read(&mut self, count: usize) -> &mut [u8] {
        let count = count.min(std::mem::take(&mut self.lent));
        self.part.extend_by(count)
    }

    /// What has come.
    #[cfg(feature = "deflate")]
    pub(crate) fn octets(&self) -> &[u8] {
        &self.part
    }

    /// The whole message.
    pub(crate) fn finish(self) -> BufSlice {
        self.part
    }
}
