//! The time of a client's last input, and what happens when a client is silent.
//!
//! An idle client must cost no memory, so the time is in spare bytes of its receiver, in ticks. A
//! shard reads no clock when input arrives: it sets a bit, and its next [sweep](Connection::check)
//! turns the bit into a time. A stream has no sweep: its driver has a timer for
//! [the next check](Connection::next_check).
//!
//! Only what few clients need has a deadline in the box of [`Waiting`](super::open::Waiting).

use std::time::{Duration, Instant};

use clws_proto::Input;

use crate::client::state::Disposition;
use crate::connection::context::Context;
use crate::connection::keepalive;
use crate::connection::open::{Open, Waiting};
use crate::connection::timer::Timer;
use crate::connection::watch::Pong;
use crate::connection::{Connection, Stage};
use crate::time::{TICK, deadline_after, ticks};
use crate::wake::WakeTargetRef;

/// The bit that says: input has arrived since the last check.
const HEARD: u32 = 1 << 31;

/// The bit that says: the client is not read from, and its clock stands still.
const PAUSED: u32 = 1 << 30;

/// The bit that says: input of the client waits in its socket because memory is short.
const WAITS: u32 = 1 << 29;

/// The bits of the time. It wraps after 20 months.
const TIME: u32 = WAITS - 1;

/// The number of checks within the shortest deadline.
pub(crate) const CHECKS: u32 = 8;

/// The time between two looks at a client whose deadlines have stopped, for a driver that does not
/// sweep.
const RESTART: Duration = Duration::from_secs(1);

/// The ticks that must lie between the ticks of two points in time, so that at least `time` is
/// between them.
fn at_least(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(TICK.as_nanos()))
        .map_or(TIME, |ticks| ticks.saturating_add(1))
        .min(TIME)
}

/// The number of bytes that were read from the socket.
#[inline]
pub(super) fn input_len(input: &Input<'_>) -> usize {
    match input {
        Input::Lent(bytes) => bytes.len(),
        Input::Owned(_, range) => range.len(),
        Input::Direct(count) => *count,
    }
}

impl Connection {
    /// Whether a sweep at that tick must [check](Self::check) the connection. `least` is the
    /// shortest silence that has an effect, in ticks.
    #[inline]
    pub(crate) fn must_check(&mut self, tick: u32, least: u32) -> bool {
        let Stage::Open(open) = &mut self.stage else { return false };
        let mark = open.receiver.mark();
        if mark & PAUSED != 0 {
            return false;
        }
        if mark & HEARD == 0 {
            return tick.wrapping_sub(mark) & TIME >= least;
        }
        open.receiver.set_mark((tick & TIME) | (mark & WAITS));
        !open.receiver.is_between_messages()
    }

    /// Records whether input waits in the socket while memory is short. Only a shard knows it.
    pub(crate) fn note_waiting_input(&mut self, waits: bool) {
        if let Stage::Open(open) = &mut self.stage {
            let mark = open.receiver.mark();
            open.receiver.set_mark(if waits { mark | WAITS } else { mark & !WAITS });
        }
    }

    /// Queues a ping for a silent client, and sets the deadline of a message that does not advance.
    /// Returns whether the driver must settle the connection.
    pub(crate) fn check(&mut self, context: &Context<'_>) -> bool {
        match &mut self.stage {
            Stage::Open(open) => open.check(context),
            _ => false,
        }
    }

    /// The time of the next check, for a driver that does not sweep. It may be too early.
    pub(crate) fn next_check(&self, context: &Context<'_>) -> Option<Instant> {
        match &self.stage {
            Stage::Open(open) => open.next_check(context),
            _ => None,
        }
    }
}

impl Open {
    /// Records that `bytes` bytes have arrived from the client.
    #[inline]
    pub(super) fn note_input(&mut self, bytes: usize, context: &Context<'_>) {
        match context.wake_target {
            WakeTargetRef::Shard(..) => self.receiver.set_mark(self.receiver.mark() | HEARD),
            WakeTargetRef::Stream(_) => self.receiver.set_mark(context.tick() & TIME),
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.watch.note_input(bytes);
        }
    }

    /// Starts the clock of a new client.
    pub(super) fn start_clock(&mut self, context: &Context<'_>) {
        self.receiver.set_mark(context.tick() & TIME);
        if self.client.config().idle_timeout.is_some() {
            self.waiting.get_or_insert_with(|| Waiting::boxed(Timer::Nothing)).watch.wait_for_message();
        }
    }

    /// Whether the client is read from and its messages are delivered. Its silence means nothing
    /// otherwise.
    ///
    /// A client that is not read from because memory is short is still silent if nothing has come
    /// from it. Otherwise clients that hold memory and send nothing would hold it for ever.
    pub(super) fn is_reading(&self, context: &Context<'_>) -> bool {
        !self.receiver.has_unread()
            && self.client.disposition() == Disposition::Deliver
            && !self.is_throttled()
            && (!self.may_have_waiting_input(context) || !self.is_held_back(&context.clients.budget))
    }

