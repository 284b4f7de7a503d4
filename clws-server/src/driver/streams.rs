//! The streams of a server. This module chooses the stream to drop when too much memory is held,
//! and the stream that may read while memory is short.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use slab::Slab;

use crate::budget::Budget;
use crate::client::Client;
use crate::client::context::ClientContext;
use crate::lock::{Lock, LockGuard, rank};
use crate::sync::{atomic::AtomicBool, atomic::AtomicUsize, atomic::Ordering};
use crate::task_waker::TaskWaker;
use crate::time::now;

/// The interval at which a stream that is held back tries again.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// The value of `Holder::dropping` after the end of the driver.
pub(super) const ENDED: usize = usize::MAX;

/// The streams of a server.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    holders: Lock<Slab<Arc<Holder>>, { rank::STREAMS }>,
    turns: Lock<Turns, { rank::STREAMS }>,
    /// Bytes held by streams that will be dropped and have not seen it.
    dropping: AtomicUsize,
    /// Below this much used memory, another search for a stream to drop would find none.
    search_above: AtomicUsize,
}

/// The streams that are held back. One at a time may read a little.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: VecDeque<usize>,
    /// The stream that reads as usual, and the end of its time.
    favored: Option<(usize, Option<Instant>)>,
    latest: Option<usize>,
    /// The start of the tick, and the number of turns left in it.
    begun: Option<Instant>,
    left: usize,
}

/// The account of a stream's memory, which other threads read.
#[derive(Debug, Default)]
pub(super) struct Holder {
    pub(super) input: AtomicUsize,
    pub(super) client: OnceLock<Client>,
    /// The stream must be dropped.
    pub(super) dropped: AtomicBool,
    /// Bytes that the stream held when it was marked as `dropped`. 0 once its driver has seen the
    /// mark, and `ENDED` after the end of its driver.
    pub(super) dropping: AtomicUsize,
    pub(super) waker: Arc<TaskWaker>,
}

impl Holder {
    fn held(&self) -> usize {
        self.input.load(Ordering::Relaxed) + self.client.get().map_or(0, Client::held)
    }
}

impl Streams {
    pub(super) fn holders(&self) -> LockGuard<'_, Slab<Arc<Holder>>> {
        self.holders.lock()
    }

    /// The clients of all streams.
    pub(super) fn clients(&self) -> Vec<Client> {
        self.holders().iter().filter_map(|(_, holder)| holder.client.get().cloned()).collect()
    }

    /// Bytes held by streams that will be dropped and have not seen it.
    #[cfg(all(test, shuttle))]
    pub(crate) fn dropping(&self) -> usize {
        self.dropping.load(Ordering::Relaxed)
    }

    pub(super) fn turns(&self) -> LockGuard<'_, Turns> {
        self.turns.lock()
    }

    /// Records that a driver has seen the drop of its stream, which held that many bytes.
    pub(super) fn note_drop_seen(&self, bytes: usize) {
        self.dropping.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Lets the next search for a stream to drop look at all streams.
    pub(super) fn search_again(&self) {
        self.search_above.store(0, Ordering::Relaxed);
    }

    /// Drops the client that holds most. Returns false if none holds much, although too much is
    /// held.
    pub(crate) fn drop_biggest(&self, context: &ClientContext) -> bool {
        let budget = &context.budget;
        budget.give_back();
        let used = budget.used();
        if !self.is_too_much(budget) || used < self.search_above.load(Ordering::Relaxed) {
            return true;
        }
        let holders: Vec<_> = self.holders().iter().map(|(_, holder)| Arc::clone(holder)).collect();
        let stays = |holder: &&Arc<Holder>| !holder.dropped.load(Ordering::Acquire);
        let biggest = holders.iter().filter(stays).map(|holder| (holder.held(), holder));
        let biggest = biggest.max_by_key(|(held, _)| *held);
        let Some((_, holder)) = biggest.filter(|(held, _)| *held >= context.fair_share()) else {
            self.search_above.store(used.saturating_add(budget.limit() / 64), Ordering::Relaxed);
            return false;
        };
        // Another thread may have dropped the biggest holder meanwhile, which is enough.
        if !self.is_too_much(budget) {
            return true;
        }
        // Counted before another thread can see that the stream is dropped.
        let held = holder.held();
        self.dropping.fetch_add(held, Ordering::Relaxed);
        if !holder.dropped.swap(true, Ordering::AcqRel) {
            // Queued data is freed at once, and the rest by the driver.
            if let Some(client) = holder.client.get() {
                client.abandon();
            }
            budget.give_back();
            let rest = holder.held();
            self.dropping.fetch_add(rest, Ordering::Relaxed);
            // The driver may have ended meanwhile.
            if holder.dropping.compare_exchange(0, rest, Ordering::Relaxed, Ordering::Relaxed).is_err() {
                self.dropping.fetch_sub(rest, Ordering::Relaxed);
            }
            holder.waker.wake();
        }
        self.dropping.fetch_sub(held, Ordering::Release);
        true
    }

    /// Whether too much is held by streams that stay.
    fn is_too_much(&self, budget: &Budget) -> bool {
        // In this order: bytes that are no longer counted here are no longer used either.
        let dropping = self.dropping.load(Ordering::Acquire);
        budget.used().saturating_sub(dropping) > budget.limit()
    }
}

impl Turns {
    /// Waits for a turn. The stream that had the latest turn is the first: its message is
    /// completed, or grows until it is dropped.
    pub(super) fn join(&mut self, key: usize) {
        if self.latest == Some(key) {
            self.waiting.push_front(key);
        } else {
            self.waiting.push_back(key);
        }
    }

    /// Stops waiting. Returns the next stream, which may be favored now.
    pub(super) fn leave(&mut self, key: usize) -> Option<usize> {
        self.waiting.retain(|waiting| *waiting != key);
        self.favored.take_if(|(favored, _)| *favored == key)?;
        self.waiting.front().copied()
    }

    /// Lets one stream at a time read as usual. Its message is completed, or its end is found: the
    /// system may have no room for the end of a peer that is gone, until the server has read. If
    /// the peer `has_ended` its side, the stream reads to its end. Otherwise it reads for a tick, as
    /// long as some memory is left.
    pub(super) fn favor(&mut self, key: usize, has_ended: bool, budget: &Budget) -> bool {
        let now = now();
        let expired = self.favored.take_if(|(_, until)| until.is_some_and(|until| until <= now));
        if expired.is_some_and(|(favored, _)| favored == key) {
            return false; // others come first
        }
        let may_begin = has_ended || budget.has_some_left();
        if may_begin && self.favored.is_none() {
            self.favored = Some((key, Some(now + TICK).filter(|_| !has_ended)));
        }
        may_begin && self.favored.is_some_and(|(favored, _)| favored == key)
    }

    /// Takes a turn if the stream is the first. `each_tick` is the number of turns of a tick.
    pub(super) fn take(&mut self, key: usize, each_tick: impl FnOnce() -> usize) -> bool {
        if self.waiting.front() != Some(&key) {
            return false;
        }
        let now = now();
        if self.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= TICK) {
            (self.begun, self.left) = (Some(now), each_tick());
        }
        let takes = self.left > 0;
        if takes {
            self.left -= 1;
            self.latest = self.waiting.pop_front();
        }
        takes
    }
}
