//! How long one client may keep its thread before others have their turn.

use std::io;
use std::time::{Duration, Instant};

/// The most time of one share. A single event may take longer: it is not interrupted.
const TIME: Duration = Duration::from_millis(1);

/// Events between two looks at the clock.
const EVERY: u8 = 32;

/// From so many bytes on, the clock is looked at after the event.
const BIG: usize = 16 * 1024;

/// The most bytes that are written for one client before others have their turn, but for the last write. A client that reads as
/// fast as it is written to would keep the thread otherwise, as long as others send to it.
pub(crate) const WRITE_BUDGET: usize = 2 << 20;

/// One client's share of an event loop turn, or of one poll of its task.
///
/// It measures time, because bytes say little: a six-byte frame may ask for a broadcast to thousands. Clients that send
/// few messages pay nothing for it: the clock is read at the 32nd event for the first time.
#[derive(Debug)]
pub(crate) struct Share {
    every: u8,
    countdown: u8,
    started: Option<Instant>,
    over: bool,
    clock: fn() -> Instant,
}

impl Share {
    /// A share whose time begins when the clock is first read.
    #[inline]
    pub(crate) const fn new(clock: fn() -> Instant) -> Self {
        Self { every: EVERY, countdown: EVERY, started: None, over: false, clock }
    }

    /// A share whose time begins now.
    pub(crate) fn started_now(clock: fn() -> Instant) -> Self {
        Self { started: Some(clock()), ..Self::new(clock) }
    }

    /// A share whose time begins now and is looked at after each event: for a client that has used up its last share, so
    /// that its events are known to take long.
    pub(crate) fn strict(clock: fn() -> Instant) -> Self {
        Self { every: 1, countdown: 1, ..Self::started_now(clock) }
    }

    /// Takes note of an event of that many bytes.
    #[inline]
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.countdown = self.countdown.saturating_sub(1);
        if self.countdown == 0 || bytes >= BIG {
            self.look();
        }
    }

    /// Whether others are to have their turn now.
    #[inline]
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    #[inline(never)]
    fn look(&mut self) {
        self.countdown = self.every;
        let now = (self.clock)();
        let started = *self.started.get_or_insert(now);
        self.over |= now.saturating_duration_since(started) >= TIME;
    }
}

/// The part of a share that is writing.
#[derive(Debug)]
pub(crate) struct WriteShare {
    left: usize,
    cut: bool,
}

impl WriteShare {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self { left: WRITE_BUDGET, cut: false }
    }

    /// Writes, unless the share is over: then it says that the socket is full.
    #[inline]
    pub(crate) fn write(&mut self, write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        if self.left == 0 {
            self.cut = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = write()?;
        self.left = self.left.saturating_sub(written);
        Ok(written)
    }

    /// Whether there was more to write.
    #[inline]
    pub(crate) const fn was_cut(&self) -> bool {
        self.cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{now, virtual_clock};

    /// How many events of that size fit into a share, each of which takes that time.
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
    fn a_peer_that_reads_for_ever_is_not_written_to_for_ever() {
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
    fn ends_by_time_and_not_by_number() {
        virtual_clock::set(Some(Instant::now()));
        let micros = Duration::from_micros;
        assert_eq!(fit(Share::new(now), 1, micros(0)), 10_000, "events that take no time");
        assert_eq!(fit(Share::new(now), 1, micros(10)), 32 + 128, "the time begins at the 32nd");
        assert_eq!(fit(Share::started_now(now), 1, micros(10)), 128);
        assert_eq!(fit(Share::new(now), 1, micros(5000)), 64);
        assert_eq!(fit(Share::started_now(now), BIG, micros(600)), 2, "big ones are looked at one by one");
        assert_eq!(fit(Share::strict(now), 1, micros(300)), 4, "and those of a client known to be slow");
        assert_eq!(fit(Share::strict(now), 1, micros(5000)), 1);
    }
}
