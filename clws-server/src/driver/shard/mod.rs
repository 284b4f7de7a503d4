//! A shard: one thread that owns many connections, the driver of their connections.
//!
//! A wake-up takes a batch of ready sockets: read, decode, run handlers, flush each touched outbox with one vectored
//! write. All reads go through one read_buffers buffer.

mod accepting;
mod deadlines;
mod flags;
mod relief;
mod serving;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::buffer_pool;
use crate::driver::read_buffers::ReadBuffers;
use crate::driver::shard::accepting::{Listening, listener_key};
use crate::driver::shard::flags::Flags;
use crate::driver::shard::relief::Relief;
use crate::driver::shard::serving::ConnectionSlot;
use crate::driver::state::DriverState;
use crate::guard::Watch;
use crate::net::acceptor::Acceptor;
use crate::net::poll::readiness::Readiness;
use crate::net::poll::{Events, Poller};
use crate::time::{deadline_after, now};
use crate::wake::{self, ShardCommand, ShardHandle, WakeTargetRef};

/// How often what handlers touch while outboxes are flushed is flushed too, before the sockets get their turn.
const FLUSHES: usize = 4;

/// About how long a shard serves clients that were cut off before it asks for new events, which come first.
const TURN: Duration = Duration::from_millis(5);

/// Clients are served out of a queue that many at a time between two looks at the clock.
const BETWEEN_LOOKS: usize = 8;

/// How long the memory that connections hand on is kept when the last of them is gone.
const KEPT: Duration = Duration::from_secs(1);

pub(crate) struct Shard {
    // Dropped in this order: sockets before the poller that knows them.
    connections: Slab<ConnectionSlot>,
    listeners: Vec<Listening>,
    poller: Poller,
    state: Arc<DriverState>,
    shard_handle: Arc<ShardHandle>,
    read_buffers: ReadBuffers,
    /// Ticks and slots; a connection knows itself whether its time is over.
    deadlines: BinaryHeap<Reverse<(u32, u32)>>,
    /// Slots that are to be served again, because their share ended before their input.
    queue: VecDeque<u32>,
    /// Slots whose events came in a turn that had no time left for them. They come before the `queue`.
    fresh: VecDeque<u32>,
    /// Slots that handlers touched and that are not flushed.
    woken: Vec<u32>,
    /// Slots that other threads touched.
    woken_by_others: Vec<u32>,
    commands: Vec<ShardCommand>,
    started: Instant,
    now: Instant,
    accept_again: Option<Instant>,
    /// When the memory is released that connections handed on, the last of them having gone.
    release_at: Option<Instant>,
    /// When a stop is over, whoever is left.
    stop_at: Option<Instant>,
    relief: Relief,
}

/// How long the part of a turn has taken in which some clients are served, of which there may be many.
struct TurnTime {
    started: Instant,
    served: usize,
    over: bool,
}

impl TurnTime {
    const fn new(started: Instant) -> Self {
        Self { started, served: 0, over: false }
    }

    /// Takes note of a client that was served, and of whether it has used its whole share.
    #[inline]
    fn spend(&mut self, whole: bool) {
        self.served += 1;
        if whole || self.served.is_multiple_of(BETWEEN_LOOKS) {
            self.over |= now().saturating_duration_since(self.started) >= TURN;
        }
    }

    #[inline]
    const fn is_over(&self) -> bool {
        self.over
    }
}

