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
        let held = self.connections.iter().map(|(key, connection)| {
            let ciphertext = u32::try_from(key).map_or(0, |slot| self.secure.held(slot));
            (connection.connection.held() + ciphertext, key)
        });
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
        if self.state.budget().is_pressed() {
            self.hold_back_pressed(slot);
        }
    }

    #[cold]
    fn hold_back_pressed(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let is_gone = connection.is_gone();
        let waits = connection.note_waiting_input()
            && !connection.flags.has(Flags::ALLOWED)
            && !connection.flags.has(if is_gone { Flags::GONE } else { Flags::HELD_BACK })
            && connection.is_held_back(self.state.budget());
        if !waits {
            return;
        }
        connection.connection.note_held();
        // It is on one list. The entry of the other is outdated.
        connection.flags.set(Flags::GONE, is_gone);
        connection.flags.set(Flags::HELD_BACK, !is_gone);
        if is_gone {
            self.relief.gone.push_back(slot);
        } else {
            self.relief.held_back.push_back(slot);
            self.relief.at.get_or_insert(self.now + TICK);
        }
    }

    /// Lets one held-back client at a time be read as usual, as long as some memory is left. Its
    /// message is completed, or its end is found: the system may have no room for the end of a
    /// client that is gone, until the server has read. The next client follows then, or after a
    /// tick.
    #[inline]
    pub(super) fn favor_one(&mut self) {
        if self.relief.favored.is_some() || !self.relief.held_back.is_empty() {
            self.favor_next();
        }
    }

    #[cold]
    fn favor_next(&mut self) {
        let state = Arc::clone(&self.state);
        let budget = state.budget();
        if let Some((slot, until)) = self.relief.favored {
            let connection = self.connections.get_mut(slot as usize);
            // Without the flag, it is another connection.
            if let Some(connection) = connection.filter(|connection| connection.flags.has(Flags::ALLOWED)) {
                if self.now < until && budget.has_some_left() && connection.is_held_back(budget) {
                    return;
                }
                connection.flags.set(Flags::ALLOWED, false);
                self.hold_back(slot);
            }
            self.relief.favored = None;
        }
        while budget.has_some_left()
            && let Some(slot) = self.relief.held_back.pop_front()
        {
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            if !connection.flags.has(Flags::HELD_BACK) {
                continue; // the entry is outdated
            }
            connection.flags.set(Flags::HELD_BACK, false);
            connection.flags.set(Flags::ALLOWED, true);
            self.relief.favored = Some((slot, self.now + TICK));
            self.relief.at.get_or_insert(self.now + TICK);
            self.serve(slot);
            return;
        }
    }

    /// Reads a little from the first held-back client whose peer has ended its side. Runs in each
    /// turn, so this client is soon read to its end, and its memory is free. The others wait for
    /// it: together they could hold more than there is.
    #[inline]
    pub(super) fn read_gone(&mut self) {
        if !self.relief.gone.is_empty() {
            self.read_first_gone();
        }
    }

    #[cold]
    fn read_first_gone(&mut self) {
        while let Some(slot) = self.relief.gone.pop_front() {
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            if !connection.flags.has(Flags::GONE) {
                continue; // the entry is outdated
            }
            connection.flags.set(Flags::GONE, false);
            self.serve_allowed(slot);
            if self.relief.gone.back() == Some(&slot) {
                self.relief.gone.pop_back();
                self.relief.gone.push_front(slot);
            }
            return;
        }
    }

    /// Serves a client although it holds much. Afterwards it is held back again.
    pub(super) fn serve_allowed(&mut self, slot: u32) {
        self.set_flags(slot, Flags::ALLOWED, true);
        self.serve(slot);
        if self.relief.favored.is_none_or(|(favored, _)| favored != slot) {
            self.set_flags(slot, Flags::ALLOWED, false);
            self.hold_back(slot);
        }
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
                self.serve_allowed(slot);
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
