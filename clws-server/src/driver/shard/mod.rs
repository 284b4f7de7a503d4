//! A shard: one thread that drives many connections.
//!
//! Each wake-up brings a batch of ready sockets. They are read, handlers run, and each filled
//! outbox is flushed with one vectored write. All reads go through the shard's read buffers.

mod accepting;
mod commands;
mod deadlines;
mod drain_state;
mod draining;
mod flags;
mod held_back;
mod listening;
mod proxy_header;
mod relief;
mod secure;
mod serving;
mod slot;
mod socket_io;
mod sweep;
mod sweeping;
mod taps;
mod thread;
#[cfg(feature = "__tls")]
mod tls_io;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::admission::addresses::AddressPermit;
use crate::buffer_pool;
use crate::driver::client_list::ClientList;
use crate::driver::read_buffers::ReadBuffers;
use crate::driver::shard::drain_state::Draining;
use crate::driver::shard::flags::Flags;
use crate::driver::shard::held_back::Relief;
use crate::driver::shard::listening::{Listening, listener_key};
use crate::driver::shard::secure::Secure;
use crate::driver::shard::slot::ConnectionSlot;
use crate::driver::shard::sweep::Sweep;
use crate::driver::shard::taps::Taps;
use crate::driver::state::DriverState;
use crate::guard::Watch;
use crate::net::acceptor::Acceptor;
use crate::net::poll::readiness::Readiness;
use crate::net::poll::{Events, Poller};
use crate::time::now;
use crate::wake::{self, ShardCommand, ShardHandle};

/// The number of times that outboxes filled during a flush are flushed too, before sockets have
/// their turn.
const FLUSHES_PER_TURN: usize = 4;

/// The approximate time for which clients are served before new events are polled. New events come
/// first.
const SERVING_TIME: Duration = Duration::from_millis(5);

/// Clients that are served between two readings of the clock.
const CLIENTS_PER_CHECK: usize = 8;

/// The time for which memory for the next connections is kept after the last connection.
const KEEP_MEMORY_FOR: Duration = Duration::from_secs(1);

pub(crate) struct Shard {
    // Dropped in this order: sockets before the poller that knows them.
    connections: Slab<ConnectionSlot>,
    listeners: Vec<Listening>,
    poller: Poller,
    state: Arc<DriverState>,
    shard_handle: Arc<ShardHandle>,
    read_buffers: ReadBuffers,
    /// Ticks and slots. Each connection knows whether the deadline still holds.
    deadlines: BinaryHeap<Reverse<(u32, u32)>>,
    /// Slots with input or events left at the end of their share.
    queue: VecDeque<u32>,
    /// Slots whose events came in a turn without time for them. They are served before `queue`.
    fresh: VecDeque<u32>,
    /// Slots that handlers on this thread have woken.
    woken: Vec<u32>,
    /// Slots that other threads have woken.
    woken_by_others: Vec<u32>,
    commands: Vec<ShardCommand>,
    started: Instant,
    now: Instant,
    accept_again: Option<Instant>,
    /// The time at which memory for the next connections is freed.
    release_at: Option<Instant>,
    /// The time at which a stop ends the connections that are left.
    stop_at: Option<Instant>,
    /// The drain, if one has begun.
    drain: Option<Box<Draining>>,
    relief: Relief,
    sweep: Sweep,
    list: Arc<ClientList>,
    /// The permits of slots whose clients count for an address.
    addresses: HashMap<u32, AddressPermit>,
    taps: Taps,
    secure: Secure,
}

/// Measures the time for which clients are served in a turn.
struct TurnTime {
    started: Instant,
    served: usize,
    over: bool,
}

impl TurnTime {
    const fn new(started: Instant) -> Self {
        Self { started, served: 0, over: false }
    }

    /// Records that a client was served. `whole` means that it has used its whole share.
    #[inline]
    fn spend(&mut self, whole: bool) {
        self.served += 1;
        if whole || self.served.is_multiple_of(CLIENTS_PER_CHECK) {
            self.over |= now().saturating_duration_since(self.started) >= SERVING_TIME;
        }
    }

    #[inline]
    const fn is_over(&self) -> bool {
        self.over
    }
}

