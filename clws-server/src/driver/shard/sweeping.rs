//! The sweep over the connections of a shard, which finds silent clients.
//!
//! A deadline for each idle client would cost memory. So the shard looks at a part of its slab from
//! time to time, and at each connection several times within the shortest deadline.

use std::time::Duration;

use crate::connection::activity::CHECKS;
use crate::driver::shard::Shard;
use crate::time::{TICK, now, ticks};
use crate::wake::WakeTargetRef;

/// The connections of one step, unless more are needed to look at all of them in time. A shard with
/// fewer connections wakes up less often.
const STEP: usize = 256;

impl Shard {
    /// Begins to sweep when there is a connection.
    pub(super) fn start_sweep(&mut self) {
        let at = now() + self.steps().1;
        // A resource that was registered since may have a shorter deadline.
        self.sweep.at = Some(self.sweep.at.map_or(at, |earlier| earlier.min(at)));
    }

    /// The number of steps of a sweep, and the time between them.
    fn steps(&self) -> (usize, Duration) {
        let period = (self.state.context.shared.least_silence() / CHECKS).max(1);
        let most = usize::try_from(period).unwrap_or(usize::MAX);
        let steps = (self.connections.len() / STEP).clamp(1, most);
        (steps, TICK.saturating_mul(period / u32::try_from(steps).unwrap_or(period)))
    }

    /// Takes a step of the sweep if it is due.
    pub(super) fn sweep(&mut self) {
        if self.sweep.at.is_none_or(|at| at > self.now) {
            return;
        }
        if self.connections.is_empty() {
            self.sweep.at = None;
            return;
        }
        let least = self.state.context.shared.least_silence();
        let (steps, pause) = self.steps();
        let slots = self.connections.capacity();
        let end = self.sweep.next.saturating_add(slots.div_ceil(steps)).min(slots);
        let now = now();
        let tick = ticks(now.saturating_duration_since(self.state.context.shared.started));
        for key in self.sweep.next..end {
            if let Some(slot) = self.connections.get_mut(key)
                && slot.connection.must_check(tick, least)
            {
                self.check(key);
            }
        }
        self.sweep.next = if end < slots { end } else { 0 };
        self.sweep.at = Some(now + pause);
    }

    fn check(&mut self, key: usize) {
        let Ok(slot) = u32::try_from(key) else { return };
        let context = self.state.connection_context(WakeTargetRef::Shard(&self.shard_handle, slot));
        let Some(connection) = self.connections.get_mut(key) else { return };
        if self.state.budget().is_pressed() {
            connection.note_waiting_input();
        }
        if connection.connection.check(&context) {
            self.drive(slot);
        }
    }
}
