//! The buffer that all reads of a shard go through.

use std::ops::Range;

use crate::pool;

/// The least and the most octets of it.
const LEAST: usize = 64 * 1024;
const MOST: usize = (1 << 20) + HEADERS;

/// It grows and shrinks by this. A big message keeps the buffer that it was read to, instead of being copied, where it fills a
/// quarter of it; so the buffer follows the messages.
const STEP: usize = 4;

/// Room for a message's header and for small ones before it.
const HEADERS: usize = 8 * 1024;

/// A big message's payload lies at a multiple of this, for the sake of the copies and the mask: what was read begins so many
/// octets before one as a big frame's header has.
const ALIGNED: usize = 64;
const HEADER: usize = 14;

/// So many reads in a row that would have fitted into a quarter of the next smaller buffer make it smaller.
const PATIENCE: u8 = 64;

#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Empty where a message has kept it.
    buffer: Vec<u8>,
    /// Where in it reads begin.
    start: usize,
    /// Octets that it takes when it is lent next.
    size: usize,
    small_reads: u8,
}

impl Scratch {
    pub(crate) const fn new() -> Self {
        Self { buffer: Vec::new(), start: 0, size: LEAST, small_reads: 0 }
    }

    /// Where to read to.
    #[inline]
    pub(crate) fn lend(&mut self) -> &mut [u8] {
        if self.buffer.len() != self.size + ALIGNED {
            self.replace();
        }
        self.buffer.get_mut(self.start..self.start + self.size).unwrap_or_default()
    }

    /// The buffer, which a message may keep, and where in it lies what was read.
    #[inline]
    pub(crate) fn read(&mut self, count: usize) -> (&mut Vec<u8>, Range<usize>) {
        self.note(count);
        (&mut self.buffer, self.start..self.start + count)
    }

    #[inline]
    fn note(&mut self, count: usize) {
        if count == self.size {
            self.grow();
        } else if self.size > LEAST {
            self.shrink(count);
        }
    }

    #[cold]
    fn grow(&mut self) {
        self.small_reads = 0;
        self.size = (self.size * STEP + HEADERS).min(MOST);
    }

    fn shrink(&mut self, count: usize) {
        if count >= self.size / STEP / STEP {
            self.small_reads = 0;
        } else if self.small_reads < PATIENCE {
            self.small_reads += 1;
        } else {
            self.small_reads = 0;
            self.size = (self.size / STEP).max(LEAST);
        }
    }

    #[inline(never)]
    fn replace(&mut self) {
        pool::give(std::mem::take(&mut self.buffer));
        let octets = self.size + ALIGNED;
        self.buffer = pool::take(octets);
        self.buffer.truncate(octets);
        self.buffer.resize(octets, 0);
        let unaligned = (self.buffer.as_ptr().addr() + HEADER) % ALIGNED;
        self.start = (ALIGNED - unaligned) % ALIGNED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_is_read() {
        let mut scratch = Scratch::new();
        let mut sizes = vec![scratch.lend().len()];
        for _ in 0..4 {
            scratch.read(scratch.size);
            sizes.push(scratch.lend().len());
        }
        assert_eq!(sizes, [LEAST, 4 * LEAST + HEADERS, MOST, MOST, MOST]);
        for _ in 0..1000 {
            scratch.read(MOST - 1);
            for _ in 0..PATIENCE {
                scratch.read(1);
            }
            assert_eq!(scratch.lend().len(), MOST, "a big one now and then");
        }
        for _ in 0..1000 {
            scratch.read(1);
        }
        assert_eq!(scratch.lend().len(), LEAST);
    }

    #[test]
    fn one_that_was_kept_is_replaced() {
        let mut scratch = Scratch::new();
        scratch.lend();
        let (buffer, range) = scratch.read(100);
        let kept = std::mem::take(buffer);
        assert_eq!((kept.as_ptr().addr() + range.start + HEADER) % ALIGNED, 0);
        assert_eq!((kept.len(), scratch.lend().len()), (LEAST + ALIGNED, LEAST));
        let lies_at = kept.as_ptr();
        pool::give(kept);
        drop(std::mem::take(scratch.read(0).0));
        scratch.lend();
        assert_eq!(scratch.read(0).0.as_ptr(), lies_at, "by one of the pool's");
    }
}
