//! A client's share of a turn: what came from it is delivered, and what it is sent is written.

use std::cmp::Reverse;
use std::io;

use crate::admission::ConnectionPermit;
use crate::budget::{Budget, Charged, FREE};
use crate::connection::share::{Share, WriteShare};
use crate::connection::{Connection, Next};
use crate::driver::read_buffers::ReadSizer;
use crate::driver::shard::Shard;
use crate::driver::shard::deadlines::tick;
use crate::driver::shard::flags::Flags;
use crate::net::socket::Socket;
use crate::wake::{self, WakeTargetRef};

/// About how many octets are read from one socket before the others get their turn. Enough for a big message to be read and answered while
/// it is in the processor's cache: with a quarter of it an echo of 1 MiB cost a fifth more.
const READ_BUDGET: usize = 1 << 20;

pub(super) struct ConnectionSlot {
    pub(super) socket: Socket,
    pub(super) connection: Connection,
    pub(super) flags: Flags,
    pub(super) read_sizer: ReadSizer,
    /// For what its connection holds; what its client holds is charged there.
    pub(super) charged: Charged,
}

impl ConnectionSlot {
    /// Whether there is something to do that no event tells of: input that was not read to its end, events of it that were not
    /// delivered, or output that was cut off.
    #[inline]
    pub(super) fn has_work(&self, budget: &Budget) -> bool {
        self.flags.has(Flags::UNFLUSHED)
            || self.connection.may_go_on()
            || (self.flags.has(Flags::READABLE) && self.may_read(budget))
    }

    /// Whether it may be read from: its connection wants input, and there is memory for that.
    #[inline]
    pub(super) fn may_read(&self, budget: &Budget) -> bool {
        self.connection.wants_input() && (self.flags.has(Flags::ALLOWED) || !self.is_held_back(budget))
    }

    /// Whether it holds much while memory is short. A broken one is read from: that frees what it holds.
    #[inline]
    pub(super) fn is_held_back(&self, budget: &Budget) -> bool {
        self.connection.is_held_back(budget) && !self.flags.has(Flags::BROKEN)
    }

    pub(super) fn permit(&self) -> ConnectionPermit {
        if self.flags.has(Flags::REFUSED) { ConnectionPermit::Refused } else { ConnectionPermit::Client }
    }

    /// The share that it gets of this turn.
    #[inline]
    pub(super) fn share(&self) -> Share {
        if self.flags.has(Flags::GREEDY) {
            Share::strict()
        } else if self.connection.is_compressed() {
            Share::started_now()
        } else {
            Share::new()
        }
    }
}

/// How much was read, and where to.
enum Read {
    /// The connection's own room.
    Direct(usize),
    ReadBuffers(usize),
}

impl Shard {
    /// Gives a connection its share: delivers what was read before, reads what came, as far as its time and its outbox allow, and
    /// flushes what that brought. Returns whether all of the share was used.
    pub(super) fn serve(&mut self, slot: u32) -> bool {
        let place = WakeTargetRef::Shard(&self.shard_handle, slot);
        let context = self.state.connection_context(place);
        let Some(connection) = self.connections.get_mut(slot as usize) else { return false };
        // `settle` comes back to one that has nothing to do now when the client has read, or the application has.
        if !connection.has_work(self.state.budget()) {
            self.hold_back(slot);
            return false;
        }
        let mut share = connection.share();
        connection.connection.continue_events(&mut share, &context);
        // One read, and a small one, while memory is short.
        let (mut budget, most) =
            if self.state.budget().is_pressed() { (1, FREE) } else { (READ_BUDGET, usize::MAX) };
        while budget > 0
            && !share.is_over()
            && connection.flags.has(Flags::READABLE)
            && connection.may_read(self.state.budget())
        {
            let ConnectionSlot { connection, socket, read_sizer, flags, .. } = connection;
            let little = connection.reads_little() || flags.has(Flags::LEFT_SOME) || most == FREE;
            let eager = if little { ReadSizer::default() } else { *read_sizer };
            let (read, size) = match connection.room() {
                Some(room) => {
                    let size = room.len().min(most);
                    let room = room.get_mut(..size).unwrap_or_default();
                    (socket.read(room).map(Read::Direct), size)
                }
                None => {
                    let buffer = self.read_buffers.lend(eager);
                    (socket.read(buffer).map(Read::ReadBuffers), buffer.len())
                }
            };
            match read {
                Ok(Read::Direct(0) | Read::ReadBuffers(0)) => {
                    flags.set(Flags::READABLE, false);
                    connection.end_of_input(&context);
                }
                Ok(read) => {
                    let (Read::Direct(count) | Read::ReadBuffers(count)) = read;
                    budget = budget.saturating_sub(count);
                    match read {
                        Read::Direct(count) => connection.receive_direct(count, &mut share, &context),
                        Read::ReadBuffers(count) => {
                            read_sizer.note(count);
                            let (buffer, range) = self.read_buffers.read(eager, count);
                            connection.receive_owned(buffer, range, &mut share, &context);
                        }
                    }
                    flags.set(Flags::LEFT_SOME, connection.has_unread());
                    // A short read has emptied the socket; what comes later is another edge. Only the end of the
                    // stream may have been reported already.
                    if count < size && !flags.has(Flags::HANGUP) {
                        flags.set(Flags::READABLE, false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    flags.set(Flags::READABLE, false);
                    if connection.has_failed_to_write() {
                        connection.end_of_input(&context);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    flags.set(Flags::READABLE, false);
                    connection.read_failed(error, &context);
                }
            }
        }
        connection.flags.set(Flags::GREEDY, share.is_over());
        wake::cancel_wake(slot);
        self.drive(slot);
        self.relieve();
        share.is_over()
    }

    /// Writes what a connection has to write, and does what it asks for next.
    pub(super) fn drive(&mut self, slot: u32) {
        let place = WakeTargetRef::Shard(&self.shard_handle, slot);
        let context = self.state.connection_context(place);
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        connection.connection.resume(&mut Share::new(), &context);
        let socket = &connection.socket;
        let mut share = WriteShare::new();
        match connection.connection.flush(&mut |slices| share.write(|| socket.write(slices))) {
            Ok(all) => {
                connection.flags.set(Flags::BLOCKED, !all && !share.was_cut());
                connection.flags.set(Flags::UNFLUSHED, !all && share.was_cut());
            }
            Err(error) => {
                connection.connection.write_failed(error, &context);
                connection.flags.set(Flags::UNFLUSHED, false);
                // What came before is read to its end.
                connection.flags.set(Flags::READABLE | Flags::HANGUP | Flags::BROKEN, true);
            }
        }
        match connection.connection.next(&context) {
            Next::Wait => {}
            Next::ShutdownWrite => connection.socket.shutdown_write(),
            Next::Drop => return self.drop_connection(slot),
        }
        connection.charged.update(connection.connection.held_input(), self.state.budget());
        if connection.has_work(self.state.budget()) {
            if !connection.flags.has(Flags::QUEUED) {
                connection.flags.set(Flags::QUEUED, true);
                self.queue.push_back(slot);
            }
        } else if connection.flags.has(Flags::BROKEN) && !connection.connection.wants_input() {
            // A client that is not read from would be noticed by nobody else.
            connection.connection.broken(&context);
            if connection.connection.next(&context) == Next::Drop {
                return self.drop_connection(slot);
            }
        }
        if let Some(at) = connection.connection.new_deadline() {
            self.deadlines.push(Reverse((tick(at.saturating_duration_since(self.started)), slot)));
            self.forget_deadlines();
        }
        self.hold_back(slot);
    }
}
