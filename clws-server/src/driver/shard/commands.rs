//! Commands from other threads, and the end of a shard.

use crate::driver::shard::Shard;
use crate::time::{deadline_after, now};
use crate::wake::{ShardCommand, WakeTargetRef};

impl Shard {
    pub(super) fn handle_command(&mut self, command: ShardCommand) {
        match command {
            ShardCommand::Wake(slot) => self.woken_by_others.push(slot),
            ShardCommand::WakeAll(mut slots) => self.woken_by_others.append(&mut slots),
            ShardCommand::Accept => self.listeners.iter_mut().for_each(|listening| listening.ready = true),
            ShardCommand::AddConnection(socket, peer, admitted) => self.adopt(socket, peer, admitted),
            ShardCommand::Respond(gives) => drop(gives),
            ShardCommand::Relieve(others) => {
                self.shard_handle.sees_relief();
                self.drop_biggest(others);
            }
            ShardCommand::Drain => self.begin_drain(),
            ShardCommand::Stop if self.stop_at.is_some() && self.drain.is_none() => {}
            ShardCommand::Stop => {
                self.drain = None;
                // Time for the answers to our close frames, and then for the last bytes.
                let timeout = self.state.config().close_timeout.saturating_mul(2);
                let stop_at = deadline_after(now(), timeout);
                self.stop_at = Some(self.stop_at.map_or(stop_at, |drained| drained.min(stop_at)));
                self.close_listeners();
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

    pub(super) fn kill_all(&mut self) {
        for slot in self.slots() {
            if let Some(connection) = self.connections.get_mut(slot as usize) {
                connection.connection.kill();
                self.drive(slot);
            }
        }
    }

    /// Closes the port.
    pub(super) fn close_listeners(&mut self) {
        for listening in self.listeners.drain(..) {
            listening.listener.refuse_all();
            self.poller.remove_listener(&*listening.listener);
        }
    }

    pub(super) fn slots(&self) -> Vec<u32> {
        self.connections.iter().filter_map(|(key, _)| u32::try_from(key).ok()).collect()
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.list.clear();
        for (_, connection) in &mut self.connections {
            connection.charged.clear(self.state.budget());
            self.poller.closing(&connection.socket);
            self.state.release(connection.permit());
        }
        for listening in &self.listeners {
            self.poller.remove_listener(&*listening.listener);
        }
        for command in self.shard_handle.close() {
            if let ShardCommand::AddConnection(_, _, admitted) = command {
                self.state.release(admitted.permit);
            }
        }
    }
}
