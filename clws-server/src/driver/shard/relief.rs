//! The work of a shard while memory is short. Clients that hold much are not read from, except for
//! one at a time and a little. At the limit, the client that holds most is dropped.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::driver::shard::Shard;
use crate::driver::shard::deadlines::TICK;
use crate::driver::shard::flags::Flags;
use crate::wake::WakeTargetRef;

impl Shard {
    /// Drops clients if too much memory is held. Called after each client's share.
    #[inline]
    pub(super) fn relieve(&mut self) {
        if self.state.budget().is_over() {
            self.drop_biggest(self.state.shards().len());
        }
    }

    /// Drops the clients that hold most, until less than the limit is held. If they hold little,
    /// asks the next shard; `others` is the number of drivers that may still be asked.
    #[cold]
    pub(super) fn drop_biggest(&mut self, others: usize) {
        let state = Arc::clone(&self.state);
        let budget = state.budget();
        // Output that was just queued may free memory at once.
        self.drive_woken();
        budget.give_back();
        if !budget.is_over() || budget.used() < self.relief.search_above {
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
        self.relief.search_above = budget.used().saturating_add(budget.limit() / 64);
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

    /// Puts a client with input on the list if it holds too much to be read from.
    #[inline]
    pub(super) fn hold_back(&mut self, slot: u32) {
        if self.state.budget().is_pressed() && self.must_wait(slot) {
            self.relief.held_back.push_back(slot);
        }
    }

    /// Whether the client must wait. It has the flag then.
    #[cold]
    fn must_wait(&mut self, slot: u32) -> bool {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return false };
        let waits = connection.flags.has(Flags::READABLE)
            && connection.connection.wants_input()
            && !connection.flags.has(Flags::HELD_BACK)
            && connection.is_held_back(self.state.budget());
        if waits {
            connection.flags.set(Flags::HELD_BACK, true);
            connection.connection.note_held();
            self.relief.at.get_or_insert(self.now + TICK);
        }
        waits
    }

    /// Runs every tick. Clients that may be read from continue, and a little is read from the first
    /// of the others. So partial messages cannot block each other forever: the first is completed,
    /// or grows until it is the biggest and is dropped.
    pub(super) fn reexamine(&mut self) {
        if self.relief.at.is_none_or(|at| at > self.now) {
            return;
        }
        (self.relief.at, self.relief.search_above) = (None, 0);
        self.relieve();
        let mut reads = self.state.budget().reads_per_tick(self.state.shards().len());
        let mut waiting = std::mem::take(&mut self.relief.held_back);
        while let Some(slot) = waiting.pop_front() {
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            if !connection.flags.has(Flags::HELD_BACK) {
                continue; // the entry is outdated
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
                // `serve` has put the slot at the end, but it stays the first as long as it has
                // input.
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
