//! A token bucket: a rate, and a burst of what one second allows.

use std::time::{Duration, Instant};

use crate::time::deadline_after;

/// A full bucket has the tokens of this time.
const BURST: Duration = Duration::from_secs(1);

/// The tokens are measured in time. The bucket is full at `full_at`, and each token that is taken
/// delays that by the time in which a token is added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// Tokens per second.
    rate: u64,
    full_at: Instant,
}

impl Bucket {
    /// A full bucket. Returns `None` for the rate 0, which means no limit.
    pub(super) fn new(rate: u64, now: Instant) -> Option<Self> {
        (rate > 0).then_some(Self { rate, full_at: now })
    }

    /// Forgets the tokens that were added while the bucket was full at `now`.
    pub(super) fn fill(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now);
    }

    /// Takes tokens. The bucket may be in debt afterwards. Returns false if it is.
    pub(super) fn take(&mut self, tokens: u64, now: Instant) -> bool {
        self.full_at = deadline_after(self.full_at, self.time_of(tokens));
        self.missing(now).is_zero()
    }

    /// The time until the bucket has a token.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let after = deadline_after(self.full_at, self.time_of(1));
        after.saturating_duration_since(now).saturating_sub(BURST)
    }

    /// The debt, as the time in which it is paid.
    fn missing(&self, now: Instant) -> Duration {
        self.full_at.saturating_duration_since(now).saturating_sub(BURST)
    }

    /// The time in which tokens are added.
    fn time_of(&self, tokens: u64) -> Duration {
        let nanos = u128::from(tokens) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(all(test, not(shuttle)))]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_rate_0_is_no_limit() {
        assert!(Bucket::new(0, Instant::now()).is_none());
    }

    #[test]
    fn a_burst_is_what_one_second_allows() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start).unwrap();
        for _ in 0..10 {
            assert_eq!(bucket.wait(start), Duration::ZERO);
            assert!(bucket.take(1, start));
        }
        assert_eq!(bucket.wait(start), SECOND / 10);
        assert!(!bucket.take(1, start));
        assert_eq!(bucket.wait(start), SECOND / 5);
        assert_eq!(bucket.wait(start + SECOND / 5), Duration::ZERO);
    }

    #[test]
    fn a_full_bucket_gets_no_more_tokens() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start).unwrap();
        let later = start + 100 * SECOND;
        bucket.fill(later);
        assert!(bucket.take(10, later) && !bucket.take(1, later));
    }

    #[test]
    fn a_debt_is_paid_at_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, start).unwrap();
        assert!(!bucket.take(5000, start));
        assert_eq!(bucket.wait(start), 4 * SECOND + Duration::from_millis(1));
        // No debt is too long for the clock.
        bucket.take(u64::MAX, start);
        bucket.take(u64::MAX, start);
        assert!(bucket.wait(start) > 1000 * SECOND);
        let mut fast = Bucket::new(u64::MAX, start).unwrap();
        assert!(fast.take(1 << 40, start));
    }

    /// Over any time, a client that never stops gets the rate and one burst.
    #[test]
    fn the_average_is_the_rate() {
        for rate in [1, 3, 7, 1000, 123_457] {
            let start = Instant::now();
            let mut bucket = Bucket::new(rate, start).unwrap();
            let (mut now, mut taken) = (start, 0);
            while now < start + 10 * SECOND {
                bucket.fill(now);
                taken += 1;
                bucket.take(1, now);
                now += bucket.wait(now);
            }
            // Times are rounded to nanoseconds.
            assert!(taken >= 10 * rate && taken <= 11 * rate + 1 + rate / 100, "{rate}: {taken}");
        }
    }
}