impl Shard {
    /// Creates a shard. All shards accept connections from the same listeners.
    ///
    /// # Errors
    ///
    /// The poller takes no listener.
    pub(crate) fn new(
        state: Arc<DriverState>,
        shard_handle: Arc<ShardHandle>,
        poller: Poller,
        listeners: &[Arc<Acceptor>],
    ) -> io::Result<Self> {
        let started = now();
        let list = state.new_client_list();
        let shard = Self {
            connections: Slab::new(),
            listeners: listeners
                .iter()
                .map(|listener| Listening { listener: Arc::clone(listener), ready: false })
                .collect(),
            poller,
            state,
            shard_handle,
            read_buffers: ReadBuffers::new(),
            deadlines: BinaryHeap::new(),
            queue: VecDeque::new(),
            fresh: VecDeque::new(),
            woken: Vec::new(),
            woken_by_others: Vec::new(),
            commands: Vec::new(),
            started,
            now: started,
            accept_again: None,
            release_at: None,
            stop_at: None,
            drain: None,
            relief: Relief::default(),
            sweep: Sweep::default(),
            list,
            addresses: HashMap::new(),
            taps: Taps::default(),
            secure: Secure::default(),
        };
        // The shard owns the listeners already, so its drop removes them from the poller if this
        // fails.
        for (index, listening) in shard.listeners.iter().enumerate() {
            shard.poller.add_listener(&*listening.listener, listener_key(index))?;
        }
        Ok(shard)
    }

