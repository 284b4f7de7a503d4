//! What a shard does while memory is short. Clients that hold much are not read from, but for one of them at a time, a little;
//! and at the limit the one that holds most is dropped.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::driver::shard::Shard;
use crate::driver::shard::deadlines::TICK;
use crate::driver::shard::flags::Flags;
use crate::wake::WakeTargetRef;

#[derive(Debug, Default)]
pub(super) struct Relief {
    /// Slots of clients that are not read from for now. Those that have `HELD_BACK`; others have gone on.
    pub(super) held_back: VecDeque<u32>,
    /// When they are looked at again.
    at: Option<Instant>,
    /// So much was used when there was nobody to drop. To look again would be in vain.
    in_vain: usize,
}

impl Relief {
    pub(super) const fn next_wake_up(&self) -> Option<Instant> {
        self.at
    }
}

impl Shard {
    /// To be called after each client's share: drops clients where too much is held.
    #[inline]
    pub(super) fn relieve(&mut self) {
        if self.state.budget().is_over() {
            self.drop_biggest(self.state.shards().len());
        }
    }

    /// Drops the clients that hold most, until less than the limit is held; where they hold little, the next one of so many
    /// `others` is asked.
    #[cold]
    pub(super) fn drop_biggest(&mut self, others: usize) {
        let state = Arc::clone(&self.state);
        let budget = state.budget();
        // What they were just sent may go out at once.
        self.flush_touched();
        budget.give_back();
        if !budget.is_over() || budget.used() < self.relief.in_vain {
            return;
        }
        let fair = state.context.fair_share();
        let held = self.connections.iter().map(|(key, connection)| (connection.connection.held(), key));
        let mut most: Vec<_> = held.filter(|(held, _)| *held >= fair).collect();
        most.sort_unstable_by_key(|(held, _)| Reverse(*held));
        for (_, key) in most {
            let Ok(slot) = u32::try_from(key) else { continue };
            let context = state.connection_context(WakeTargetRef::Shard(&self.shard_handle, slot));
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.connection.drop_for_memory(&context);
            self.drive(slot);
            budget.give_back();
            if !budget.is_over() {
                return;
            }
        }
        self.relief.in_vain = budget.used().saturating_add(budget.limit() / 64);
        self.relief.at.get_or_insert(self.now + TICK);
        let shards = state.shards();
        let here = shards.iter().position(|shard_handle| Arc::ptr_eq(shard_handle, &self.shard_handle));
        match (others, here) {
            (0, _) | (_, None) => {}
            (1, _) => drop(state.streams.drop_biggest(&state.context)),
            (_, Some(here)) => {
                if let Some(next) = shards.get((here + 1) % shards.len()) {
                    next.relieve(others - 1);
                }
            }
        }
    }

    /// Takes note of a client that has input, and is not read from because it holds much.
    #[inline]
    pub(super) fn hold_back(&mut self, slot: u32) {
        if self.state.budget().is_pressed() && self.must_wait(slot) {
            self.relief.held_back.push_back(slot);
        }
    }

    /// Whether it is to be put among those that are held back; it has the flag then.
    #[cold]
    fn must_wait(&mut self, slot: u32) -> bool {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return false };
        let waits = connection.flags.has(Flags::READABLE)
            && connection.connection.wants_input()
            && !connection.flags.has(Flags::HELD_BACK)
            && connection.is_held_back(self.state.budget());
        if waits {
            connection.flags.set(Flags::HELD_BACK, true);
            self.relief.at.get_or_insert(self.now + TICK);
        }
        waits
    }

    /// Every tick: lets those go on that may, and the first of the others read a little. So messages of which a part has come
    /// cannot block each other for ever: the first is completed, or grows until it is the biggest and is dropped.
    pub(super) fn look_again(&mut self) {
        if self.relief.at.is_none_or(|at| at > self.now) {
            return;
        }
        (self.relief.at, self.relief.in_vain) = (None, 0);
        self.relieve();
        let mut reads = self.state.budget().reads_per_tick(self.state.shards().len());
        let mut waiting = std::mem::take(&mut self.relief.held_back);
        while let Some(slot) = waiting.pop_front() {
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            if !connection.flags.has(Flags::HELD_BACK) {
                continue; // another connection has the slot now
            }
            connection.flags.set(Flags::HELD_BACK, false);
            if !connection.is_held_back(self.state.budget()) {
                self.drive(slot);
            } else if reads > 0 && connection.connection.wants_input() {
                reads -= 1;
                connection.flags.set(Flags::ALLOWED, true);
                self.serve(slot);
                if let Some(connection) = self.connections.get_mut(slot as usize) {
                    connection.flags.set(Flags::ALLOWED, false);
                }
                // It stays the first as long as it has input, and not the last, as it is when it was settled.
                if self.relief.held_back.back() == Some(&slot) {
                    self.relief.held_back.pop_back();
                    waiting.push_front(slot);
                }
            } else {
                self.hold_back(slot);
            }
        }
    }
}
