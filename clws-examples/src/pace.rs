//! How fast a client may write: [`Pace`].

use std::time::{Duration, Instant};

/// The time that a message costs. A client can write so often for ever.
const COST: Duration = Duration::from_millis(100);

/// The time that a client can spend in advance: 60 messages at once.
const BURST: Duration = Duration::from_secs(6);

/// Messages in a row that are dropped before their client is closed.
const DROPPED: u32 = 100;

/// The messages that a client has left: a token bucket, kept as the time at which it is full again.
///
/// ```
/// use std::time::Instant;
/// use clws_examples::pace::{Excess, Pace};
///
/// let now = Instant::now();
/// let mut pace = Pace::new(now);
/// assert!((0..60).all(|_| pace.take(now).is_ok()));
/// assert_eq!(pace.take(now), Err(Excess::Told));
/// ```
#[derive(Clone, Debug)]
pub struct Pace {
    full_at: Instant,
    /// Messages that were dropped since the last one that was not.
    dropped: u32,
}

/// A message beyond the pace, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Drop it and tell the client: the first one in a row.
    Told,
    /// Drop it. To answer each of them would cost more than to handle it.
    Dropped,
    /// Close the client, which does not stop.
    Closed,
}

impl Pace {
    /// The pace of a new client, whose bucket is full.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { full_at: now, dropped: 0 }
    }

    /// Takes a message.
    ///
    /// # Errors
    ///
    /// The client has written too much.
    pub fn take(&mut self, now: Instant) -> Result<(), Excess> {
        let full_at = self.full_at.max(now) + COST;
        if full_at.duration_since(now) <= BURST {
            (self.full_at, self.dropped) = (full_at, 0);
            return Ok(());
        }
        self.dropped += 1;
        Err(match self.dropped {
            1 => Excess::Told,
            2..DROPPED => Excess::Dropped,
            _ => Excess::Closed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_writes_steadily_is_never_stopped() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..1000 {
            now += COST;
            assert_eq!(pace.take(now), Ok(()));
        }
        // Nor does it save more than a burst.
        now += 10 * BURST;
        assert_eq!((0..100).filter(|_| pace.take(now).is_ok()).count(), 60);
    }

    #[test]
    fn a_client_that_does_not_stop_is_told_once_and_then_closed() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!((0..60).filter(|_| pace.take(now).is_ok()).count(), 60);
        assert_eq!(pace.take(now), Err(Excess::Told));
        for _ in 2..100 {
            assert_eq!(pace.take(now), Err(Excess::Dropped));
        }
        assert_eq!(pace.take(now), Err(Excess::Closed));
    }

    #[test]
    fn a_pause_gives_messages_back() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        while pace.take(now).is_ok() {}
        assert_eq!(pace.take(now + COST / 2), Err(Excess::Dropped));
        now += COST;
        assert_eq!(pace.take(now), Ok(()));
        assert_eq!(pace.take(now), Err(Excess::Told));
    }
}
