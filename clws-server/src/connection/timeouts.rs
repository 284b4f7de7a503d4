//! The deadlines of a connection, and what happens when one passes.

use std::sync::Arc;
use std::time::Instant;

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
    /// A deadline that the driver does not know yet. At that time it calls
    /// [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        let throttle = self.poll_throttle();
        let next = self.next_timeout();
        let is_known = match (next, self.deadline()) {
            (Some(next), Some(deadline)) => deadline.arm(next).is_none(),
            _ => true,
        };
        if is_known && throttle.is_none_or(|(_, is_known)| is_known) {
            return None;
        }
        // A driver may have one timer, so it gets the earlier time.
        next.into_iter().chain(throttle.map(|(at, _)| at)).min()
    }

    /// The deadline that the driver knows, if it still holds.
    pub(crate) fn armed_timeout(&mut self) -> Option<Instant> {
        let throttle = self.armed_throttle();
        let deadline = self.deadline().and_then(|deadline| deadline.armed);
        deadline.into_iter().chain(throttle).min()
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
        self.disarm_throttle();
        let now = context.now();
        let Some(deadline) = self.deadline() else { return };
        // The driver has taken the deadline, so it must be told of the next one. A shard may have a
        // time of an earlier stage, and still has this one.
        let is_stale = matches!(context.wake_target, WakeTargetRef::Shard(..))
            && deadline.armed.is_some_and(|armed| armed > now);
        if !is_stale {
            deadline.armed = None;
        }
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
        if let Stage::Handshake(handshake) = &self.stage {
            let (reject, outcome) = handshake.timed_out();
            context.counters().note_handshake(outcome);
            log(|| {
                tracing::debug!(peer = %handshake.peer, status = reject.status(), "refused: {}", reject.body());
            });
            let reply = handshake.refusal(&reject, &handshake.received, context);
            let mut closing = Closing::reply(reply, context);
            // A displaced connection makes room at once. What it has sent was read.
            closing.linger = !handshake.is_displaced();
            self.stage = Stage::Closing(Box::new(closing));
        }
    }

    fn lose(&mut self, cause: DisconnectCause, context: &Context<'_>) {
        if let Stage::Open(_) = self.stage {
            self.end(End::Lost(cause), context);
        }
        self.close();
    }

    /// The time at which a throttled client continues, and whether the driver knows it. The driver
    /// knows it from now on.
    fn poll_throttle(&self) -> Option<(Instant, bool)> {
        let Stage::Open(open) = &self.stage else { return None };
        let rates = open.client.rates()?;
        let at = open.throttled_until();
        let known = rates.arm(at);
        Some((at?, known == at))
    }

    /// The time of a throttled client that the driver knows.
    fn armed_throttle(&self) -> Option<Instant> {
        let Stage::Open(open) = &self.stage else { return None };
        open.client.rates()?.armed()
    }

    /// The driver knows no time of a throttled client any more.
    fn disarm_throttle(&self) {
        if let Stage::Open(open) = &self.stage
            && let Some(rates) = open.client.rates()
        {
            rates.arm(None);
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
