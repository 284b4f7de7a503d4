//! When time is over for what a client has to do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::driver::shard::Shard;
use crate::driver::shard::flags::Flags;
use crate::time::now;
use crate::wake::WakeTargetRef;

/// Deadlines are rounded up to this, so that many of them share a wake-up.
pub(super) const TICK: Duration = Duration::from_millis(100);

impl Shard {
    /// Tells the connections whose deadline has come. What has arrived by then counts, even if this shard was held up and has not
    /// read it: so each is read once before.
    pub(super) fn expire(&mut self) {
        let until = now();
        while let Some(&Reverse((due, slot))) = self.deadlines.peek()
            && self.at(due) <= until
        {
            self.deadlines.pop();
            if self
                .connections
                .get_mut(slot as usize)
                .is_some_and(|connection| connection.connection.is_due())
            {
                self.drive(slot);
                if let Some(connection) = self.connections.get_mut(slot as usize) {
                    connection.flags.set(Flags::READABLE | Flags::ALLOWED, true);
                }
                self.serve(slot);
                if let Some(connection) = self.connections.get_mut(slot as usize) {
                    connection.flags.set(Flags::ALLOWED, false);
                }
            }
            let place = WakeTargetRef::Shard(&self.shard_handle, slot);
            let context = self.state.connection_context(place);
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            if connection.connection.is_due()
                && connection.has_work(self.state.budget())
                && connection.connection.has_grace(&context)
            {
                let again = tick(until.saturating_duration_since(self.started)) + 1;
                self.deadlines.push(Reverse((again, slot)));
            } else {
                connection.connection.timed_out(&context);
                self.drive(slot);
            }
        }
        if self.deadlines.is_empty() && self.deadlines.capacity() > 1024 {
            self.deadlines = BinaryHeap::new();
        }
        self.flush_touched();
    }

    /// Drops the deadlines of connections that are gone, or past the stage that had them, once they outnumber the rest.
    pub(super) fn forget_deadlines(&mut self) {
        if self.deadlines.len() <= 1024 + 4 * self.connections.len() {
            return;
        }
        let started = self.started;
        let told = self.connections.iter_mut().filter_map(|(key, connection)| {
            let at = connection.connection.told_deadline()?;
            Some(Reverse((tick(at.saturating_duration_since(started)), u32::try_from(key).ok()?)))
        });
        self.deadlines = told.collect();
    }

    pub(super) fn at(&self, tick: u32) -> Instant {
        self.started + time(tick)
    }
}

/// The first tick that is not before that time, counted from the shard's start; there are ticks for 13 years.
pub(super) fn tick(since: Duration) -> u32 {
    u32::try_from(since.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u32::MAX)
}

/// When that tick is, counted from the shard's start.
pub(super) fn time(tick: u32) -> Duration {
    TICK.saturating_mul(tick)
}