impl Shard {
    /// A shard that accepts connections from these listeners, as all shards do, and gives each to the one with the fewest.
    pub(crate) fn new(
        state: Arc<DriverState>,
        shard_handle: Arc<ShardHandle>,
        poller: Poller,
        listeners: &[Arc<Acceptor>],
    ) -> io::Result<Self> {
        let started = now();
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
            relief: Relief::default(),
        };
        // Added when the shard owns them: its drop takes them from the poller again, whatever fails.
        for (index, listening) in shard.listeners.iter().enumerate() {
            shard.poller.add_listener(&*listening.listener, listener_key(index))?;
        }
        Ok(shard)
    }

    /// Serves until it is told to stop.
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

    /// Whether it was told to stop and has no connection left; those that are left when the time for that is over are dropped.
    pub(crate) fn has_ended(&mut self) -> bool {
        let Some(stop_at) = self.stop_at else { return false };
        if self.now >= stop_at {
            self.kill_all();
        }
        self.connections.is_empty()
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = self.timeout();
        self.poller.wait(events, timeout)?;
        self.work(events);
        Ok(())
    }

    /// How long to wait for events. From now on a command from another thread wakes the poller.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.shard_handle.end_turn();
        if self.has_work() || !self.shard_handle.may_sleep() {
            return Some(Duration::ZERO);
        }
        self.next_wake_up().map(|at| at.saturating_duration_since(now()))
    }

    /// Does what the events ask for, and everything else that waits for this shard.
    ///
    /// Clients with new events come first. Those whose share ended before their input wait in a queue, and have some
    /// milliseconds of each turn together: so a client that sends a little waits that long at most for those that send a lot.
    pub(crate) fn work(&mut self, events: &mut Events) {
        self.now = now();
        self.shard_handle.begin_turn(self.now.saturating_duration_since(self.state.context.started));
        self.shard_handle.take(&mut self.commands);
        let (fresh, queued) = (self.fresh.len(), self.queue.len());

        // Before any handler runs, so that one that blocks keeps nobody out.
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
        self.flush_touched_by_others();
        let mut time = TurnTime::new(self.now);
        for index in 0..events.len() {
            if let Some(ready) = events.get(index) {
                self.ready(ready, &mut time);
            }
        }
        self.flush_touched();
        self.serve_queues(fresh, queued);
        self.flush_touched();
        self.relieve();
        self.look_again();
        self.expire();
        if self.release_at.is_some_and(|at| at <= self.now) {
            self.release_memory();
        }
    }

    /// Gives back what was kept for the next connections, if there are still none: a server that was busy once does not hold on
    /// to the memory of that time.
    fn release_memory(&mut self) {
        self.release_at = None;
        if self.connections.is_empty() {
            self.connections = Slab::new();
            self.read_buffers = ReadBuffers::new();
            self.deadlines = BinaryHeap::new();
            (self.queue, self.fresh) = Default::default();
            (self.woken, self.woken_by_others, self.commands) = Default::default();
            wake::release_memory();
            buffer_pool::release_memory();
            #[cfg(feature = "deflate")]
            crate::codecs::release_memory();
        }
    }

    /// Serves those who were left over by earlier turns, which are so many: first the ones that have had nothing yet. Who is
    /// left over by this turn has had its share of it.
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
        // At least one, so that everybody gets on.
        for _ in 0..queued {
            let Some(slot) = self.queue.pop_front() else { break };
            time.spend(self.serve_queued(slot));
            if time.is_over() {
                break;
            }
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
        let settles = ready.broken || (ready.writable && flags.has(Flags::BLOCKED));
        if settles {
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

    /// Flushes the outboxes that handlers have touched, and those that are touched meanwhile, some times over: what is
    /// touched again and again, by a handler that sends whenever its client has read, has its turn with the sockets.
    fn flush_touched(&mut self) {
        for _ in 0..FLUSHES {
            wake::take_woken(&mut self.woken);
            if self.woken.is_empty() {
                return;
            }
            let mut touched = std::mem::take(&mut self.woken);
            for slot in touched.drain(..) {
                self.drive(slot);
            }
            self.woken = touched;
        }
    }

    /// Flushes what other threads have sent, each outbox once, however often they told of it.
    fn flush_touched_by_others(&mut self) {
        if self.woken_by_others.is_empty() {
            return;
        }
        let mut touched = std::mem::take(&mut self.woken_by_others);
        touched.sort_unstable();
        touched.dedup();
        for slot in touched.drain(..) {
            self.drive(slot);
        }
        self.woken_by_others = touched;
    }

    fn handle_command(&mut self, command: ShardCommand) {
        match command {
            ShardCommand::Wake(slot) => self.woken_by_others.push(slot),
            ShardCommand::WakeAll(mut slots) => self.woken_by_others.append(&mut slots),
            ShardCommand::Accept => self.listeners.iter_mut().for_each(|listening| listening.ready = true),
            ShardCommand::AddConnection(socket, peer, permit) => self.adopt(socket, peer, permit),
            ShardCommand::Relieve(others) => {
                self.shard_handle.sees_relief();
                self.drop_biggest(others);
            }
            ShardCommand::Stop if self.stop_at.is_some() => {}
            ShardCommand::Stop => {
                // Long enough for clients to answer our close frame, and then for the last octets to go.
                let patience = self.state.config().close_timeout.saturating_mul(2);
                self.stop_at = Some(deadline_after(now(), patience));
                for listening in self.listeners.drain(..) {
                    listening.listener.refuse_all();
                    self.poller.closing(&*listening.listener);
                }
                for slot in self.slots() {
                    let context =
                        self.state.connection_context(WakeTargetRef::Shard(&self.shard_handle, slot));
                    if let Some(connection) = self.connections.get_mut(slot as usize) {
                        connection.connection.stop(&context);
                    }
                    self.drive(slot);
                }
            }
        }
    }

    fn kill_all(&mut self) {
        for slot in self.slots() {
            if let Some(connection) = self.connections.get_mut(slot as usize) {
                connection.connection.kill();
                self.drive(slot);
            }
        }
    }

    fn next_wake_up(&self) -> Option<Instant> {
        let deadline = self.deadlines.peek().map(|&Reverse((tick, _))| self.at(tick));
        let others = [self.accept_again, self.stop_at, self.release_at, self.relief.next_wake_up()];
        others.into_iter().chain([deadline]).flatten().min()
    }

    fn slots(&self) -> Vec<u32> {
        self.connections.iter().filter_map(|(key, _)| u32::try_from(key).ok()).collect()
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        for (_, connection) in &mut self.connections {
            connection.charged.clear(self.state.budget());
            self.poller.closing(&connection.socket);
            self.state.release(connection.permit());
        }
        for listening in &self.listeners {
            self.poller.closing(&*listening.listener);
        }
        for command in self.shard_handle.close() {
            if let ShardCommand::AddConnection(_, _, permit) = command {
                self.state.release(permit);
            }
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
