//! One number of the statistics.

use std::sync::atomic::Ordering::Relaxed;

#[cfg(target_has_atomic = "64")]
type Number = std::sync::atomic::AtomicU64;
/// Counts wrap around at 2^32 where there are no longer atomic numbers.
#[cfg(not(target_has_atomic = "64"))]
type Number = std::sync::atomic::AtomicUsize;

/// A number that only grows.
#[derive(Debug)]
pub(crate) struct Counter(Number);

impl Counter {
    pub(super) const fn new() -> Self {
        Self(Number::new(0))
    }

    pub(super) fn get(&self) -> u64 {
        #[cfg(target_has_atomic = "64")]
        let value = self.0.load(Relaxed);
        #[cfg(not(target_has_atomic = "64"))]
        let value = self.0.load(Relaxed) as u64;
        value
    }

    /// Adds. If `is_shared` is false, only one thread may call it.
    #[inline]
    pub(super) fn add(&self, number: u64, is_shared: bool) {
        #[cfg(not(target_has_atomic = "64"))]
        #[expect(clippy::cast_possible_truncation, reason = "the sum wraps around too")]
        let number = number as usize;
        if is_shared {
            self.0.fetch_add(number, Relaxed);
        } else {
            self.0.store(self.0.load(Relaxed).wrapping_add(number), Relaxed);
        }
    }
}
