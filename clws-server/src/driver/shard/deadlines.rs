//! The deadlines of a shard's connections.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::driver::drive;
use crate::driver::shard::Shard;
use crate::driver::shard::flags::Flags;
use crate::time::now;
use crate::wake::WakeTargetRef;

/// Deadlines are rounded up to a multiple of this, so that many of them share a wake-up.
pub(super) const TICK: Duration = Duration::from_millis(100);

impl Shard {
    /// Lets the deadlines that have passed take effect. Each connection is read once before,
    /// because input that arrived in time counts even if this shard was held up.
    /// Returns the time at the end, with one reading of the clock if no deadline has passed.
    pub(super) fn expire(&mut self) -> Instant {
        let until = now();
        let mut has_expired = false;
        while let Some(&Reverse((due, slot))) = self.deadlines.peek()
            && self.at(due) <= until
        {
            self.deadlines.pop();
            has_expired = true;
            if self.is_due(slot) {
                self.drive(slot);
                self.set_flags(slot, Flags::READABLE, true);
                self.serve_allowed(slot);
            }
            let context = self.state.connection_context(WakeTargetRef::Shard(&self.shard_handle, slot));
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            let has_more = connection.has_work(self.state.budget());
            if drive::expire(&mut connection.connection, has_more, &context) {
                self.drive(slot);
            } else {
                let again = tick(until.saturating_duration_since(self.started)) + 1;
                self.deadlines.push(Reverse((again, slot)));
            }
        }
        if self.deadlines.is_empty() && self.deadlines.capacity() > 1024 {
            self.deadlines = BinaryHeap::new();
        }
        self.drive_woken();
        if has_expired { now() } else { until }
    }

    fn is_due(&mut self, slot: u32) -> bool {
        let context = self.state.connection_context(WakeTargetRef::Shard(&self.shard_handle, slot));
        let connection = self.connections.get_mut(slot as usize);
        connection.is_some_and(|connection| connection.connection.is_due(&context))
    }

    pub(super) fn set_flags(&mut self, slot: u32, flags: u16, on: bool) {
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            connection.flags.set(flags, on);
        }
    }

    /// Rebuilds the queue when most of its deadlines are those of earlier stages or connections.
    pub(super) fn forget_deadlines(&mut self) {
        if self.deadlines.len() <= 1024 + 4 * self.connections.len() {
            return;
        }
        let started = self.started;
        let armed = self.connections.iter_mut().filter_map(|(key, connection)| {
            let at = connection.connection.armed_timeout()?;
            Some(Reverse((tick(at.saturating_duration_since(started)), u32::try_from(key).ok()?)))
        });
        self.deadlines = armed.collect();
    }

    pub(super) fn at(&self, tick: u32) -> Instant {
        self.started + time(tick)
    }
}

/// The first tick that is not before that time after the shard's start. There are ticks for 13
/// years.
pub(super) fn tick(since: Duration) -> u32 {
    u32::try_from(since.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u32::MAX)
}

/// The time of a tick after the shard's start.
pub(super) fn time(tick: u32) -> Duration {
    TICK.saturating_mul(tick)
}