    /// Whether input may wait while memory is short. It is not known for streams.
    fn may_have_waiting_input(&self, context: &Context<'_>) -> bool {
        match context.wake_target {
            WakeTargetRef::Shard(..) => self.receiver.mark() & WAITS != 0,
            WakeTargetRef::Stream(_) => true,
        }
    }

    /// Stops the clock while messages wait, and restarts it when they are delivered again.
    #[inline]
    pub(super) fn note_pause(&mut self, context: &Context<'_>) {
        let waits = self.client.disposition() == Disposition::Wait || self.is_throttled();
        if waits != (self.receiver.mark() & PAUSED != 0) {
            self.change_pause(waits, context);
        }
    }

    #[cold]
    fn change_pause(&mut self, waits: bool, context: &Context<'_>) {
        if waits {
            self.receiver.set_mark(self.receiver.mark() | PAUSED);
        } else {
            self.receiver.set_mark((context.tick() & TIME) | (self.receiver.mark() & WAITS));
        }
    }

    fn is_watched(&self) -> bool {
        let timer = self.waiting.as_ref().map_or(Timer::Nothing, |waiting| waiting.deadline.timer());
        !self.client.is_closing() && matches!(timer, Timer::Nothing | Timer::Write)
    }

    fn awaits_pong(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.watch.awaits_pong())
    }

    /// Whether deadlines have stopped because the client was not read from.
    fn is_stopped(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.watch.is_stopped())
    }

    /// The silence after which the client gets a ping. `None` if it gets none.
    fn ping_interval(&self) -> Option<Duration> {
        let has_ping = self.client.websocket_version().has_control_frames();
        self.client.config().ping_interval.filter(|_| has_ping && !self.awaits_pong())
    }

    fn check(&mut self, context: &Context<'_>) -> bool {
        if !self.is_watched() {
            return false;
        }
        let (tick, mark) = (context.tick() & TIME, self.receiver.mark());
        let is_reading = self.is_reading(context);
        if !is_reading {
            // Nothing reports that memory is free again, so only `note_pause` stops the checks.
            self.receiver.set_mark(tick | (mark & (PAUSED | WAITS)));
        } else if mark & (HEARD | PAUSED) != 0 {
            self.receiver.set_mark(tick | (mark & WAITS));
        }
        let silence = tick.wrapping_sub(self.receiver.mark()) & TIME;
        let is_in_message = !self.receiver.is_between_messages();
        // The driver settles the connection, which restarts the deadlines.
        let mut has_effect = is_reading && self.is_stopped();
        if is_in_message {
            self.waiting.get_or_insert_with(|| Waiting::boxed(Timer::Nothing));
        }
        if let Some(waiting) = &mut self.waiting {
            let (now, config) = (context.now(), self.client.config());
            let silence = TICK.saturating_mul(silence.saturating_sub(1));
            has_effect |= waiting.watch.check_message(now, is_in_message, is_reading, silence, config);
        }
        if is_reading && self.ping_interval().is_some_and(|interval| silence >= at_least(interval)) {
            has_effect |= self.ping(context);
        }
        has_effect
    }

    /// Queues a keepalive ping. Returns false if the client is closed meanwhile.
    fn ping(&mut self, context: &Context<'_>) -> bool {
        let since = context.now().saturating_duration_since(context.clients.shared.started);
        let number = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let payload = keepalive::payload(number, self.client.id());
        let Some(position) = self.client.ping_early(&payload) else { return false };
        let waiting = self.waiting.get_or_insert_with(|| Waiting::boxed(Timer::Nothing));
        waiting.watch.pong = Some(Pong::new(number, position));
        true
    }

    fn next_check(&self, context: &Context<'_>) -> Option<Instant> {
        let is_in_message = !self.receiver.is_between_messages();
        let interval = self.ping_interval();
        let is_stopped = self.is_stopped();
        let has_check =
            (interval.is_some() || is_in_message || is_stopped) && self.receiver.mark() & PAUSED == 0;
        if !has_check || !self.is_watched() {
            return None;
        }
        let now = context.now();
        let message =
            is_in_message.then(|| deadline_after(now, self.client.config().message_timeout / CHECKS));
        let ping = interval.map(|interval| {
            let started = context.clients.shared.started;
            let tick = ticks(now.saturating_duration_since(started));
            let silence = tick.wrapping_sub(self.receiver.mark()) & TIME;
            let left = at_least(interval).saturating_sub(silence);
            deadline_after(now, TICK.saturating_mul(left))
        });
        let restart = is_stopped.then(|| deadline_after(now, RESTART));
        [message, ping, restart].into_iter().flatten().min()
    }
}
