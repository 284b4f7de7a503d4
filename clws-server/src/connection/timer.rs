//! The timer of a connection: the event that the connection waits for, and its deadline.

use std::mem;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::connection::context::Context;
use crate::time::deadline_after;

/// The event that a connection waits for. It waits for one event at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// No event. The [`Watch`](super::watch::Watch) of the connection may have deadlines.
    Nothing,
    /// The peer completes its request, and the application decides on it.
    Handshake,
    /// The peer reads queued data.
    Write,
    /// The peer sends its close frame, or ends its side after our last byte.
    Close,
    /// The connection is broken, and the application handles the input that came before.
    Deliver,
}

impl Timer {
    const fn timeout(self, config: &Config) -> Duration {
        match self {
            Self::Nothing => Duration::MAX,
            Self::Handshake => config.handshake_timeout,
            Self::Write => config.write_timeout,
            Self::Close | Self::Deliver => config.close_timeout,
        }
    }
}

/// The point in time at which a [`Timer`] expires.
#[derive(Debug)]
pub(super) struct Deadline {
    timer: Timer,
    /// `None` until the first [`rearm`](Self::rearm).
    pub(super) at: Option<Instant>,
    /// The time that the driver was given, except for a client with limits.
    pub(super) armed: Option<Instant>,
    /// The timer starts again at the next [`rearm`](Self::rearm).
    restarts: bool,
}

impl Deadline {
    pub(super) const fn new(timer: Timer) -> Self {
        Self { timer, at: None, armed: None, restarts: true }
    }

    /// A deadline whose time starts now.
    pub(super) fn started(timer: Timer, context: &Context<'_>) -> Self {
        let mut deadline = Self::new(timer);
        deadline.rearm(context, context.config());
        deadline
    }

    pub(super) const fn timer(&self) -> Timer {
        self.timer
    }

    /// Waits for something else from now on.
    pub(super) const fn start(&mut self, timer: Timer) {
        self.timer = timer;
        self.restarts = true;
    }

    /// Restarts the timer if there was progress.
    #[inline]
    pub(super) const fn note_progress(&mut self, progress: bool) {
        self.restarts |= progress;
    }

    /// Sets the time, if the timer was started or restarted. The time counts from now and not from
    /// the beginning of the event loop turn, because a handler may have taken long. The settings are
    /// those of the client's resource, if it has one.
    #[inline]
    pub(super) fn rearm(&mut self, context: &Context<'_>, config: &Config) {
        if mem::take(&mut self.restarts) {
            self.at = match self.timer {
                Timer::Nothing => None,
                timer => Some(deadline_after(context.now(), timer.timeout(config))),
            };
        }
    }

    /// Lets the timer expire now, unless it has expired.
    pub(super) fn end_now(&mut self, context: &Context<'_>) {
        let now = context.now();
        if !self.is_due(now) {
            (self.at, self.armed) = (Some(now), None);
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| at <= now)
    }
}
