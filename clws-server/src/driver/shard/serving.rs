//! A client's share of an event loop turn: its input is handled, and its output is written.

use std::cmp::Reverse;

use crate::admission::ConnectionPermit;
use crate::budget::{Budget, Charged};
use crate::connection::Connection;
use crate::connection::share::Share;
use crate::driver::drive::{self, Settled};
use crate::driver::read_buffers::ReadSizer;
use crate::driver::shard::Shard;
use crate::driver::shard::deadlines::tick;
use crate::driver::shard::flags::Flags;
use crate::driver::shard::socket_io::SocketIo;
use crate::net::socket::Socket;
use crate::time::now;
use crate::wake::{self, WakeTargetRef};

pub(super) struct ConnectionSlot {
    pub(super) socket: Socket,
    pub(super) connection: Connection,
    pub(super) flags: Flags,
    pub(super) read_sizer: ReadSizer,
    /// The charge for the connection. The client has a charge of its own.
    pub(super) charged: Charged,
}

impl ConnectionSlot {
    /// Whether there is work that no event reports: input or events that are left, or output that was cut off.
    #[inline]
    pub(super) fn has_work(&self, budget: &Budget) -> bool {
        self.flags.has(Flags::UNFLUSHED)
            || self.connection.can_continue()
            || (self.flags.has(Flags::READABLE)
                && self.connection.wants_input()
                && self.flags.admit_read(&self.connection, budget))
    }

    /// Whether the connection is not read from because memory is short.
    #[inline]
    pub(super) fn is_held_back(&self, budget: &Budget) -> bool {
        self.flags.holds_back(&self.connection, budget)
    }

    pub(super) fn permit(&self) -> ConnectionPermit {
        if self.flags.has(Flags::REFUSED) { ConnectionPermit::Refused } else { ConnectionPermit::Client }
    }

    /// The client's share of this turn.
    #[inline]
    pub(super) fn share(&self) -> Share {
        if self.flags.has(Flags::GREEDY) {
            Share::strict(now)
        } else if self.connection.is_compressed() {
            Share::started_now(now)
        } else {
            Share::new(now)
        }
    }
}

impl Shard {
    /// Gives a connection its share of the turn. Returns whether all of the share was used.
    pub(super) fn serve(&mut self, slot: u32) -> bool {
        let context = self.state.connection_context(WakeTargetRef::Shard(&self.shard_handle, slot));
        let Some(connection_slot) = self.connections.get_mut(slot as usize) else { return false };
        // A connection without work comes back when the client has read, or the application has handled messages.
        if !connection_slot.has_work(self.state.budget()) {
            self.hold_back(slot);
            return false;
        }
        let mut share = connection_slot.share();
        let ConnectionSlot { socket, connection, flags, read_sizer, .. } = connection_slot;
        let mut io = SocketIo::new(socket, flags, read_sizer, &mut self.read_buffers, self.state.budget())
            .with_reads();
        drive::receive(connection, &mut io, &mut share, &context);
        connection_slot.flags.set(Flags::GREEDY, share.is_over());
        wake::cancel_wake(slot);
        self.drive(slot);
        self.relieve();
        share.is_over()
    }

    /// Writes the output of a connection, and carries out its next action.
    pub(super) fn drive(&mut self, slot: u32) {
        let context = self.state.connection_context(WakeTargetRef::Shard(&self.shard_handle, slot));
        let Some(connection_slot) = self.connections.get_mut(slot as usize) else { return };
        let ConnectionSlot { socket, connection, flags, read_sizer, charged } = connection_slot;
        let mut io = SocketIo::new(socket, flags, read_sizer, &mut self.read_buffers, self.state.budget());
        let Settled::Wait(deadline) = drive::settle(connection, &mut io, &context) else {
            return self.drop_connection(slot);
        };
        charged.update(connection.held_input(), self.state.budget());
        if connection_slot.has_work(self.state.budget()) && !connection_slot.flags.has(Flags::QUEUED) {
            connection_slot.flags.set(Flags::QUEUED, true);
            self.queue.push_back(slot);
        }
        if let Some(at) = deadline {
            self.deadlines.push(Reverse((tick(at.saturating_duration_since(self.started)), slot)));
            self.forget_deadlines();
        }
        self.hold_back(slot);
    }
}
