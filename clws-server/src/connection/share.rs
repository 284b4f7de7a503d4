//! The time for which one client may use its thread before other clients have their turn.

use std::io;
use std::time::{Duration, Instant};

use crate::time::now;

/// The time of one share. A single event may take longer, because it is not interrupted.
const MAX_TIME: Duration = Duration::from_millis(1);

/// Events between two readings of the clock.
const EVENTS_PER_CHECK: u8 = 32;

/// Frames without an event, such as fragments, between two readings of the clock.
pub(crate) const FRAMES_PER_CHECK: u64 = 64;

/// The clock is read after each event of this many bytes or more.
const BIG_EVENT: usize = 16 * 1024;

/// Bytes that are written for one client before other clients have their turn; the last write may
/// exceed it. Otherwise a client that reads as fast as we write could keep the thread, as long as
/// others send to it.
pub(crate) const WRITE_BUDGET: usize = 2 << 20;

/// One client's share of an event loop turn, or of one poll of its task.
///
/// It measures time and not bytes, because a frame of six bytes may cause a broadcast to thousands.
/// Clients that send few messages pay nothing: the clock is read after the 32nd event for the first
/// time.
#[derive(Debug)]
pub(crate) struct Share {
    interval: u8,
    countdown: u8,
    started: Option<Instant>,
    over: bool,
    clock: fn() -> Instant,
}

impl Share {
    /// A share whose time begins with the first reading of the clock.
    #[inline]
    pub(crate) const fn new(clock: fn() -> Instant) -> Self {
        Self { interval: EVENTS_PER_CHECK, countdown: EVENTS_PER_CHECK, started: None, over: false, clock }
    }

    /// A share whose time begins now.
    pub(crate) fn started_now(clock: fn() -> Instant) -> Self {
        Self { started: Some(clock()), ..Self::new(clock) }
    }

    /// A share whose time begins now and is checked after each event, for a client that has used up
    /// its last share.
    pub(crate) fn strict(clock: fn() -> Instant) -> Self {
        Self { interval: 1, countdown: 1, ..Self::started_now(clock) }
    }

    /// An event of that many bytes was handled.
    #[inline]
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.countdown = self.countdown.saturating_sub(1);
        if self.countdown == 0 || bytes >= BIG_EVENT {
            self.check_clock();
        }
    }

    /// [`FRAMES_PER_CHECK`] frames were decoded and have made no event.
    #[cold]
    pub(crate) fn spend_frames(&mut self) {
        self.check_clock();
    }

    /// Whether other clients must have their turn now.
    #[inline]
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    #[inline(never)]
    fn check_clock(&mut self) {
        self.countdown = self.interval;
        let now = (self.clock)();
        let started = *self.started.get_or_insert(now);
        self.over |= now.saturating_duration_since(started) >= MAX_TIME;
    }
}

/// A client's share of writing.
#[derive(Debug)]
pub(crate) struct WriteShare {
    left: usize,
    cut: bool,
    writes: u8,
    /// The time of the second write.
    started: Option<Instant>,
    clock: fn() -> Instant,
}

impl WriteShare {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self::with_clock(now)
    }

    const fn with_clock(clock: fn() -> Instant) -> Self {
        Self { left: WRITE_BUDGET, cut: false, writes: 0, started: None, clock }
    }

    /// Writes. When the share is over, it returns `WouldBlock` as a full socket does.
    #[inline]
    pub(crate) fn write(&mut self, write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        if self.left == 0 || self.is_late() {
            self.cut = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = write()?;
        self.left = self.left.saturating_sub(written);
        Ok(written)
    }

    /// Whether writing takes long. Messages that waited are encoded and compressed between two
    /// writes, so the bytes do not bound the time. Most shares have one write and read no clock.
    fn is_late(&mut self) -> bool {
        self.writes = self.writes.saturating_add(1);
        if self.writes == 1 {
            return false;
        }
        let now = (self.clock)();
        let started = *self.started.get_or_insert(now);
        now.saturating_duration_since(started) >= MAX_TIME
    }

    /// Whether there was more to write than the share.
    #[inline]
    pub(crate) const fn was_cut(&self) -> bool {
        self.cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::virtual_clock;

    /// The number of events of that size and that duration in one share.
    fn fit(mut share: Share, bytes: usize, time: Duration) -> usize {
        let mut events = 0;
        while !share.is_over() && events < 10_000 {
            virtual_clock::set(Some(now() + time));
            share.spend(bytes);
            events += 1;
        }
        events
    }

    #[test]
    fn writing_ends_although_the_peer_reads_everything() {
        let (mut share, mut written) = (WriteShare::new(), 0);
        while let Ok(count) = share.write(|| Ok(100_000)) {
            assert!(!share.was_cut());
            written += count;
        }
        assert!(share.was_cut());
        assert!((WRITE_BUDGET..WRITE_BUDGET + 100_000).contains(&written));
        assert!(WriteShare::new().write(|| Err(io::ErrorKind::WouldBlock.into())).is_err());
    }

    #[test]
    fn writing_ends_when_it_takes_long() {
        virtual_clock::set(Some(Instant::now()));
        let mut share = WriteShare::new();
        let slow_write = || {
            virtual_clock::set(Some(now() + MAX_TIME));
            Ok(1)
        };
        assert_eq!([(); 2].map(|()| share.write(slow_write).is_ok()), [true, true]);
        assert!(share.write(slow_write).is_err() && share.was_cut());
    }

    #[test]
    fn a_share_ends_by_time_and_not_by_number_of_events() {
        virtual_clock::set(Some(Instant::now()));
        let micros = Duration::from_micros;
        assert_eq!(fit(Share::new(now), 1, micros(0)), 10_000, "events without duration");
        assert_eq!(fit(Share::new(now), 1, micros(10)), 32 + 128, "the time begins after the 32nd event");
        assert_eq!(fit(Share::started_now(now), 1, micros(10)), 128);
        assert_eq!(fit(Share::new(now), 1, micros(5000)), 64);
        assert_eq!(
            fit(Share::started_now(now), BIG_EVENT, micros(600)),
            2,
            "the clock is read after each big event"
        );
        assert_eq!(
            fit(Share::strict(now), 1, micros(300)),
            4,
            "a strict share reads the clock after each event"
        );
        assert_eq!(fit(Share::strict(now), 1, micros(5000)), 1);
    }
}
