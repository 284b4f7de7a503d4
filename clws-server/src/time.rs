//! The current time. Tests can replace the clock.

use std::time::{Duration, Instant, SystemTime};

/// The unit of the times that connections keep of their clients.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The whole ticks in a time, modulo 2^32.
pub(crate) fn ticks(time: Duration) -> u32 {
    u32::try_from((time.as_millis() / TICK.as_millis()) & u128::from(u32::MAX)).unwrap_or(0)
}

/// The date for headers. No deadline depends on it.
pub(crate) fn system_time() -> SystemTime {
    SystemTime::now()
}

/// The current time.
#[inline]
pub(crate) fn now() -> Instant {
    #[cfg(any(test, fuzzing))]
    if let Some(now) = virtual_clock::get() {
        return now;
    }
    Instant::now()
}

/// The end of a timeout that begins now. A timeout above a year, such as `Duration::MAX`, becomes a
/// year.
pub(crate) fn deadline_after(now: Instant, timeout: Duration) -> Instant {
    now + timeout.min(Duration::from_secs(365 * 24 * 60 * 60))
}

/// A clock for the current thread. It stands still unless a test sets it.
#[cfg(any(test, fuzzing))]
pub(crate) mod virtual_clock {
    use std::cell::Cell;
    use std::time::Instant;

    thread_local! {
        static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
    }

    pub(crate) fn get() -> Option<Instant> {
        NOW.get()
    }

    /// Sets the time of this thread. `None` restores the clock of the system.
    pub(crate) fn set(now: Option<Instant>) {
        NOW.set(now);
    }
}
