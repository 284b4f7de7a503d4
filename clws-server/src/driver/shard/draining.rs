//! A drain of a shard: its clients are closed one after the other, and its port is closed.

use std::collections::VecDeque;
use std::time::Duration;

use crate::connection::draining::{DrainStep, LINGER_TIME};
use crate::drain::plan::Plan;
use crate::driver::shard::Shard;
use crate::driver::shard::drain_state::{Draining, Port};
use crate::driver::shard::flags::Flags;
use crate::net::handover::SETTLE_TIME;
use crate::time::{deadline_after, now};
use crate::wake::WakeTargetRef;

/// The time between two looks at the clients of a shard that drains.
const INTERVAL: Duration = Duration::from_millis(20);

/// The most times that a port which closes is looked at for further connections.
const LAST_ACCEPTS: usize = 1024;

impl Shard {
    /// Begins a drain, or applies a change of its plan.
    pub(super) fn begin_drain(&mut self) {
        let Some(plan) = self.state.drain().plan() else { return };
        let now = now();
        if self.stop_at.is_some() && self.drain.is_none() {
            return; // the server stops already
        }
        self.stop_at = Some(plan.until);
        if let Some(drain) = &mut self.drain {
            if let Port::ClosesAt(at) = drain.port {
                self.stop_at = self.stop_at.max(Some(at));
            }
            (drain.from, drain.count) = (now, drain.waiting.len());
            drain.plan = Plan { is_over: drain.plan.is_over, ..plan };
            drain.next = now;
            return;
        }
        self.refuse_handshakes();
        let clients = self.connections.iter().filter(|(_, slot)| slot.connection.client().is_some());
        let waiting: VecDeque<_> = clients.filter_map(|(key, _)| u32::try_from(key).ok()).collect();
        let count = waiting.len();
        let keeps_port = plan.keeps_port;
        let (has_forced, port, over_since) = (false, Port::Open, None);
        let next = now;
        let unread = Vec::new();
        let drain = Draining { unread, plan, waiting, from: now, count, has_forced, port, over_since, next };
        self.drain = Some(Box::new(drain));
        if !keeps_port {
            self.hand_over_port();
        }
    }

    /// Does what is due in a drain.
    pub(super) fn continue_drain(&mut self) {
        let at = now();
        let Some(mut drain) = self.drain.take_if(|drain| drain.next <= at) else { return };
        for (slot, late_at) in std::mem::take(&mut drain.unread) {
            let step = if late_at <= at { DrainStep::LateTurn } else { DrainStep::Turn };
            if !self.step_drain(slot, step) {
                drain.unread.push((slot, late_at));
            }
        }
        for slot in drain.take_due(at) {
            if !self.step_drain(slot, DrainStep::Turn) {
                drain.unread.push((slot, deadline_after(at, self.state.config().close_timeout)));
            }
        }
        if drain.plan.force_at <= at && !std::mem::replace(&mut drain.has_forced, true) {
            (drain.waiting, drain.unread, drain.count) = Default::default();
            for slot in self.slots() {
                self.step_drain(slot, DrainStep::Force);
            }
        }
        let is_over = self.state.drain().open() == 0 || drain.plan.until <= at;
        let next = deadline_after(now(), INTERVAL);
        drain.next = if is_over { next } else { next.min(drain.plan.until) };
        self.drain = Some(drain);
        if is_over {
            self.end_drain();
        }
        if self.drain.as_ref().is_some_and(|drain| matches!(drain.port, Port::ClosesAt(time) if time <= at)) {
            self.close_port();
        }
    }

    /// All clients have left: requests are refused at once.
    fn end_drain(&mut self) {
        let Some(drain) = &mut self.drain else { return };
        drain.plan.is_over = true;
        let since = *drain.over_since.get_or_insert_with(now);
        if drain.port == Port::Open {
            self.hand_over_port();
        }
        self.refuse_handshakes();
        if deadline_after(since, LINGER_TIME) <= now() {
            for slot in self.slots() {
                self.step_drain(slot, DrainStep::End);
            }
        }
    }

    fn refuse_handshakes(&mut self) {
        let opening = self.connections.iter().filter(|(_, connection)| connection.connection.is_opening());
        let opening: Vec<_> = opening.filter_map(|(key, _)| u32::try_from(key).ok()).collect();
        for slot in opening {
            // A request that has arrived counts.
            self.set_flags(slot, Flags::READABLE, true);
            self.serve(slot);
            self.step_drain(slot, DrainStep::Begin);
        }
    }

    fn step_drain(&mut self, slot: u32, step: DrainStep) -> bool {
        let context = self.state.connection_context(WakeTargetRef::Shard(&self.shard_handle, slot));
        let Some(connection) = self.connections.get_mut(slot as usize) else { return true };
        let is_done = connection.connection.drain(step, &context);
        self.drive(slot);
        is_done
    }

    /// Begins to close the port. A socket of the application is left alone: another process may
    /// accept what waits there.
    fn hand_over_port(&mut self) {
        let mut settles = false;
        self.listeners.retain(|listening| {
            if listening.listener.is_foreign() {
                self.poller.remove_listener(&*listening.listener);
                return false;
            }
            settles |= listening.listener.hand_over(self.state.config());
            true
        });
        let time = if settles { SETTLE_TIME } else { Duration::ZERO };
        if let Some(drain) = &mut self.drain {
            let closes_at = deadline_after(now(), time);
            drain.port = Port::ClosesAt(closes_at);
            drain.next = now();
            self.stop_at = self.stop_at.max(Some(closes_at));
        }
    }

    /// Accepts what waits, because the system would reset it, and closes the port.
    fn close_port(&mut self) {
        for _ in 0..LAST_ACCEPTS {
            self.listeners.iter_mut().for_each(|listening| listening.ready = true);
            self.accept();
            if self.listeners.iter().all(|listening| !listening.ready) {
                break;
            }
        }
        self.close_listeners();
        if let Some(drain) = &mut self.drain {
            drain.port = Port::Closed;
        }
    }
}
