//! What the server expects of a client while the connection is open: a pong, the rest of a message,
//! a message, and that queued data is read fast enough. Each has a deadline.
//!
//! The clocks of input stand still while the client is not read from. They restart with reading.

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::time::deadline_after;

/// The expectations on a client's input.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) pong: Option<Pong>,
    message: Option<Message>,
    idle: Option<Idle>,
}

/// An expectation that the client did not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    Pong,
    /// The message in progress does not advance, or too slowly.
    Message,
    /// The client sends no message.
    Idle,
}

/// A keepalive ping and the client's answer to it.
#[derive(Debug)]
pub(super) struct Pong {
    number: u64,
    /// The queued bytes up to the end of the ping.
    unwritten: usize,
    written_at: Option<Instant>,
    /// Nothing has come from the client since the ping.
    is_awaited: bool,
    /// The deadline starts at the next `rearm`.
    restarts: bool,
    at: Option<Instant>,
}

impl Pong {
    /// A ping that ends after `position` queued bytes.
    pub(super) const fn new(number: u64, position: usize) -> Self {
        let (unwritten, written_at) = (position, None);
        Self { number, unwritten, written_at, is_awaited: true, restarts: true, at: None }
    }

    /// The round-trip time, if the ping with that number is answered at `now`.
    pub(super) fn answered(&self, number: u64, now: Instant) -> Option<Duration> {
        let written_at = self.written_at.filter(|_| number == self.number)?;
        Some(now.saturating_duration_since(written_at))
    }

    const fn is_stopped(&self) -> bool {
        self.unwritten == 0 && self.is_awaited && self.restarts
    }

    fn rearm(&mut self, is_reading: bool, timeout: Duration, now: &dyn Fn() -> Instant) {
        if self.unwritten > 0 || !self.is_awaited {
            return;
        }
        if self.written_at.is_none() {
            self.written_at = Some(now());
        }
        if !is_reading {
            (self.at, self.restarts) = (None, true);
        } else if std::mem::take(&mut self.restarts) {
            self.at = Some(deadline_after(now(), timeout));
        }
    }
}

/// The progress of a message that was incomplete at a check.
#[derive(Debug)]
struct Message {
    /// The part of this window in which the client was read from, up to `sampled`.
    elapsed: Duration,
    sampled: Instant,
    is_reading: bool,
    /// Bytes that have come in this window, without control frames.
    bytes: u64,
    /// `bytes` at the last sample.
    bytes_before: u64,
    /// The time without progress up to `sampled`. It restarts with reading.
    stalled: Duration,
    /// Set when the message has not advanced, or too slowly.
    at: Option<Instant>,
}

impl Message {
    const fn new(now: Instant, is_reading: bool, stalled: Duration) -> Self {
        let elapsed = Duration::ZERO;
        Self { elapsed, sampled: now, is_reading, bytes: 0, bytes_before: 0, stalled, at: None }
    }

    /// Adds the time since the last sample, if the client was read from.
    fn sample(&mut self, now: Instant, is_reading: bool) {
        if self.is_reading {
            let time = now.saturating_duration_since(self.sampled);
            self.elapsed += time;
            self.stalled += time;
        }
        if self.has_advanced() || !is_reading {
            self.stalled = Duration::ZERO;
        }
        (self.sampled, self.is_reading, self.bytes_before) = (now, is_reading, self.bytes);
    }

    /// Whether bytes of the message have come since the last sample.
    const fn has_advanced(&self) -> bool {
        self.bytes > self.bytes_before
    }

    fn is_slow(&self, rate: usize) -> bool {
        is_slow(self.bytes, self.elapsed, rate)
    }

    /// Starts the next window.
    fn restart(&mut self) {
        let stalled = if self.has_advanced() { Duration::ZERO } else { self.stalled };
        *self = Self::new(self.sampled, self.is_reading, stalled);
    }
}

/// The wait for the next message of a client.
#[derive(Debug, Default)]
struct Idle {
    restarts: bool,
    at: Option<Instant>,
}

/// Whether fewer bytes were moved than `rate` bytes per second.
fn is_slow(bytes: u64, time: Duration, rate: usize) -> bool {
    u128::from(bytes) * Duration::from_secs(1).as_nanos() < rate as u128 * time.as_nanos()
}

impl Watch {
    pub(super) const fn is_empty(&self) -> bool {
        self.pong.is_none() && self.message.is_none() && self.idle.is_none()
    }

    pub(super) const fn awaits_pong(&self) -> bool {
        matches!(&self.pong, Some(pong) if pong.is_awaited)
    }

    /// Whether a deadline has stopped, and starts again at a [`rearm`](Self::rearm) while the client
    /// is read from.
    pub(super) fn is_stopped(&self) -> bool {
        self.pong.as_ref().is_some_and(Pong::is_stopped)
            || self.idle.as_ref().is_some_and(|idle| idle.restarts)
    }

    pub(super) fn wait_for_message(&mut self) {
        self.idle = Some(Idle { restarts: true, at: None });
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        let pong = self.pong.as_ref().and_then(|pong| pong.at);
        let message = self.message.as_ref().and_then(|message| message.at);
        let idle = self.idle.as_ref().and_then(|idle| idle.at);
        [pong, message, idle].into_iter().flatten().min()
    }

