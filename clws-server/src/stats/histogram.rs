//! A histogram of durations with fixed buckets, for threads that record and threads that read.

use std::fmt;
use std::time::Duration;

use crate::stats::counter::Counter;

/// The buckets of each power of two, as a power of two: a bucket is at most a fourth wider than its
/// lower bound.
const SUB_BITS: u32 = 2;

/// The upper bound of the first bucket is this power of two, in nanoseconds: 256 ns.
const MIN_BITS: u32 = 8;

/// Longer durations fall into the last bucket. This power of two in nanoseconds is 69 seconds.
const MAX_BITS: u32 = 36;

/// The number of buckets: one for the shortest durations, and one for the longest.
pub(crate) const BUCKETS: usize = ((MAX_BITS - MIN_BITS) << SUB_BITS) as usize + 2;

/// The counts that one thread or several threads change.
#[derive(Debug)]
pub(crate) struct AtomicHistogram {
    buckets: [Counter; BUCKETS],
    /// The sum of all durations, in nanoseconds.
    sum: Counter,
}

impl AtomicHistogram {
    pub(super) const fn new() -> Self {
        Self { buckets: [const { Counter::new() }; BUCKETS], sum: Counter::new() }
    }

    /// Records a duration, `times` times. `is_shared` means that several threads record.
    pub(super) fn record(&self, duration: Duration, times: u64, is_shared: bool) {
        // Cheaper than the 128 bits of `as_nanos`.
        let nanos = duration.as_secs().saturating_mul(1_000_000_000);
        let nanos = nanos.saturating_add(u64::from(duration.subsec_nanos()));
        if let Some(bucket) = self.buckets.get(bucket_of(nanos)) {
            bucket.add(times, is_shared);
            self.sum.add(nanos.saturating_mul(times), is_shared);
        }
    }

    pub(super) fn add_to(&self, total: &mut Histogram) {
        for (sum, bucket) in total.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        total.sum = total.sum.wrapping_add(self.sum.get());
    }
}

/// The bucket of a duration in nanoseconds.
fn bucket_of(nanos: u64) -> usize {
    let Some(power) = nanos.checked_ilog2().filter(|power| *power >= MIN_BITS) else { return 0 };
    if power >= MAX_BITS {
        return BUCKETS - 1;
    }
    let sub = (nanos >> (power - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    1 + ((power - MIN_BITS) << SUB_BITS) as usize + usize::try_from(sub).unwrap_or(0)
}

/// The duration in nanoseconds at which a bucket ends. The last bucket has no end.
fn end_of(bucket: usize) -> u64 {
    let Some(after_first) = bucket.checked_sub(1) else { return 1 << MIN_BITS };
    let (power, sub) = (after_first >> SUB_BITS, after_first & ((1 << SUB_BITS) - 1));
    ((1 << SUB_BITS) as u64 + sub as u64 + 1) << (MIN_BITS as usize + power - SUB_BITS as usize)
}

/// A distribution of durations.
///
/// Its buckets have fixed bounds: from 256 ns to 69 s, four buckets for each power of two. So a
/// duration is known to a fourth of its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    pub(super) buckets: [u64; BUCKETS],
    pub(super) sum: u64,
}

impl Histogram {
    /// The number of recorded durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all recorded durations.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// The average, or 0 if nothing was recorded.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum.checked_div(self.count()).unwrap_or(0))
    }

    /// A duration that is not exceeded by this part of all durations, for instance 0.99: the upper
    /// bound of a bucket. 0 if nothing was recorded. A part below 0 counts as 0, a part above 1 as
    /// 1.
    ///
    /// ```
    /// # fn warn(stats: &clws_server::Stats) {
    /// if stats.turn_time.quantile(0.99).as_millis() > 50 {
    ///     eprintln!("a handler blocks its thread");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        let count = self.count();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "the part is between 0 and 1, and a rounded count is as good"
        )]
        let rank = ((part.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, number) in self.buckets.iter().enumerate() {
            seen += number;
            if seen >= rank {
                return Duration::from_nanos(end_of(bucket));
            }
        }
        Duration::ZERO
    }

    /// The durations that were recorded after an earlier snapshot of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        for (bucket, before) in later.buckets.iter_mut().zip(&earlier.buckets) {
            *bucket = bucket.saturating_sub(*before);
        }
        later.sum = later.sum.saturating_sub(earlier.sum);
        later
    }

    /// The buckets that are not empty, from the shortest duration to the longest: the upper bound
    /// of each, and the number of durations in it. The bound of the last possible bucket is 69 s,
    /// and also stands for longer durations.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let buckets = self.buckets.iter().enumerate();
        let filled = buckets.filter(|(_, number)| **number > 0);
        filled.map(|(bucket, number)| (Duration::from_nanos(end_of(bucket.min(BUCKETS - 2))), *number))
    }
}

impl Default for Histogram {
    /// A histogram without durations.
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum: 0 }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("mean", &self.mean())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(durations: &[u64]) -> Histogram {
        let (histogram, mut total) = (AtomicHistogram::new(), Histogram::default());
        for nanos in durations {
            histogram.record(Duration::from_nanos(*nanos), 1, false);
        }
        histogram.add_to(&mut total);
        total
    }

    #[test]
    fn each_duration_lies_in_its_bucket() {
        let mut nanos = 1_u64;
        while nanos < 100_000_000_000 {
            let bucket = bucket_of(nanos);
            let start = bucket.checked_sub(1).map_or(0, end_of);
            assert!(start <= nanos, "{nanos} {bucket}");
            if bucket < BUCKETS - 1 {
                assert!(nanos < end_of(bucket), "{nanos} {bucket}");
                assert!(nanos < 256 || end_of(bucket) - start <= start / 4, "{nanos} {bucket}");
            }
            nanos += nanos / 7 + 1;
        }
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn a_quantile_is_the_bound_of_a_bucket() {
        let millisecond = 1_000_000;
        let histogram = recorded(&[[millisecond; 99].as_slice(), &[100 * millisecond]].concat());
        assert_eq!(histogram.count(), 100);
        assert_eq!(histogram.sum(), Duration::from_millis(199));
        assert_eq!(histogram.mean(), Duration::from_nanos(1_990_000));
        for (part, least) in [(0.0, 1), (0.5, 1), (0.99, 1), (0.991, 100), (1.0, 100), (7.0, 100)] {
            let (found, least) = (histogram.quantile(part), Duration::from_millis(least));
            assert!(found >= least && found <= least * 5 / 4, "{part}: {found:?}");
        }
        assert_eq!(Histogram::default().quantile(0.5), Duration::ZERO);
        assert_eq!(Histogram::default().mean(), Duration::ZERO);
        assert!(recorded(&[u64::MAX]).quantile(0.5) >= Duration::from_secs(68));
    }

    #[test]
    fn a_difference_has_the_later_durations() {
        let (before, after) = (recorded(&[10, 5000]), recorded(&[10, 5000, 5000, 70_000]));
        let since = after.since(&before);
        assert_eq!((since.count(), since.sum()), (2, Duration::from_nanos(75_000)));
        let bounds: Vec<_> = since.buckets().map(|(end, number)| (end.as_nanos(), number)).collect();
        assert_eq!(bounds, [(5120, 1), (81_920, 1)]);
    }
}
