//! A shard: one thread that owns many connections, the driver of their sessions.
//!
//! A wake-up takes a batch of ready sockets: read, decode, run handlers, flush each touched outbox with one vectored
//! write. All reads go through one scratch buffer.

mod flags;
mod relief;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clws_handshake::Reject;
use slab::Slab;

use self::flags::{ALLOWED, BLOCKED, BROKEN, Flags, HANGUP, READABLE, UNREAD};
use self::relief::Relief;
use crate::budget::{Charged, FREE};
use crate::guard::Watch;
use crate::home::{self, Command, Place, Remote};
use crate::poll::{Events, Poller, Readiness};
use crate::scratch::{Appetite, Scratch};
use crate::server::{Seat, Shared};
use crate::session::{Context, Next, Session, later};
use crate::socket::{Acceptor, Peer, Socket};
use crate::time::now;

/// About how many octets are read from one socket before the others get their turn. Enough for a big message to be read and answered while
/// it is in the processor's cache: with a quarter of it an echo of 1 MiB cost a fifth more.
const READ_BUDGET: usize = 1 << 20;

/// Connections taken from one listener before the sockets get their turn.
const ACCEPTS: usize = 64;

/// How often what handlers touch while outboxes are flushed is flushed too, before the sockets get their turn.
const FLUSHES: usize = 4;

/// Deadlines are rounded up to this, so that many of them share a wake-up.
const TICK: Duration = Duration::from_millis(100);

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
    /// Slots to be read from again, their budget having ended before their input.
    unread: Vec<u32>,
    /// Slots that handlers touched and that are not flushed.
    touched: Vec<u32>,
    commands: Vec<Command>,
    started: Instant,
    now: Instant,
    accept_again: Option<Instant>,
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

impl Connection {
    /// Whether it is not read from for now: it is blocked, or holds much while memory is short.
    #[inline]
    fn is_stalled(&self, shared: &Shared) -> bool {
        self.is_blocked(shared) || (!self.flags.has(ALLOWED) && self.is_held_back(shared))
    }

    /// Whether it holds much while memory is short. A broken one is read from: that frees what it holds.
    #[inline]
    fn is_held_back(&self, shared: &Shared) -> bool {
        self.session.is_held_back(shared) && !self.flags.has(BROKEN)
    }

    /// Whether its client does not read, or the application has enough of its messages.
    #[inline]
    fn is_blocked(&self, shared: &Shared) -> bool {
        !self.session.wants_input()
            || (self.flags.has(BLOCKED) && self.session.queued() > shared.config.high_water())
    }
}

/// How much was read, and where to.
enum Read {
    /// The session's own room.
    Direct(usize),
    Scratch(usize),
}

struct Listening {
    listener: Acceptor,
    ready: bool,
}

impl Shard {
    /// A shard that accepts connections from these listeners, and gives each to the shard with the fewest.
    pub(crate) fn new(
        shared: Arc<Shared>,
        remote: Arc<Remote>,
        poller: Poller,
        listeners: Vec<Acceptor>,
    ) -> io::Result<Self> {
        let started = now();
        let shard = Self {
            connections: Slab::new(),
            listeners: listeners.into_iter().map(|listener| Listening { listener, ready: false }).collect(),
            poller,
            shared,
            remote,
            scratch: Scratch::new(),
            deadlines: BinaryHeap::new(),
            unread: Vec::new(),
            touched: Vec::new(),
            commands: Vec::new(),
            started,
            now: started,
            accept_again: None,
            stop_at: None,
            relief: Relief::default(),
        };
        // Added when the shard owns them: its drop takes them from the poller again, whatever fails.
        for (index, listening) in shard.listeners.iter().enumerate() {
            shard.poller.add(&listening.listener, listener_key(index))?;
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
            if let Some(stop_at) = self.stop_at {
                if self.now >= stop_at {
                    self.kill_all();
                }
                if self.connections.is_empty() {
                    return Ok(());
                }
            }
        }
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = self.timeout();
        self.poller.wait(events, timeout)?;
        self.work(events);
        Ok(())
    }

    /// How long to wait for events. From now on a command from another thread wakes the poller.
    fn timeout(&self) -> Option<Duration> {
        if self.has_work() || !self.remote.may_sleep() {
            return Some(Duration::ZERO);
        }
        self.next_wake_up().map(|at| at.saturating_duration_since(now()))
    }

