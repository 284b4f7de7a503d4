//! The deadlines of a connection, and what happens when one passes.

use std::sync::Arc;
use std::time::Instant;

use tracing::field::display;

use crate::client::disconnect::DisconnectCause;
use crate::connection::closing::Closing;
use crate::connection::context::Context;
use crate::connection::open::{End, Open};
use crate::connection::timer::{Deadline, Timer};
use crate::connection::{Connection, Stage};
use crate::guard::log;
use crate::time::deadline_after;
use crate::wake::WakeTargetRef;

impl Connection {
    /// The time of the next deadline, or at which a throttled client continues, if the driver does
    /// not know it yet. At that time it calls [`handle_timeout`](Self::handle_timeout).
    ///
    /// If the driver has an earlier time, it calls too early and is given the new time then.
    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        let next = self.next_timeout().into_iter().chain(self.throttled_until()).min()?;
        if self.armed_timeout().is_some_and(|armed| armed <= next) {
            return None;
        }
        self.set_armed(Some(next));
        Some(next)
    }

    /// The time that the driver was given, until it has passed. It is never later than the next
    /// deadline.
    pub(crate) fn armed_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Handshake(handshake) => handshake.deadline.armed,
            Stage::Open(open) => match (open.client.rates(), &open.waiting) {
                // A throttled client may have no deadline, so the time is with its limits.
                (Some(rates), _) => rates.armed(),
                (None, waiting) => waiting.as_ref()?.deadline.armed,
            },
            Stage::Closing(closing) => closing.deadline.armed,
            Stage::Closed => None,
        }
    }

    fn set_armed(&mut self, at: Option<Instant>) {
        if let Stage::Open(open) = &self.stage
            && let Some(rates) = open.client.rates()
        {
            rates.set_armed(at);
        } else if let Some(deadline) = self.deadline() {
            deadline.armed = at;
        }
    }

    /// The earliest deadline, whether the driver knows it or not.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let (deadline, other) = match &self.stage {
            Stage::Handshake(handshake) => (&handshake.deadline, None),
            Stage::Open(open) => {
                let waiting = open.waiting.as_ref()?;
                let others = [waiting.watch.next(), waiting.rate.at()];
                (&waiting.deadline, others.into_iter().flatten().min())
            }
            Stage::Closing(closing) => (&closing.deadline, closing.rate.at()),
            Stage::Closed => return None,
        };
        [deadline.at, other].into_iter().flatten().min()
    }

    /// Whether a deadline has passed, so that [`handle_timeout`](Self::handle_timeout) may have an
    /// effect.
    pub(crate) fn is_due(&self, context: &Context<'_>) -> bool {
        self.next_timeout().is_some_and(|at| at <= context.now())
    }

    /// Whether a deadline that has passed may take effect later, because there is input that may
    /// have arrived before it. The grace is as long as a closing handshake, because a peer may send
    /// forever.
    pub(crate) fn has_grace(&self, context: &Context<'_>) -> bool {
        if matches!(&self.stage, Stage::Handshake(handshake) if handshake.is_displaced()) {
            return false; // other clients wait for the place
        }
        let grace = context.config().close_timeout;
        self.next_timeout().is_some_and(|at| context.now() < deadline_after(at, grace))
    }

    /// Handles an expired deadline. Before the deadline it does nothing, and
    /// [`poll_timeout`](Self::poll_timeout) returns the deadline again. The driver reads once
    /// before it calls this: input that has arrived counts.
    pub(crate) fn handle_timeout(&mut self, context: &Context<'_>) {
        self.rearm(context);
        let now = context.now();
        // The driver has taken the deadline, so it must be told of the next one. A shard may have a
        // time of an earlier stage, and still has this one.
        let is_stale = matches!(context.wake_target, WakeTargetRef::Shard(..))
            && self.armed_timeout().is_some_and(|armed| armed > now);
        if !is_stale {
            self.set_armed(None);
        }
        let Some(deadline) = self.deadline() else { return };
        if !deadline.is_due(now) {
            return self.expectation_missed(context);
        }
        match deadline.timer() {
            Timer::Nothing => {}
            Timer::Handshake => self.handshake_timed_out(context),
            Timer::Write => self.lose(DisconnectCause::WriteTimeout, context),
            Timer::Close => self.lose(DisconnectCause::CloseTimeout, context),
            Timer::Deliver => {
                let error = if let Stage::Open(open) = &mut self.stage { open.take_error() } else { None };
                let cause =
                    error.map_or(DisconnectCause::Vanished, |error| DisconnectCause::Io(Arc::new(error)));
                self.lose(cause, context);
            }
        }
    }

    /// Starts or restarts the timer if events since the last call require it.
    pub(super) fn rearm(&mut self, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Open(open) => open.rearm(context),
            Stage::Closing(closing) => closing.rearm(context),
            Stage::Handshake(_) | Stage::Closed => {}
        }
    }

    /// Ends the connection if the peer has not met an expectation in time.
    fn expectation_missed(&mut self, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Open(open) => match open.missed(context) {
                Some(End::Lost(cause)) => self.lose(cause, context),
                Some(end) => self.end(end, context),
                None => {}
            },
            Stage::Closing(closing) => {
                if closing.is_too_slow(context) {
                    self.close();
                }
            }
            Stage::Handshake(_) | Stage::Closed => {}
        }
    }

    fn handshake_timed_out(&mut self, context: &Context<'_>) {
        if let Stage::Handshake(handshake) = &mut self.stage {
            if handshake.is_idle() {
                let mut closing = Closing::idle(context);
                closing.linger = !handshake.is_displaced();
                self.stage = Stage::Closing(Box::new(closing));
                return;
            }
            let (reject, outcome) = handshake.timed_out();
            context.counters().note_handshake(outcome);
            log(|| {
                let client = handshake.remote.map(display);
                tracing::debug!(peer = %handshake.peer, client, status = reject.status(), "refused: {}", reject.body());
            });
            if handshake.is_securing() {
                self.stage = Stage::Closed;
                return;
            }
            let (received, is_displaced) =
                (std::mem::take(&mut handshake.received), handshake.is_displaced());
            self.refuse(reject, &received, context);
            if let Stage::Closing(closing) = &mut self.stage {
                // A displaced connection makes room at once. What it has sent was read.
                closing.linger = !is_displaced;
            }
        }
    }

    fn lose(&mut self, cause: DisconnectCause, context: &Context<'_>) {
        if let Stage::Open(_) = self.stage {
            self.end(End::Lost(cause), context);
        }
        self.close();
    }

    /// The time at which a throttled client continues.
    fn throttled_until(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Open(open) => open.throttled_until(),
            _ => None,
        }
    }

    fn deadline(&mut self) -> Option<&mut Deadline> {
        match &mut self.stage {
            Stage::Handshake(handshake) => Some(&mut handshake.deadline),
            Stage::Open(Open { waiting, .. }) => Some(&mut waiting.as_mut()?.deadline),
            Stage::Closing(closing) => Some(&mut closing.deadline),
            Stage::Closed => None,
        }
    }
}
