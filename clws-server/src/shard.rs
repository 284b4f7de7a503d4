//! A shard: one thread that owns many connections, the driver of their sessions.
//!
//! A wake-up takes a batch of ready sockets: read, decode, run handlers, flush each touched outbox with one vectored
//! write. All reads go through one scratch buffer.

mod relief;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clws_handshake::Reject;
use slab::Slab;

use self::relief::Relief;
use crate::budget::{Charged, FREE};
use crate::guard::{Watch, log};
use crate::home::{self, Command, Place, Remote};
use crate::poll::{Events, Poller, Readiness};
use crate::pool;
use crate::scratch::{Appetite, Scratch};
use crate::server::{Seat, Shared};
use crate::session::{Context, Next, RETRY_AFTER, Session, later};
use crate::share::{Share, WriteShare};
use crate::socket::{Acceptor, Peer, Socket};
use crate::time::now;

/// About how many octets are read from one socket before the others get their turn. Enough for a big message to be read and answered while
/// it is in the processor's cache: with a quarter of it an echo of 1 MiB cost a fifth more.
const READ_BUDGET: usize = 1 << 20;

/// Connections taken from one listener before the sockets get their turn.
const ACCEPTS: usize = 64;

/// How often what handlers touch while outboxes are flushed is flushed too, before the sockets get their turn.
const FLUSHES: usize = 4;

/// About how long a shard serves clients that were cut off before it asks for new events, which come first.
const TURN: Duration = Duration::from_millis(5);

/// Clients are served out of a queue that many at a time between two looks at the clock.
const BETWEEN_LOOKS: usize = 8;

/// Deadlines are rounded up to this, so that many of them share a wake-up.
const TICK: Duration = Duration::from_millis(100);

/// How long the memory that connections hand on is kept when the last of them is gone.
const KEPT: Duration = Duration::from_secs(1);

/// How long accepting rests when the system has no descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

pub(crate) struct Shard {
    // Dropped in this order: sockets before the poller that knows them.
    connections: Slab<Connection>,
    listeners: Vec<Listening>,
    poller: Poller,
    shared: Arc<Shared>,
    remote: Arc<Remote>,
    scratch: Scratch,
    /// Ticks and slots; a session knows itself whether its time is over.
    deadlines: BinaryHeap<Reverse<(u32, u32)>>,
    /// Slots that are to be served again, because their share ended before their input.
    queue: VecDeque<u32>,
    /// Slots whose events came in a turn that had no time left for them. They come before the `queue`.
    fresh: VecDeque<u32>,
    /// Slots that handlers touched and that are not flushed.
    touched: Vec<u32>,
    /// Slots that other threads touched.
    touched_by_others: Vec<u32>,
    commands: Vec<Command>,
    started: Instant,
    now: Instant,
    accept_again: Option<Instant>,
    /// When the memory is released that connections handed on, the last of them having gone.
    release_at: Option<Instant>,
    /// When a stop is over, whoever is left.
    stop_at: Option<Instant>,
    relief: Relief,
}

struct Connection {
    socket: Socket,
    session: Session,
    flags: Flags,
    appetite: Appetite,
    seat: Seat,
    /// For what its session holds; what its client holds is charged there.
    charged: Charged,
}

/// What a shard knows of a connection, in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags(u8);

impl Flags {
    /// An edge told of input that was not read to its end.
    const READABLE: u8 = 1;
    /// The socket took less than there was.
    const BLOCKED: u8 = 2;
    /// The peer has ended its side: read on to the end.
    const HANGUP: u8 = 4;
    /// Both directions of the connection have ended; noticed by reading, or, where that has stopped, by the session.
    const BROKEN: u8 = 8;
    /// Its slot is in a queue of the shard.
    const QUEUED: u8 = 16;
    /// It has used up its last share.
    const GREEDY: u8 = 32;
    /// Events of its last read wait, so that the next read is to be small.
    const LEFT_SOME: u8 = 64;
    /// The socket may take more, but its share of writing is over.
    const UNFLUSHED: u8 = 128;

    #[inline]
    const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    #[inline]
    const fn set(&mut self, flag: u8, on: bool) {
        if on { self.0 |= flag } else { self.0 &= !flag }
    }
}