    /// Records that `bytes` bytes have come. The client is alive.
    pub(super) fn note_input(&mut self, bytes: usize) {
        if let Some(pong) = &mut self.pong {
            (pong.is_awaited, pong.at) = (false, None);
        }
        if let Some(message) = &mut self.message {
            message.bytes = message.bytes.saturating_add(bytes as u64);
        }
    }

    /// Records that `bytes` bytes of the input were control frames. They are life, but no progress
    /// of a message between whose fragments they come.
    pub(super) fn note_control_frames(&mut self, bytes: usize) {
        if let Some(message) = &mut self.message {
            message.bytes = message.bytes.saturating_sub(bytes as u64);
        }
    }

    /// Records that a message is complete.
    pub(super) fn note_message(&mut self) {
        self.message = None;
        if let Some(idle) = &mut self.idle {
            idle.restarts = true;
        }
    }

    /// Records that `bytes` bytes were written. `was_blocked` means that the socket was full before,
    /// so that the client has read something.
    pub(super) fn note_written(&mut self, bytes: usize, was_blocked: bool) {
        if let Some(pong) = &mut self.pong {
            pong.restarts |= was_blocked && bytes > 0;
            pong.unwritten = pong.unwritten.saturating_sub(bytes);
        }
    }

    /// Looks at the message in progress, if there is one. `silence` is the time without any input.
    /// Returns whether the message has a deadline now.
    pub(super) fn check_message(
        &mut self,
        now: Instant,
        is_in_message: bool,
        is_reading: bool,
        silence: Duration,
        config: &Config,
    ) -> bool {
        if !is_in_message {
            self.message = None;
            return false;
        }
        let message = self.message.get_or_insert_with(|| Message::new(now, is_reading, silence));
        message.sample(now, is_reading);
        let (timeout, rate) = (config.message_timeout, config.min_rate);
        if message.stalled >= timeout || (message.elapsed >= timeout && message.is_slow(rate)) {
            message.at = Some(now);
        } else if message.elapsed >= timeout {
            message.restart();
        }
        message.at.is_some()
    }

    /// Sets the deadlines that have started, or ends those of a client that is not read from.
    pub(super) fn rearm(&mut self, is_reading: bool, config: &Config, now: &dyn Fn() -> Instant) {
        if let Some(pong) = &mut self.pong {
            pong.rearm(is_reading, config.ping_timeout, now);
        }
        if let Some(message) = &mut self.message
            && message.is_reading != is_reading
        {
            message.sample(now(), is_reading);
            message.at = message.at.filter(|_| is_reading);
        }
        if let (Some(idle), Some(timeout)) = (&mut self.idle, config.idle_timeout) {
            if !is_reading {
                *idle = Idle { restarts: true, at: None };
            } else if std::mem::take(&mut idle.restarts) {
                idle.at = Some(deadline_after(now(), timeout));
            }
        }
    }

    /// Ends the expectations on a client whose connection ends.
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    /// The expectation whose deadline has passed. `is_in_message` means that a message is in
    /// progress, which is not idle.
    pub(super) fn missed(&mut self, now: Instant, is_in_message: bool, config: &Config) -> Option<Missed> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.pong.as_ref().is_some_and(|pong| is_due(pong.at)) {
            return Some(Missed::Pong);
        }
        if let Some(message) = &mut self.message
            && is_due(message.at)
        {
            // Bytes that have come since the check count.
            let is_stalled = message.stalled >= config.message_timeout && !message.has_advanced();
            let is_window_over = message.elapsed >= config.message_timeout;
            if is_stalled || (is_window_over && message.is_slow(config.min_rate)) {
                return Some(Missed::Message);
            }
            if is_window_over {
                message.restart();
            }
            message.at = None;
        }
        if let Some(idle) = &mut self.idle
            && is_due(idle.at)
        {
            if !is_in_message {
                return Some(Missed::Idle);
            }
            *idle = Idle { restarts: true, at: None };
        }
        None
    }
}

/// The speed at which a client reads its queued data.
#[derive(Debug, Default)]
pub(super) struct ReadingRate {
    /// The end of the window, while data is queued.
    at: Option<Instant>,
    /// Bytes that were written in this window.
    bytes: u64,
}

impl ReadingRate {
    pub(super) const fn at(&self) -> Option<Instant> {
        self.at
    }

    pub(super) fn note_written(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Starts a window if data is queued, and otherwise ends it.
    pub(super) fn rearm(&mut self, is_blocked: bool, config: &Config, now: &dyn Fn() -> Instant) {
        if !is_blocked || config.min_rate == 0 {
            *self = Self::default();
        } else if self.at.is_none() {
            *self = Self { at: Some(deadline_after(now(), config.write_timeout)), bytes: 0 };
        }
    }

    /// Whether the window is over and the client has read too little. Otherwise starts the next
    /// window if this one is over.
    pub(super) fn is_missed(&mut self, now: Instant, config: &Config) -> bool {
        if self.at.is_none_or(|at| at > now) {
            return false;
        }
        let is_missed = is_slow(self.bytes, config.write_timeout, config.min_rate);
        *self = Self { at: Some(deadline_after(now, config.write_timeout)), bytes: 0 };
        is_missed
    }
}
