//! The progress of a shard's drain.

use std::collections::VecDeque;
use std::time::Instant;

use crate::drain::plan::Plan;

/// The drain of one shard.
pub(super) struct Draining {
    pub(super) plan: Plan,
    /// The slots of clients that have not had their turn. If a client has left, another connection
    /// may have its slot. That connection never becomes open.
    pub(super) waiting: VecDeque<u32>,
    /// The time of the first turn of `waiting`, and the number of turns.
    pub(super) from: Instant,
    pub(super) count: usize,
    /// Clients with unread messages in their turn, and the time from which their turn is late.
    pub(super) unread: Vec<(u32, Instant)>,
    /// All clients were closed, whether their handlers were ready or not.
    pub(super) has_forced: bool,
    pub(super) port: Port,
    /// The time from which on no client was left.
    pub(super) over_since: Option<Instant>,
    pub(super) next: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Open,
    /// Connections that were being opened may still arrive.
    ClosesAt(Instant),
    Closed,
}

impl Draining {
    pub(super) const fn next_wake_up(&self) -> Instant {
        self.next
    }

    /// Whether handshakes are answered, although with 503.
    pub(super) const fn takes_requests(&self) -> bool {
        !self.plan.is_over
    }

    /// Whether the shard may end when it has no connection left.
    pub(super) fn may_end(&self) -> bool {
        self.plan.is_over && self.port == Port::Closed
    }

    /// Takes the clients whose turn has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<u32> {
        let done = self.count - self.waiting.len();
        let due = (done..self.count).take_while(|index| self.plan.turn(self.from, *index, self.count) <= now);
        let due = due.count();
        self.waiting.drain(..due).collect()
    }
}