    /// Serves until the server stops.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let _watch = Watch::start(self.state.config().debug_on_server_errors);
        self.shard_handle.register_current_thread();
        let mut events = Events::new();
        loop {
            self.turn(&mut events)?;
            if self.has_ended() {
                return Ok(());
            }
        }
    }

    /// Whether the server stops or has drained, and no connection is left. Drops the connections
    /// that are left when the time is over.
    pub(crate) fn has_ended(&mut self) -> bool {
        let Some(stop_at) = self.stop_at else { return false };
        if self.now >= stop_at {
            self.kill_all();
        }
        self.connections.is_empty() && self.drain.as_ref().is_none_or(|drain| drain.may_end())
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = self.timeout();
        self.poller.wait(events, timeout)?;
        self.work(events);
        Ok(())
    }

    /// The longest wait for events. From now on a command from another thread wakes the poller.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.shard_handle.end_turn();
        if self.has_work() || !self.shard_handle.may_sleep() {
            return Some(Duration::ZERO);
        }
        self.next_wake_up().map(|at| at.saturating_duration_since(now()))
    }

    /// Handles the events, and everything else that waits for this shard.
    ///
    /// Clients with new events come first. Clients with input left at the end of their share wait
    /// in a queue, and have some milliseconds of each turn together. A client that sends a little
    /// waits that long at most for clients that send a lot.
    pub(crate) fn work(&mut self, events: &mut Events) {
        self.now = now();
        self.shard_handle.begin_turn(self.now.saturating_duration_since(self.state.context.shared.started));
        self.shard_handle.take(&mut self.commands);
        let (fresh, queued) = (self.fresh.len(), self.queue.len());

        // Before any handler runs, because a handler may block.
        for index in 0..events.len() {
            if let Some(ready) = events.get(index)
                && let Some(listening) = self.listener_at(ready.key)
            {
                listening.ready = true;
            }
        }
        self.accept();

        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            self.handle_command(command);
        }
        self.commands = commands;
        self.secure.begin_turn();
        self.drive_woken_by_others();
        let mut time = TurnTime::new(self.now);
        for index in 0..events.len() {
            if let Some(ready) = events.get(index) {
                self.ready(ready, &mut time);
            }
        }
        self.drive_woken();
        self.serve_queues(fresh, queued);
        self.serve_tls_handshakes();
        self.drive_woken();
        self.relieve();
        self.read_gone();
        self.reexamine();
        self.favor_one();
        self.sweep();
        let ended = self.expire();
        self.continue_drain();
        self.shard_handle.counters.note_turn(ended.saturating_duration_since(self.now));
        if self.release_at.is_some_and(|at| at <= self.now) {
            self.release_memory();
        }
    }

    /// Frees memory that was kept for the next connections, if there are still none.
    fn release_memory(&mut self) {
        self.release_at = None;
        if self.connections.is_empty() {
            self.connections = Slab::new();
            self.read_buffers = ReadBuffers::new();
            self.secure = Secure::default();
            self.deadlines = BinaryHeap::new();
            self.list.clear();
            (self.queue, self.fresh) = Default::default();
            (self.woken, self.woken_by_others, self.commands) = Default::default();
            wake::release_memory();
            buffer_pool::release_memory();
            #[cfg(feature = "deflate")]
            crate::codecs::release_memory();
        }
    }

    /// Serves the clients that earlier turns have left, first the clients that had no share yet.
    /// The two counts exclude clients that this turn has left, because they had their share of it.
    fn serve_queues(&mut self, fresh: usize, queued: usize) {
        if fresh + queued == 0 {
            return;
        }
        let mut time = TurnTime::new(now());
        for _ in 0..fresh {
            let Some(slot) = self.fresh.pop_front() else { break };
            time.spend(self.serve_queued(slot));
            if time.is_over() {
                break;
            }
        }
        // At least one in each turn, so that every client gets a share eventually.
        for _ in 0..queued {
            let Some(slot) = self.queue.pop_front() else { break };
            time.spend(self.serve_queued(slot));
            if time.is_over() {
                break;
            }
        }
    }

    /// Continues TLS handshakes that had no time in an earlier turn.
    fn serve_tls_handshakes(&mut self) {
        while let Some(slot) = self.secure.next_waiting() {
            self.serve_queued(slot);
        }
    }

    fn serve_queued(&mut self, slot: u32) -> bool {
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            connection.flags.set(Flags::QUEUED, false);
        }
        self.serve(slot)
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty()
            || !self.fresh.is_empty()
            || !self.relief.gone.is_empty()
            || self.secure.has_waiting()
            || wake::is_any_woken()
            || (self.accept_again.is_none() && self.listeners.iter().any(|l| l.ready))
    }

    fn ready(&mut self, ready: Readiness, time: &mut TurnTime) {
        let Some(connection) = self.connections.get_mut(ready.key) else { return };
        let Ok(slot) = u32::try_from(ready.key) else { return };
        let flags = &mut connection.flags;
        flags.set(Flags::READABLE, flags.has(Flags::READABLE) || ready.readable);
        flags.set(Flags::HANGUP, flags.has(Flags::HANGUP) || ready.hangup);
        flags.set(Flags::BROKEN, flags.has(Flags::BROKEN) || ready.broken);
        let can_write = ready.broken || (ready.writable && flags.has(Flags::BLOCKED));
        if can_write {
            self.drive(slot);
        }
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if connection.flags.has(Flags::QUEUED) || !connection.flags.has(Flags::READABLE) {
            return;
        }
        if time.is_over() {
            connection.flags.set(Flags::QUEUED, true);
            self.fresh.push_back(slot);
        } else {
            time.spend(self.serve(slot));
        }
    }

    /// Drives the connections that handlers have woken, and repeats this a few times for
    /// connections woken meanwhile. A handler that sends whenever its client has read waits for its
    /// turn with the sockets.
    fn drive_woken(&mut self) {
        for _ in 0..FLUSHES_PER_TURN {
            wake::take_woken(&mut self.woken);
            if self.woken.is_empty() {
                return;
            }
            let mut woken = std::mem::take(&mut self.woken);
            for slot in woken.drain(..) {
                self.drive(slot);
            }
            self.woken = woken;
        }
    }

    /// Drives the connections that other threads have woken, each once.
    fn drive_woken_by_others(&mut self) {
        if self.woken_by_others.is_empty() {
            return;
        }
        let mut woken = std::mem::take(&mut self.woken_by_others);
        woken.sort_unstable();
        woken.dedup();
        for slot in woken.drain(..) {
            self.drive(slot);
        }
        self.woken_by_others = woken;
    }

    fn next_wake_up(&self) -> Option<Instant> {
        let deadline = self.deadlines.peek().map(|&Reverse((tick, _))| self.at(tick));
        let drain = self.drain.as_ref().map(|drain| drain.next_wake_up());
        let others = [
            self.accept_again,
            self.stop_at,
            self.release_at,
            self.relief.next_wake_up(),
            self.sweep.next_wake_up(),
            drain,
        ];
        others.into_iter().chain([deadline]).flatten().min()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
