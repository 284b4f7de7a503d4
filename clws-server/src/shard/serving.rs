//! A client's share of a turn: what came from it is delivered, and what it is sent is written.

use std::cmp::Reverse;
use std::io;

use super::Shard;
use super::deadlines::tick;
use super::flags::Flags;
use crate::budget::{Charged, FREE};
use crate::home::{self, Place};
use crate::scratch::Appetite;
use crate::server::{Seat, Shared};
use crate::session::{Context, Next, Session};
use crate::share::{Share, WriteShare};
use crate::socket::Socket;

/// About how many octets are read from one socket before the others get their turn. Enough for a big message to be read and answered while
/// it is in the processor's cache: with a quarter of it an echo of 1 MiB cost a fifth more.
const READ_BUDGET: usize = 1 << 20;

pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) session: Session,
    pub(super) flags: Flags,
    pub(super) appetite: Appetite,
    /// For what its session holds; what its client holds is charged there.
    pub(super) charged: Charged,
}

impl Connection {
    /// Whether there is something to do that no event tells of: input that was not read to its end, events of it that were not
    /// delivered, or output that was cut off.
    #[inline]
    pub(super) fn has_work(&self, shared: &Shared) -> bool {
        self.flags.has(Flags::UNFLUSHED)
            || self.session.may_go_on()
            || (self.flags.has(Flags::READABLE) && self.may_read(shared))
    }

    /// Whether it may be read from: its session wants input, and there is memory for that.
    #[inline]
    pub(super) fn may_read(&self, shared: &Shared) -> bool {
        self.session.wants_input() && (self.flags.has(Flags::ALLOWED) || !self.is_held_back(shared))
    }

    /// Whether it holds much while memory is short. A broken one is read from: that frees what it holds.
    #[inline]
    pub(super) fn is_held_back(&self, shared: &Shared) -> bool {
        self.session.is_held_back(shared) && !self.flags.has(Flags::BROKEN)
    }

    pub(super) fn seat(&self) -> Seat {
        if self.flags.has(Flags::REFUSED) { Seat::Refused } else { Seat::Client }
    }

    /// The share that it gets of this turn.
    #[inline]
    pub(super) fn share(&self) -> Share {
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

impl Shard {
    /// Gives a connection its share: delivers what was read before, reads what came, as far as its time and its outbox allow, and
    /// flushes what that brought. Returns whether all of the share was used.
    pub(super) fn serve(&mut self, slot: u32) -> bool {
        let place = Place::Shard(&self.remote, slot);
        let context = Context { shared: &self.shared, place };
        let Some(connection) = self.connections.get_mut(slot as usize) else { return false };
        // `settle` comes back to one that has nothing to do now when the client has read, or the application has.
        if !connection.has_work(&self.shared) {
            self.hold_back(slot);
            return false;
        }
        let mut share = connection.share();
        connection.session.go_on(&mut share, &context);
        // One read, and a small one, while memory is short.
        let (mut budget, most) =
            if self.shared.budget.is_pressed() { (1, FREE) } else { (READ_BUDGET, usize::MAX) };
        while budget > 0
            && !share.is_over()
            && connection.flags.has(Flags::READABLE)
            && connection.may_read(&self.shared)
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
    pub(super) fn settle(&mut self, slot: u32) {
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
}
