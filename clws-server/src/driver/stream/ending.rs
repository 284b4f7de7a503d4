//! The stop or the drain of the server, as the driver of one stream sees it.

use std::future::Future;
use std::pin::Pin;
use std::task;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::connection::Connection;
use crate::connection::context::Context;
use crate::connection::draining::{DrainStep, LINGER_TIME};
use crate::drain::plan::Plan;
use crate::driver::state::DriverState;
use crate::runtime::handle::Timer;
use crate::signal::SignalWait;
use crate::time::{deadline_after, now};

/// The time after which a client with unread messages is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// What a driver waits for besides its stream.
pub(super) struct Ending {
    /// Given at a stop, and when the plan of a drain changes. `None` after a stop.
    change: Option<SignalWait>,
    /// There may have been a change before the stream came.
    is_new: bool,
    drain: Option<Drain>,
    /// The end of a stop or of a drain.
    kill: Option<Timer>,
}

/// A drain that has begun.
struct Drain {
    plan: Plan,
    /// The time of the next step; `None` after the last one.
    at: Option<Instant>,
    timer: Option<Timer>,
    /// The time from which the turn of the client is late.
    late_at: Option<Instant>,
    /// The client has had its turn.
    has_turned: bool,
}

impl Ending {
    /// A stream that comes in a drain is answered with 503 when its request has arrived, and at
    /// once when all clients have left.
    pub(super) fn new(state: &DriverState) -> Self {
        let (plan, change) = state.drain().watch();
        let plan = plan.filter(|plan| !plan.is_over);
        let kill = plan.as_ref().map(|plan| state.runtime().timer(plan.until));
        let drain = plan.map(|plan| Drain::new(plan, None));
        Self { change: Some(change), is_new: true, drain, kill }
    }

    /// Does what is due.
    pub(super) fn poll(
        &mut self,
        cx: &mut task::Context<'_>,
        connection: &mut Connection,
        state: &DriverState,
        context: &Context<'_>,
    ) {
        let mut has_changed =
            std::mem::take(&mut self.is_new) && (self.drain.is_none() || state.is_stopping());
        while self.change.as_mut().is_some_and(|change| Pin::new(change).poll(cx).is_ready()) {
            self.change = Some(state.drain().watch().1);
            has_changed = true;
        }
        if has_changed && state.is_stopping() {
            (self.change, self.drain) = (None, None);
            connection.stop(context);
            let time = state.config().close_timeout.saturating_mul(2);
            self.kill = Some(state.runtime().timer(deadline_after(now(), time)));
        } else if has_changed && let Some(plan) = state.drain().plan() {
            self.note_plan(plan, connection, state, context);
        }
        if let Some(drain) = &mut self.drain {
            drain.poll(cx, connection, state, context);
        }
        if let Some(kill) = &mut self.kill
            && kill.poll_unpin(cx).is_ready()
        {
            self.kill = None;
            connection.kill();
        }
    }

    /// The drain has begun, was shortened, or has ended all clients.
    fn note_plan(
        &mut self,
        plan: Plan,
        connection: &mut Connection,
        state: &DriverState,
        context: &Context<'_>,
    ) {
        self.kill = Some(state.runtime().timer(plan.until));
        if self.drain.is_none() || plan.is_over {
            connection.drain(DrainStep::Begin, context);
        }
        if plan.is_over && connection.client().is_none() {
            self.drain = Some(Drain::new(plan, Some(deadline_after(now(), LINGER_TIME))));
            return;
        }
        match &mut self.drain {
            Some(drain) => drain.shorten(plan),
            None if connection.client().is_none() => self.drain = Some(Drain::new(plan, None)),
            None => {
                let index = state.drain().next_turn();
                let turn = plan.turn(plan.started, index, state.drain().open());
                self.drain = Some(Drain::new(plan, Some(turn)));
            }
        }
    }
}

impl Drain {
    const fn new(plan: Plan, at: Option<Instant>) -> Self {
        Self { plan, at, timer: None, late_at: None, has_turned: false }
    }

    fn shorten(&mut self, plan: Plan) {
        let latest = if self.has_turned { plan.force_at } else { plan.spread_until.max(now()) };
        self.at = self.at.map(|at| at.min(latest));
        (self.plan, self.timer) = (plan, None);
    }

    fn poll(
        &mut self,
        cx: &mut task::Context<'_>,
        connection: &mut Connection,
        state: &DriverState,
        context: &Context<'_>,
    ) {
        while let Some(at) = self.at {
            let timer = self.timer.get_or_insert_with(|| state.runtime().timer(at));
            if at > now() && timer.poll_unpin(cx).is_pending() {
                return;
            }
            (self.timer, self.at) = (None, None);
            let force_at = self.plan.force_at;
            if self.plan.is_over && connection.client().is_none() {
                connection.drain(DrainStep::End, context);
            } else if self.has_turned || force_at <= at {
                connection.drain(DrainStep::Force, context);
            } else {
                let late_at = deadline_after(now(), state.config().close_timeout);
                let late_at = *self.late_at.get_or_insert(late_at);
                let turn = if late_at <= now() { DrainStep::LateTurn } else { DrainStep::Turn };
                self.has_turned = connection.drain(turn, context);
                // Its handler may come to the close later.
                let next = if self.has_turned { force_at } else { deadline_after(now(), RETRY) };
                self.at = Some(next.min(force_at));
            }
        }
    }
}
