//! A rate limit for messages: [`Pace`].

use std::time::{Duration, Instant};

/// The time that a message costs. A client can send at this interval indefinitely.
const COST: Duration = Duration::from_millis(100);

/// The time that a client can save up: 60 messages at once.
const BURST: Duration = Duration::from_secs(6);

/// The number of consecutive dropped messages after which the client is closed.
const DROPPED: u32 = 100;

/// A token bucket of messages. It stores the time at which it is full again.
///
/// ```
/// use std::time::Instant;
/// use clws_examples::pace::{Excess, Pace};
///
/// let now = Instant::now();
/// let mut pace = Pace::new(now);
/// assert!((0..60).all(|_| pace.take(now).is_ok()));
/// assert_eq!(pace.take(now), Err(Excess::First));
/// ```
#[derive(Clone, Debug)]
pub struct Pace {
    full_at: Instant,
    /// Messages dropped since the last accepted message.
    dropped: u32,
}

/// A message above the rate limit, and the action to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Drop the message and notify the client. It is the first of a series.
    First,
    /// Drop the message. An answer to each would cost more than handling it.
    Dropped,
    /// Close the client, because it does not stop.
    Closed,
}

impl Pace {
    /// Creates the pace of a new client, with a full bucket.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { full_at: now, dropped: 0 }
    }

    /// Takes one message from the bucket.
    ///
    /// # Errors
    ///
    /// The bucket is empty.
    pub fn take(&mut self, now: Instant) -> Result<(), Excess> {
        let full_at = self.full_at.max(now) + COST;
        if full_at.duration_since(now) <= BURST {
            (self.full_at, self.dropped) = (full_at, 0);
            return Ok(());
        }
        self.dropped += 1;
        Err(match self.dropped {
            1 => Excess::First,
            2..DROPPED => Excess::Dropped,
            _ => Excess::Closed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_a_steady_client() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..1000 {
            now += COST;
            assert_eq!(pace.take(now), Ok(()));
        }
        // The bucket saves no more than a burst.
        now += 10 * BURST;
        assert_eq!((0..100).filter(|_| pace.take(now).is_ok()).count(), 60);
    }

    #[test]
    fn notifies_once_and_then_closes() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!((0..60).filter(|_| pace.take(now).is_ok()).count(), 60);
        assert_eq!(pace.take(now), Err(Excess::First));
        for _ in 2..100 {
            assert_eq!(pace.take(now), Err(Excess::Dropped));
        }
        assert_eq!(pace.take(now), Err(Excess::Closed));
    }

    #[test]
    fn a_pause_refills_the_bucket() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        while pace.take(now).is_ok() {}
        assert_eq!(pace.take(now + COST / 2), Err(Excess::Dropped));
        now += COST;
        assert_eq!(pace.take(now), Ok(()));
        assert_eq!(pace.take(now), Err(Excess::First));
    }
}
