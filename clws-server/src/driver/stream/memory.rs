//! The memory that streams hold: who of them is dropped where it is too much, and who may read on while it is short.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::Context;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::budget::{Budget, Charged};
use crate::client::Client;
use crate::client::context::ClientContext;
use crate::connection::Connection;
use crate::driver::state::DriverState;
use crate::lock::{Lock, LockGuard, rank};
use crate::runtime;
use crate::sync::broken;
use crate::sync::{atomic::AtomicBool, atomic::AtomicUsize, atomic::Ordering};
use crate::task_waker::TaskWaker;
use crate::time::now;

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
    state: Arc<DriverState>,
    holder: Arc<Holder>,
    key: usize,
    charged: Charged,
    /// It was dropped, and knows it.
    gone: bool,
    /// It is held back, and waits for a turn.
    waits: bool,
    /// When it looks again.
    recheck: Option<runtime::Timer>,
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
    pub(crate) fn drop_biggest(&self, context: &ClientContext) -> bool {
        let budget = &context.budget;
        budget.give_back();
        let used = budget.used();
        if !self.is_too_much(budget) || used < self.in_vain.load(Ordering::Relaxed) {
            return true;
        }
        let holders: Vec<_> = self.holders().iter().map(|(_, holder)| Arc::clone(holder)).collect();
        let stays = |holder: &&Arc<Holder>| !holder.dropped.load(Ordering::Acquire);
        let biggest = holders.iter().filter(stays).map(|holder| (holder.held(), holder));
        let biggest = biggest.max_by_key(|(held, _)| *held);
        let Some((_, holder)) = biggest.filter(|(held, _)| *held >= context.fair_share()) else {
            self.in_vain.store(used.saturating_add(budget.limit() / 64), Ordering::Relaxed);
            return false;
        };
        // The one that held most may have been dropped by another thread since it was looked at: its bytes are enough.
        if !self.is_too_much(budget) {
            return true;
        }
        // All that it holds is going before anybody sees that it is dropped.
        let held = holder.held();
        self.going.fetch_add(held, Ordering::Relaxed);
        if !holder.dropped.swap(true, Ordering::AcqRel) {
            // What is queued for it is free at once, the rest when its driver sees it.
            if let Some(client) = holder.client.get() {
                client.abandon();
            }
            budget.give_back();
            let rest = holder.held();
            self.going.fetch_add(rest, Ordering::Relaxed);
            // Its driver may have ended meanwhile.
            if holder.going.compare_exchange(0, rest, Ordering::Relaxed, Ordering::Relaxed).is_err() {
                self.going.fetch_sub(rest, Ordering::Relaxed);
            }
            holder.waker.wake();
        }
        self.going.fetch_sub(held, Ordering::Release);
        true
    }

    /// Whether too much is held without what is going.
    fn is_too_much(&self, budget: &Budget) -> bool {
        // In this order: what is no longer going is not used either.
        let going = self.going.load(Ordering::Acquire);
        budget.used().saturating_sub(going) > budget.limit()
    }
}

impl Memory {
    pub(super) fn new(state: &Arc<DriverState>, waker: &Arc<TaskWaker>) -> Self {
        let holder = Arc::new(Holder { waker: Arc::clone(waker), ..Holder::default() });
        let key = state.streams.holders().insert(Arc::clone(&holder));
        let charged = Charged::default();
        Self { state: Arc::clone(state), holder, key, charged, gone: false, waits: false, recheck: None }
    }

    /// Whether its client is to be dropped; told once.
    pub(super) fn must_go(&mut self) -> bool {
        self.sees(0);
        self.holder.dropped.load(Ordering::Relaxed) && !std::mem::replace(&mut self.gone, true)
    }

    /// What it held when it was dropped is about to be free.
    fn sees(&self, then: usize) {
        let held = self.holder.going.swap(then, Ordering::Relaxed);
        self.state.streams.going.fetch_sub(held, Ordering::Relaxed);
    }

    /// Takes note of what the connection holds by now.
    pub(super) fn note(&mut self, connection: &Connection) {
        let input = connection.held_input();
        self.charged.update(input, self.state.budget());
        self.holder.input.store(input, Ordering::Relaxed);
        if self.holder.client.get().is_none()
            && let Some(client) = connection.client()
        {
            self.holder.client.get_or_init(|| client.clone());
        }
        if self.state.budget().is_over() {
            self.state.relieve_streams();
        }
    }

    /// Whether the connection may be read from. One that is held back looks again after a tick, and may read a little when it is
    /// its turn.
    pub(super) fn may_read(&mut self, connection: &Connection, cx: &mut Context<'_>) -> bool {
        if !connection.is_held_back(self.state.budget()) {
            self.go_on();
            return true;
        }
        let (streams, budget) = (&self.state.streams, self.state.budget());
        if !std::mem::replace(&mut self.waits, true) {
            streams.turns().join(self.key);
        }
        loop {
            if streams.turns().take(self.key, || budget.reads_per_tick(1)) {
                (self.waits, self.recheck) = (false, None);
                return true;
            }
            let recheck = self.recheck.get_or_insert_with(|| runtime::timer(now() + TICK));
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
            self.state.streams.turns().leave(self.key);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.go_on();
        let holder = self.state.streams.holders().try_remove(self.key);
        drop(holder);
        self.charged.clear(self.state.budget());
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

#[cfg(all(test, not(shuttle)))]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use clws_handshake::client::ClientRequest;

    use super::*;
    use crate::client::watchers::Watcher;
    use crate::config::Config;
    use crate::config::address::Peer;
    use crate::connection::share::Share;
    use crate::resource::Resource;
    use crate::wake::WakeTargetRef;
    use crate::{Origins, Version};

    struct Silent;

    impl Resource for Silent {}

    /// A client of which the beginning of a message has come, so long.
    fn holding(state: &Arc<DriverState>, waker: &Arc<TaskWaker>, len: usize) -> (Connection, Memory) {
        let context = state.connection_context(WakeTargetRef::Stream(waker));
        let mut connection = Connection::new(Peer::Stream, &context);
        let request = ClientRequest::new(Version::Rfc6455, "ws://server/");
        let mut request = request.build(&mut |bytes: &mut [u8]| bytes.fill(0x5A)).unwrap().0;
        connection.receive(&mut request, &mut Share::new(), &context);
        let mut message = vec![0x82, 0xFF, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]; // of 8 MiB
        message.resize(message.len() + len, 0);
        connection.receive(&mut message, &mut Share::new(), &context);
        assert!(connection.held_input() >= len);
        (connection, Memory::new(state, waker))
    }

    /// Looks for a client to drop while another one is being dropped.
    struct Asks(Arc<DriverState>);

    impl Watcher for Asks {
        fn notice(&self) {
            self.0.streams.drop_biggest(&self.0.context);
        }
    }

    #[test]
    fn one_client_is_dropped_for_the_same_bytes() {
        let state = DriverState::new(Config::default().max_buffered(1 << 20));
        state.resources.register("/", Origins::any(), Silent).unwrap();
        let waker = Arc::default();
        let (big, mut memory_of_big) = holding(&state, &waker, 700 << 10);
        let (small, mut memory_of_small) = holding(&state, &waker, 600 << 10);
        let asks: Arc<dyn Watcher> = Arc::new(Asks(Arc::clone(&state)));
        big.client().unwrap().watch(&asks);
        memory_of_big.note(&big);
        memory_of_small.note(&small);
        assert_eq!((memory_of_big.must_go(), memory_of_small.must_go()), (true, false));
    }
}
