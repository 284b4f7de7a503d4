//! One number of the statistics.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// A number that only grows. It wraps around at 2^32 where pointers have 32 bits, because not every
/// such processor has longer atomic numbers.
#[derive(Debug)]
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed) as u64
    }

    /// Adds. If `is_shared` is false, only one thread may call it.
    #[inline]
    pub(super) fn add(&self, number: u64, is_shared: bool) {
        #[expect(clippy::cast_possible_truncation, reason = "the sum wraps around too")]
        let number = number as usize;
        if is_shared {
            self.0.fetch_add(number, Relaxed);
        } else {
            self.0.store(self.0.load(Relaxed).wrapping_add(number), Relaxed);
        }
    }
}
