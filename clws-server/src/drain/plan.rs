//! The times of a drain, and its close frame.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clws_proto::CloseCode;

use crate::drain::options::Drain;
use crate::time::deadline_after;

/// The plan of a drain that has begun.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) code: CloseCode,
    pub(crate) reason: Arc<str>,
    pub(crate) keeps_port: bool,
    pub(crate) started: Instant,
    /// The last close begins before this time.
    pub(crate) spread_until: Instant,
    /// Handlers that have not come to the close by then get no more time: their clients are closed.
    pub(crate) force_at: Instant,
    /// Clients that are left are cut.
    pub(crate) until: Instant,
    /// The clients have left, so handshakes are refused at once.
    pub(crate) is_over: bool,
}

impl Plan {
    pub(crate) fn new(drain: Drain, close_timeout: Duration, now: Instant) -> Self {
        let until = deadline_after(now, drain.within);
        // A client that is closed last still has time for its answer.
        let within = until.saturating_duration_since(now);
        let force_at = until - close_timeout.min(within / 2);
        Self {
            code: drain.code,
            reason: drain.reason.into(),
            keeps_port: drain.keep_port,
            started: now,
            spread_until: deadline_after(now, drain.spread).min(force_at),
            force_at,
            until,
            is_over: false,
        }
    }

    /// Applies a second drain, which can only end the first one earlier.
    pub(crate) fn shorten(&mut self, drain: Drain, close_timeout: Duration, now: Instant) {
        let other = Self::new(drain, close_timeout, now);
        self.until = self.until.min(other.until);
        self.force_at = self.force_at.min(other.force_at);
        self.spread_until = self.spread_until.min(other.spread_until);
    }

    /// The time at which the client with that index of `count` is closed.
    pub(crate) fn turn(&self, from: Instant, index: usize, count: usize) -> Instant {
        let spread = self.spread_until.saturating_duration_since(from);
        let nanos = spread.as_nanos() * index as u128 / count.max(1) as u128;
        from + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn leaves_time_for_the_last_answer() {
        let now = Instant::now();
        for (within, spread, close_timeout, last, force) in
            [(30, 10, 5, 10, 25), (30, 60, 5, 25, 25), (4, 60, 5, 2, 2), (0, 0, 5, 0, 0), (30, 0, 0, 0, 30)]
        {
            let drain = Drain::new().within(within * SECOND).spread(spread * SECOND);
            let plan = Plan::new(drain, close_timeout * SECOND, now);
            assert_eq!(plan.spread_until - now, last * SECOND);
            assert_eq!(plan.force_at - now, force * SECOND);
        }
        let plan = Plan::new(Drain::new().within(Duration::MAX).spread(Duration::MAX), SECOND, now);
        assert!(plan.spread_until <= plan.force_at && plan.force_at < plan.until);
    }

    #[test]
    fn a_second_drain_only_shortens() {
        let now = Instant::now();
        let mut plan = Plan::new(Drain::new().within(20 * SECOND).spread(10 * SECOND), SECOND, now);
        plan.shorten(Drain::new().within(60 * SECOND).spread(30 * SECOND), SECOND, now + SECOND);
        assert_eq!((plan.until - now, plan.spread_until - now), (20 * SECOND, 10 * SECOND));
        plan.shorten(Drain::new().within(5 * SECOND).spread(Duration::ZERO), SECOND, now + SECOND);
        assert_eq!((plan.until - now, plan.force_at - now), (6 * SECOND, 5 * SECOND));
        assert_eq!(plan.spread_until - now, SECOND);
    }

    #[test]
    fn turns_are_spread_evenly() {
        let now = Instant::now();
        let plan = Plan::new(Drain::new().within(60 * SECOND).spread(10 * SECOND), SECOND, now);
        let turns: Vec<_> = (0..5).map(|index| (plan.turn(now, index, 5) - now).as_secs()).collect();
        assert_eq!(turns, [0, 2, 4, 6, 8]);
        assert_eq!(plan.turn(now, usize::MAX, usize::MAX), plan.spread_until);
        assert_eq!(plan.turn(plan.until, 3, 5), plan.until, "the spread is over");
        assert_eq!(plan.turn(now, 0, 0), now);
    }
}
