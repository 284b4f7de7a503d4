//! Serving one client in an event loop turn: its input is handled, and its output is written.

use std::cmp::Reverse;
use std::sync::PoisonError;

use crate::connection::context::Context;
use crate::driver::drive::{self, Settled};
use crate::driver::shard::Shard;
use crate::driver::shard::deadlines::tick;
use crate::driver::shard::flags::Flags;
use crate::driver::shard::proxy_header::read_proxy_header;
use crate::driver::shard::slot::ConnectionSlot;
use crate::driver::shard::socket_io::SocketIo;
use crate::sync::Mutex;
use crate::wake::{self, WakeTargetRef};

impl Shard {
    /// Gives a connection its share of the turn. Returns whether all of the share was used.
    pub(super) fn serve(&mut self, slot: u32) -> bool {
        let address = Mutex::new(None);
        let target = WakeTargetRef::Shard(&self.shard_handle, slot);
        let context = Context { address: Some(&address), ..self.state.connection_context(target) };
        let Some(connection_slot) = self.connections.get_mut(slot as usize) else { return false };
        // A connection without work is served again when the client has read, or the application
        // has handled messages.
        if !connection_slot.has_work(self.state.budget()) {
            self.hold_back(slot);
            return false;
        }
        if self.secure.must_wait(slot) {
            if !connection_slot.flags.has(Flags::QUEUED) {
                connection_slot.flags.set(Flags::QUEUED, true);
                self.secure.wait(slot);
            }
            return false;
        }
        if connection_slot.flags.has(Flags::AWAITS_PROXY) {
            read_proxy_header(connection_slot, &context);
        }
        let mut share = connection_slot.share();
        let ConnectionSlot { socket, connection, flags, read_sizer, .. } = connection_slot;
        let (read_buffers, tap) = (&mut self.read_buffers, self.taps.of(slot));
        let secure = self.secure.of(slot, self.state.config());
        let mut io = SocketIo::new(socket, flags, read_sizer, read_buffers, self.state.budget(), tap, secure)
            .with_reads();
        drive::receive(connection, &mut io, &mut share, &context);
        if let Some(permit) = address.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.addresses.insert(slot, permit);
        }
        connection_slot.flags.set(Flags::USED_SHARE, share.is_over());
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
        let (read_buffers, tap) = (&mut self.read_buffers, self.taps.of(slot));
        let secure = self.secure.of(slot, self.state.config());
        let mut io = SocketIo::new(socket, flags, read_sizer, read_buffers, self.state.budget(), tap, secure);
        let Settled::Wait(deadline) = drive::settle(connection, &mut io, &context) else {
            return self.drop_connection(slot);
        };
        charged.update(connection.held_input() + self.secure.held(slot), self.state.budget());
        if !flags.has(Flags::LISTED)
            && let Some(client) = connection.client()
        {
            self.list.insert(slot, client);
            flags.set(Flags::LISTED, true);
        }
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