impl Connection {
    /// Whether there is something to do that no event tells of: input that was not read to its end, events of it that were not
    /// delivered, or output that was cut off.
    #[inline]
    fn has_work(&self, shared: &Shared) -> bool {
        self.flags.has(Flags::UNFLUSHED)
            || self.session.may_go_on()
            || (self.has_input() && !self.is_held_back(shared))
    }

    /// Whether there is input that the session wants.
    #[inline]
    fn has_input(&self) -> bool {
        self.flags.has(Flags::READABLE) && self.session.wants_input()
    }

    /// Whether it holds much while memory is short. A broken one is read from: that frees what it holds.
    #[inline]
    fn is_held_back(&self, shared: &Shared) -> bool {
        self.session.is_held_back(shared) && !self.flags.has(Flags::BROKEN)
    }

    /// The share that it gets of this turn.
    #[inline]
    fn share(&self) -> Share {
        if self.flags.has(Flags::GREEDY) {
            Share::strict()
        } else if self.session.is_compressed() {
            Share::started_now()
        } else {
            Share::new()
        }
    }
}

/// How much was read, and where to.
enum Read {
    /// The session's own room.
    Direct(usize),
    Scratch(usize),
}

/// A listening socket, which all shards accept from.
struct Listening {
    listener: Arc<Acceptor>,
    ready: bool,
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
        shared: Arc<Shared>,
        remote: Arc<Remote>,
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
            shared,
            remote,
            scratch: Scratch::new(),
            deadlines: BinaryHeap::new(),
            queue: VecDeque::new(),
            fresh: VecDeque::new(),
            touched: Vec::new(),
            touched_by_others: Vec::new(),
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
        let _watch = Watch::start(self.shared.config.debug_on_server_errors);
        self.remote.settle_here();
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
        self.remote.end_turn();
        if self.has_work() || !self.remote.may_sleep() {
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
        self.remote.begin_turn(self.now.saturating_duration_since(self.shared.started));
        self.remote.take(&mut self.commands);
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
            self.obey(command);
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
            self.scratch = Scratch::new();
            self.deadlines = BinaryHeap::new();
            (self.queue, self.fresh) = Default::default();
            (self.touched, self.touched_by_others, self.commands) = Default::default();
            home::release_memory();
            pool::release_memory();
            #[cfg(feature = "deflate")]
            crate::deflate::release_memory();
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
            || home::is_touched()
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
            self.settle(slot);
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

    /// Gives a connection its share: delivers what was read before, reads what came, as far as its time and its outbox allow, and
    /// flushes what that brought. Returns whether all of the share was used.
    fn serve(&mut self, slot: u32) -> bool {
        self.serve_and(slot, false)
    }

    /// The same; one that `reads` is read from even if it is held back.
    fn serve_and(&mut self, slot: u32, reads: bool) -> bool {
        let place = Place::Shard(&self.remote, slot);
        let context = Context { shared: &self.shared, place };
        let Some(connection) = self.connections.get_mut(slot as usize) else { return false };
        // `settle` comes back to one that has nothing to do now when the client has read, or the application has.
        if !reads && !connection.has_work(&self.shared) {
            self.hold_back(slot);
            return false;
        }
        let mut share = connection.share();
        connection.session.go_on(&mut share, &context);
        let reads = reads || !connection.is_held_back(&self.shared);
        // One read, and a small one, while memory is short.
        let (mut budget, most) =
            if self.shared.budget.is_pressed() { (1, FREE) } else { (READ_BUDGET, usize::MAX) };
        while budget > 0
            && reads
            && !share.is_over()
            && connection.flags.has(Flags::READABLE)
            && connection.session.wants_input()
        {
            let Connection { session, socket, appetite, flags, .. } = connection;
            let little = session.reads_little() || flags.has(Flags::LEFT_SOME) || most == FREE;
            let eager = if little { Appetite::default() } else { *appetite };
            let (read, size) = match session.room() {
                Some(room) => {
                    let size = room.len().min(most);
                    let room = room.get_mut(..size).unwrap_or_default();
                    (socket.read(room).map(Read::Direct), size)
                }
                None => {
                    let buffer = self.scratch.lend(eager);
                    (socket.read(buffer).map(Read::Scratch), buffer.len())
                }
            };
            match read {
                Ok(Read::Direct(0) | Read::Scratch(0)) => {
                    flags.set(Flags::READABLE, false);
                    session.end_of_input(&context);
                }
                Ok(read) => {
                    let (Read::Direct(count) | Read::Scratch(count)) = read;
                    budget = budget.saturating_sub(count);
                    match read {
                        Read::Direct(count) => session.receive_direct(count, &mut share, &context),
                        Read::Scratch(count) => {
                            appetite.note(count);
                            let (buffer, range) = self.scratch.read(eager, count);
                            session.receive_owned(buffer, range, &mut share, &context);
                        }
                    }
                    flags.set(Flags::LEFT_SOME, session.has_unread());
                    // A short read has emptied the socket; what comes later is another edge. Only the end of the
                    // stream may have been reported already.
                    if count < size && !flags.has(Flags::HANGUP) {
                        flags.set(Flags::READABLE, false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    flags.set(Flags::READABLE, false);
                    if session.has_failed_to_write() {
                        session.end_of_input(&context);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    flags.set(Flags::READABLE, false);
                    session.read_failed(error, &context);
                }
            }
        }
        connection.flags.set(Flags::GREEDY, share.is_over());
        home::untouch(slot);
        self.settle(slot);
        self.relieve();
        share.is_over()
    }

    /// Writes what a connection has to write, and does what it asks for next.
    fn settle(&mut self, slot: u32) {
        let place = Place::Shard(&self.remote, slot);
        let context = Context { shared: &self.shared, place };
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        connection.session.proceed(&mut Share::new(), &context);
        let socket = &connection.socket;
        let mut share = WriteShare::new();
        match connection.session.flush(&mut |slices| share.write(|| socket.write(slices))) {
            Ok(all) => {
                connection.flags.set(Flags::BLOCKED, !all && !share.was_cut());
                connection.flags.set(Flags::UNFLUSHED, !all && share.was_cut());
            }
            Err(error) => {
                connection.session.write_failed(error, &context);
                connection.flags.set(Flags::UNFLUSHED, false);
                // What came before is read to its end.
                connection.flags.set(Flags::READABLE | Flags::HANGUP | Flags::BROKEN, true);
            }
        }
        match connection.session.next(&context) {
            Next::Wait => {}
            Next::ShutdownWrite => connection.socket.shutdown_write(),
            Next::Drop => return self.drop_connection(slot),
        }
        connection.charged.update(connection.session.held_input(), &self.shared.budget);
        if connection.has_work(&self.shared) {
            if !connection.flags.has(Flags::QUEUED) {
                connection.flags.set(Flags::QUEUED, true);
                self.queue.push_back(slot);
            }
        } else if connection.flags.has(Flags::BROKEN) && !connection.session.wants_input() {
            // A client that is not read from would be noticed by nobody else.
            connection.session.broken(&context);
            if connection.session.next(&context) == Next::Drop {
                return self.drop_connection(slot);
            }
        }
        if let Some(at) = connection.session.new_deadline() {
            self.deadlines.push(Reverse((tick(at.saturating_duration_since(self.started)), slot)));
            self.forget_deadlines();
        }
        self.hold_back(slot);
    }

    /// Flushes the outboxes that handlers have touched, and those that are touched meanwhile, some times over: what is
    /// touched again and again, by a handler that sends whenever its client has read, has its turn with the sockets.
    fn flush_touched(&mut self) {
        for _ in 0..FLUSHES {
            home::take_touched(&mut self.touched);
            if self.touched.is_empty() {
                return;
            }
            let mut touched = std::mem::take(&mut self.touched);
            for slot in touched.drain(..) {
                self.settle(slot);
            }
            self.touched = touched;
        }
    }

    /// Flushes what other threads have sent, each outbox once, however often they told of it.
    fn flush_touched_by_others(&mut self) {
        if self.touched_by_others.is_empty() {
            return;
        }
        let mut touched = std::mem::take(&mut self.touched_by_others);
        touched.sort_unstable();
        touched.dedup();
        for slot in touched.drain(..) {
            self.settle(slot);
        }
        self.touched_by_others = touched;
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Touch(slot) => self.touched_by_others.push(slot),
            Command::TouchAll(mut slots) => self.touched_by_others.append(&mut slots),
            Command::Accept => self.listeners.iter_mut().for_each(|listening| listening.ready = true),
            Command::Adopt(socket, peer, seat) => self.adopt(socket, peer, seat),
            Command::Relieve(others) => {
                self.remote.sees_relief();
                self.drop_biggest(others);
            }
            Command::Stop if self.stop_at.is_some() => {}
            Command::Stop => {
                // Long enough for clients to answer our close frame, and then for the last octets to go.
                let patience = self.shared.config.close_timeout.saturating_mul(2);
                self.stop_at = Some(later(now(), patience));
                for listening in self.listeners.drain(..) {
                    listening.listener.refuse_all();
                    self.poller.closing(&*listening.listener);
                }
                for slot in self.slots() {
                    let context = Context { shared: &self.shared, place: Place::Shard(&self.remote, slot) };
                    if let Some(connection) = self.connections.get_mut(slot as usize) {
                        connection.session.stop(&context);
                    }
                    self.settle(slot);
                }
            }
        }
    }

    fn accept(&mut self) {
        if self.accept_again.is_some_and(|at| at > self.now) {
            return;
        }
        self.accept_again = None;
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS {
                let Some(listening) = self.listeners.get_mut(index).filter(|listening| listening.ready)
                else {
                    break;
                };
                match listening.listener.accept(&self.shared.config) {
                    Ok((socket, peer)) => self.place(socket, peer),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => listening.ready = false,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // A client that gave up while it waited.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    // Another shard has refused all that come.
                    Err(_) if self.shared.is_stopping() => listening.ready = false,
                    Err(error) => {
                        log(|| tracing::warn!("cannot accept connections for a moment: {error}"));
                        self.accept_again = Some(now() + ACCEPT_REST);
                        return;
                    }
                }
            }
        }
        // More are waiting, and a handler of this turn may block: another shard goes on with them.
        if self.listeners.iter().any(|listening| listening.ready) {
            let free = self.freest(|remote| !Arc::ptr_eq(remote, &self.remote));
            let _ = free.map(|remote| remote.send(Command::Accept));
        }
    }

    /// The shard with the fewest connections of those that `fits` names, and that are not held up by a handler.
    fn freest(&self, fits: impl Fn(&Arc<Remote>) -> bool) -> Option<&Arc<Remote>> {
        let at = now().saturating_duration_since(self.shared.started);
        let free = self.shared.remotes().iter().filter(|remote| fits(remote) && !remote.is_held_up(at));
        free.min_by_key(|remote| remote.load.load(Ordering::Relaxed))
    }

    /// Gives a new connection to the shard that has the fewest.
    fn place(&mut self, socket: Socket, peer: Peer) {
        let Some(seat) = self.shared.admit() else { return };
        let load = |remote: &Arc<Remote>| remote.load.load(Ordering::Relaxed);
        let others = self.shared.remotes().len() > 1;
        let fewest = if others { self.freest(|_| true) } else { None };
        match fewest {
            Some(remote) if load(remote) < load(&self.remote) => {
                remote.load.fetch_add(1, Ordering::Relaxed);
                if remote.send(Command::Adopt(socket, peer, seat)).is_err() {
                    remote.load.fetch_sub(1, Ordering::Relaxed);
                    self.shared.leave(seat); // the server stops, and that shard has ended
                }
            }
            _ => {
                self.remote.load.fetch_add(1, Ordering::Relaxed);
                self.adopt(socket, peer, seat);
            }
        }
    }

    fn adopt(&mut self, socket: Socket, peer: Peer, seat: Seat) {
        let vacant = self.connections.vacant_entry();
        let key = vacant.key();
        let added = match u32::try_from(key) {
            Ok(slot) => self.poller.add(&socket, key).map(|()| slot),
            _ => Err(io::ErrorKind::QuotaExceeded.into()),
        };
        let refused = |error: &_| log(|| tracing::debug!(%peer, "not taken: {error}"));
        let Ok(slot) = added.inspect_err(refused) else {
            self.shared.leave(seat);
            self.remote.load.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        let place = Place::Shard(&self.remote, slot);
        let context = Context { shared: &self.shared, place };
        let session = match seat {
            // It was accepted before the stop.
            _ if self.stop_at.is_some() => {
                Session::refused(&Reject::unavailable(Some(RETRY_AFTER)), &context)
            }
            Seat::Client => Session::new(peer, &context),
            Seat::Refused => Session::refused(&Reject::unavailable(None), &context),
        };
        vacant.insert(Connection {
            socket,
            session,
            flags: Flags::default(),
            appetite: Appetite::default(),
            seat,
            charged: Charged::default(),
        });
        self.settle(slot);
    }

    fn drop_connection(&mut self, slot: u32) {
        if let Some(mut connection) = self.connections.try_remove(slot as usize) {
            connection.charged.clear(&self.shared.budget);
            self.poller.closing(&connection.socket);
            self.remote.load.fetch_sub(1, Ordering::Relaxed);
            self.shared.leave(connection.seat);
            if self.connections.is_empty() {
                self.shared.budget.give_back();
                self.release_at = Some(later(now(), KEPT));
            }
        }
    }

    /// Tells the sessions whose deadline has come. What has arrived by then counts, even if this shard was held up and has not
    /// read it: so each is read once before.
    fn expire(&mut self) {
        let until = now();
        while let Some(&Reverse((due, slot))) = self.deadlines.peek()
            && self.at(due) <= until
        {
            self.deadlines.pop();
            if self.connections.get_mut(slot as usize).is_some_and(|connection| connection.session.is_due()) {
                self.settle(slot);
                if let Some(connection) = self.connections.get_mut(slot as usize) {
                    connection.flags.set(Flags::READABLE, true);
                }
                self.serve_and(slot, true);
            }
            let place = Place::Shard(&self.remote, slot);
            let context = Context { shared: &self.shared, place };
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            if connection.session.is_due()
                && connection.has_work(&self.shared)
                && connection.session.has_grace(&context)
            {
                let again = tick(until.saturating_duration_since(self.started)) + 1;
                self.deadlines.push(Reverse((again, slot)));
            } else {
                connection.session.timed_out(&context);
                self.settle(slot);
            }
        }
        if self.deadlines.is_empty() && self.deadlines.capacity() > 1024 {
            self.deadlines = BinaryHeap::new();
        }
        self.flush_touched();
    }

    /// Drops the deadlines of connections that are gone, or past the stage that had them, once they outnumber the rest.
    fn forget_deadlines(&mut self) {
        if self.deadlines.len() <= 1024 + 4 * self.connections.len() {
            return;
        }
        let started = self.started;
        let told = self.connections.iter_mut().filter_map(|(key, connection)| {
            let at = connection.session.told_deadline()?;
            Some(Reverse((tick(at.saturating_duration_since(started)), u32::try_from(key).ok()?)))
        });
        self.deadlines = told.collect();
    }

    fn kill_all(&mut self) {
        for slot in self.slots() {
            if let Some(connection) = self.connections.get_mut(slot as usize) {
                connection.session.kill();
                self.settle(slot);
            }
        }
    }

    fn next_wake_up(&self) -> Option<Instant> {
        let deadline = self.deadlines.peek().map(|&Reverse((tick, _))| self.at(tick));
        let others = [self.accept_again, self.stop_at, self.release_at, self.relief.next_wake_up()];
        others.into_iter().chain([deadline]).flatten().min()
    }

    fn at(&self, tick: u32) -> Instant {
        self.started + time(tick)
    }

    fn slots(&self) -> Vec<u32> {
        self.connections.iter().filter_map(|(key, _)| u32::try_from(key).ok()).collect()
    }

    fn listener_at(&mut self, key: usize) -> Option<&mut Listening> {
        let index = listener_key(0).checked_sub(key)?;
        self.listeners.get_mut(index)
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        for (_, connection) in &mut self.connections {
            connection.charged.clear(&self.shared.budget);
            self.poller.closing(&connection.socket);
            self.shared.leave(connection.seat);
        }
        for listening in &self.listeners {
            self.poller.closing(&*listening.listener);
        }
        for command in self.remote.close() {
            if let Command::Adopt(_, _, seat) = command {
                self.shared.leave(seat);
            }
        }
    }
}

/// The first tick that is not before that time, counted from the shard's start; there are ticks for 13 years.
fn tick(since: Duration) -> u32 {
    u32::try_from(since.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u32::MAX)
}

/// When that tick is, counted from the shard's start.
fn time(tick: u32) -> Duration {
    TICK.saturating_mul(tick)
}

/// Listeners count down from the top (which is the waker's), connections up from 0.
const fn listener_key(index: usize) -> usize {
    usize::MAX - 1 - index
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
