//! The memory that streams hold: who of them is dropped where it is too much, and who may read on while it is short.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::Context;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::budget::Charged;
use crate::lock::{Lock, LockGuard, rank};
use crate::server::Shared;
use crate::session::Session;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::broken;
use crate::task_waker::TaskWaker;
use crate::time::now;
use crate::{Client, rt};

/// How often a stream that is held back looks again.
const TICK: Duration = Duration::from_millis(100);

/// `Holder::going`: its driver has ended.
const ENDED: usize = usize::MAX;

/// The streams that a server serves.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    holders: Lock<Slab<Arc<Holder>>, { rank::STREAMS }>,
    turns: Lock<Turns, { rank::STREAMS }>,
    /// Bytes that those hold that are to be dropped and have not seen it.
    going: AtomicUsize,
    /// So much was used when there was nobody to drop. To look again would be in vain.
    in_vain: AtomicUsize,
}

/// Those that are held back: one at a time may read a little.
#[derive(Debug, Default)]
struct Turns {
    waiting: VecDeque<usize>,
    latest: Option<usize>,
    /// When a tick began, and how many turns are left of it.
    begun: Option<Instant>,
    left: usize,
}

/// What others see of a stream's memory.
#[derive(Debug, Default)]
struct Holder {
    input: AtomicUsize,
    client: OnceLock<Client>,
    /// It is to be dropped.
    dropped: AtomicBool,
    /// Bytes that it held when that was decided; 0 once it has seen it, and `ENDED` when nobody is to see it.
    going: AtomicUsize,
    waker: Arc<TaskWaker>,
}

/// A driver's share in it.
pub(super) struct Memory {
    shared: Arc<Shared>,
    holder: Arc<Holder>,
    key: usize,
    charged: Charged,
    /// It was dropped, and knows it.
    gone: bool,
    /// It is held back, and waits for a turn.
    waits: bool,
    /// When it looks again.
    recheck: Option<rt::Timer>,
}

impl Holder {
    fn held(&self) -> usize {
        self.input.load(Ordering::Relaxed) + self.client.get().map_or(0, Client::held)
    }
}

impl Streams {
    fn holders(&self) -> LockGuard<'_, Slab<Arc<Holder>>> {
        self.holders.lock()
    }

    /// Bytes of those that are to be dropped and have not seen it.
    #[cfg(all(test, shuttle))]
    pub(crate) fn going(&self) -> usize {
        self.going.load(Ordering::Relaxed)
    }

    fn turns(&self) -> LockGuard<'_, Turns> {
        self.turns.lock()
    }

    /// Has the client dropped that holds most. False where none holds much, though too much is held.
    pub(crate) fn drop_biggest(&self, shared: &Shared) -> bool {
        let budget = &shared.budget;
        budget.give_back();
        let used = budget.used();
        if used.saturating_sub(self.going.load(Ordering::Relaxed)) <= budget.limit()
            || used < self.in_vain.load(Ordering::Relaxed)
        {
            return true;
        }
        let holders: Vec<_> = self.holders().iter().map(|(_, holder)| Arc::clone(holder)).collect();
        let stays = |holder: &&Arc<Holder>| !holder.dropped.load(Ordering::Relaxed);
        let biggest = holders.iter().filter(stays).map(|holder| (holder.held(), holder));
        let biggest = biggest.max_by_key(|(held, _)| *held);
        let Some((_, holder)) = biggest.filter(|(held, _)| *held >= shared.fair_share()) else {
            self.in_vain.store(used.saturating_add(budget.limit() / 64), Ordering::Relaxed);
            return false;
        };
        if !holder.dropped.swap(true, Ordering::Relaxed) {
            // What is queued for it is free at once, the rest when its driver sees it.
            if let Some(client) = holder.client.get() {
                client.abandon();
            }
            let rest = holder.held();
            self.going.fetch_add(rest, Ordering::Relaxed);
            // Its driver may have ended meanwhile.
            if holder.going.compare_exchange(0, rest, Ordering::Relaxed, Ordering::Relaxed).is_err() {
                self.going.fetch_sub(rest, Ordering::Relaxed);
            }
            holder.waker.wake();
        }
        true
    }
}

impl Memory {
    pub(super) fn new(shared: &Arc<Shared>, waker: &Arc<TaskWaker>) -> Self {
        let holder = Arc::new(Holder { waker: Arc::clone(waker), ..Holder::default() });
        let key = shared.streams.holders().insert(Arc::clone(&holder));
        let charged = Charged::default();
        Self { shared: Arc::clone(shared), holder, key, charged, gone: false, waits: false, recheck: None }
    }

    /// Whether its client is to be dropped; told once.
    pub(super) fn must_go(&mut self) -> bool {
        self.sees(0);
        self.holder.dropped.load(Ordering::Relaxed) && !std::mem::replace(&mut self.gone, true)
    }

    /// What it held when it was dropped is about to be free.
    fn sees(&self, then: usize) {
        let held = self.holder.going.swap(then, Ordering::Relaxed);
        self.shared.streams.going.fetch_sub(held, Ordering::Relaxed);
    }

    /// Takes note of what the session holds by now.
    pub(super) fn note(&mut self, session: &Session) {
        let input = session.held_input();
        self.charged.update(input, &self.shared.budget);
        self.holder.input.store(input, Ordering::Relaxed);
        if self.holder.client.get().is_none()
            && let Some(client) = session.client()
        {
            self.holder.client.get_or_init(|| client.clone());
        }
        if self.shared.budget.is_over() {
            self.shared.relieve_streams();
        }
    }

    /// Whether the session may be read from. One that is held back looks again after a tick, and may read a little when it is
    /// its turn.
    pub(super) fn may_read(&mut self, session: &Session, cx: &mut Context<'_>) -> bool {
        if !session.is_held_back(&self.shared) {
            self.go_on();
            return true;
        }
        let (streams, budget) = (&self.shared.streams, &self.shared.budget);
        if !std::mem::replace(&mut self.waits, true) {
            streams.turns().join(self.key);
        }
        loop {
            if streams.turns().take(self.key, || budget.reads_per_tick(1)) {
                (self.waits, self.recheck) = (false, None);
                return true;
            }
            let recheck = self.recheck.get_or_insert_with(|| rt::timer(now() + TICK));
            if recheck.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.recheck = None;
            streams.in_vain.store(0, Ordering::Relaxed);
        }
    }

    /// Waits for no turn any more: it may be read from, or is not to be for another reason.
    pub(super) fn go_on(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.recheck = None;
            self.shared.streams.turns().leave(self.key);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.go_on();
        let holder = self.shared.streams.holders().try_remove(self.key);
        drop(holder);
        self.charged.clear(&self.shared.budget);
        broken!(GoesUnseen, return self.sees(0));
        self.sees(ENDED);
    }
}

impl Turns {
    /// Waits for a turn, as the first where it had the last one: it is completed, or grows until it is dropped.
    fn join(&mut self, key: usize) {
        if self.latest == Some(key) {
            self.waiting.push_front(key);
        } else {
            self.waiting.push_back(key);
        }
    }

    fn leave(&mut self, key: usize) {
        self.waiting.retain(|waiting| *waiting != key);
    }

    /// Takes a turn, if it is the first that waits. Each tick has so many.
    fn take(&mut self, key: usize, each_tick: impl FnOnce() -> usize) -> bool {
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