    /// Does what the events ask for, and everything else that waits for this shard.
    fn work(&mut self, events: &mut Events) {
        self.now = now();
        self.remote.take(&mut self.commands);

        for index in 0..events.len() {
            if let Some(ready) = events.get(index) {
                self.ready(ready);
            }
        }
        for slot in std::mem::take(&mut self.unread) {
            if let Some(connection) = self.connections.get_mut(slot as usize) {
                connection.flags.set(UNREAD, false);
            }
            self.read(slot);
        }
        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            self.obey(command);
        }
        self.commands = commands;
        self.flush_touched();
        self.relieve();
        self.look_again();
        self.expire();
        self.accept();
    }

    fn has_work(&self) -> bool {
        !self.unread.is_empty()
            || home::is_touched()
            || (self.accept_again.is_none() && self.listeners.iter().any(|l| l.ready))
    }

    fn ready(&mut self, ready: Readiness) {
        if let Some(listening) = self.listener_at(ready.key) {
            listening.ready = true;
            return;
        }
        let Some(connection) = self.connections.get_mut(ready.key) else { return };
        let Ok(slot) = u32::try_from(ready.key) else { return };
        connection.flags.insert_if(READABLE, ready.readable);
        connection.flags.insert_if(HANGUP, ready.hangup);
        if ready.broken {
            connection.flags.set(BROKEN, true);
            self.settle(slot);
        } else if ready.writable && connection.flags.has(BLOCKED) {
            self.settle(slot);
        }
        self.read(slot);
    }

    /// Reads what came for a connection, as far as its budget and its outbox allow, and flushes what that brought.
    fn read(&mut self, slot: u32) {
        let place = Place::Shard(&self.remote, slot);
        let context = Context { shared: &self.shared, place };
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if !connection.flags.has(READABLE) {
            return;
        }
        if connection.is_stalled(&self.shared) {
            // `settle` comes back to it when the client has read, or the application has.
            return self.hold_back(slot);
        }
        // One read, and a small one, while memory is short.
        let (mut budget, most) =
            if self.shared.budget.is_pressed() { (1, FREE) } else { (READ_BUDGET, usize::MAX) };
        while budget > 0 && connection.session.wants_input() {
            let Connection { session, socket, appetite, .. } = connection;
            let little = session.reads_little() || most == FREE;
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
                    connection.flags.set(READABLE, false);
                    connection.session.end_of_input(&context);
                    break;
                }
                Ok(read) => {
                    let (Read::Direct(count) | Read::Scratch(count)) = read;
                    budget = budget.saturating_sub(count);
                    match read {
                        Read::Direct(count) => session.receive_direct(count, &context),
                        Read::Scratch(count) => {
                            appetite.note(count);
                            let (buffer, range) = self.scratch.read(eager, count);
                            session.receive_owned(buffer, range, &context);
                        }
                    }
                    // A short read has emptied the socket; what comes later is another edge. Only the end of the
                    // stream may have been reported already.
                    if count < size && !connection.flags.has(HANGUP) {
                        connection.flags.set(READABLE, false);
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.flags.set(READABLE, false);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    connection.flags.set(READABLE, false);
                    connection.session.lost(error, &context);
                    break;
                }
            }
        }
        home::untouch(slot);
        self.settle(slot);
        self.relieve();
    }

    /// Writes what a connection has to write, and does what it asks for next.
    fn settle(&mut self, slot: u32) {
        let place = Place::Shard(&self.remote, slot);
        let context = Context { shared: &self.shared, place };
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        connection.session.proceed(&context);
        let socket = &connection.socket;
        match connection.session.flush(&mut |slices| socket.write(slices)) {
            Ok(all) => connection.flags.set(BLOCKED, !all),
            Err(error) => connection.session.lost(error, &context),
        }
        match connection.session.next(&context) {
            Next::Wait => {}
            Next::ShutdownWrite => connection.socket.shutdown_write(),
            Next::Drop => return self.drop_connection(slot),
        }
        connection.charged.update(connection.session.held_input(), &self.shared.budget);
        if connection.flags.has(READABLE)
            && !connection.flags.has(UNREAD)
            && !connection.is_stalled(&self.shared)
        {
            connection.flags.set(UNREAD, true);
            self.unread.push(slot);
        }
        // A client that is not read from would be noticed by nobody else.
        if connection.flags.has(BROKEN) && connection.is_stalled(&self.shared) {
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

    fn obey(&mut self, command: Command) {
        match command {
            Command::Touch(slot) => self.settle(slot),
            Command::TouchAll(slots) => slots.into_iter().for_each(|slot| self.settle(slot)),
            Command::Adopt(socket, peer, seat) => self.adopt(socket, peer, seat),
            Command::Relieve(others) => {
                self.remote.sees_relief();
                self.drop_biggest(others);
            }
            Command::Stop if self.stop_at.is_some() => {}
            Command::Stop => {
                // Long enough for clients to answer our close frame, and then for the last octets to go.
                let patience = self.shared.config.close_timeout.saturating_mul(2);
                self.stop_at = Some(later(self.now, patience));
                for listening in self.listeners.drain(..) {
                    self.poller.closing(&listening.listener);
                }
                for slot in self.slots() {
                    if let Some(connection) = self.connections.get_mut(slot as usize) {
                        connection.session.stop();
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
                    Err(error) => {
                        tracing::warn!("cannot accept connections for a moment: {error}");
                        self.accept_again = Some(self.now + ACCEPT_REST);
                        return;
                    }
                }
            }
        }
    }

    /// Gives a new connection to the shard that has the fewest.
    fn place(&mut self, socket: Socket, peer: Peer) {
        let Some(seat) = self.shared.admit() else { return };
        let load = |remote: &Arc<Remote>| remote.load.load(Ordering::Relaxed);
        let fewest = self.shared.remotes().iter().min_by_key(|remote| load(remote));
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
            Ok(slot) if self.stop_at.is_none() => self.poller.add(&socket, key).map(|()| slot),
            _ => Err(io::ErrorKind::QuotaExceeded.into()),
        };
        let Ok(slot) = added.inspect_err(|error| tracing::debug!(%peer, "not taken: {error}")) else {
            self.shared.leave(seat);
            self.remote.load.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        let place = Place::Shard(&self.remote, slot);
        let context = Context { shared: &self.shared, place };
        let session = match seat {
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
            }
        }
    }

    /// Tells the sessions whose deadline has come.
    fn expire(&mut self) {
        while let Some(&Reverse((tick, slot))) = self.deadlines.peek()
            && self.at(tick) <= self.now
        {
            self.deadlines.pop();
            let place = Place::Shard(&self.remote, slot);
            let context = Context { shared: &self.shared, place };
            if let Some(connection) = self.connections.get_mut(slot as usize) {
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
        [deadline, self.accept_again, self.stop_at, self.relief.next_wake_up()].into_iter().flatten().min()
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
            self.poller.closing(&listening.listener);
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
