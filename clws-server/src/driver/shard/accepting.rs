//! New connections. All shards accept, and each connection goes to the shard with the fewest.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clws_handshake::Reject;

use crate::admission::{Admitted, ConnectionPermit};
use crate::budget::Charged;
use crate::config::address::Peer;
use crate::connection::Connection;
use crate::connection::refusal::{RETRY_AFTER, refusal};
use crate::driver::read_buffers::ReadSizer;
use crate::driver::shard::flags::Flags;
use crate::driver::shard::listening::{Listening, listener_key};
use crate::driver::shard::slot::ConnectionSlot;
use crate::driver::shard::{KEEP_MEMORY_FOR, Shard};
use crate::guard::log;
use crate::net::shortage::{Shortage, refuse_at_once};
use crate::net::socket::Socket;
use crate::stats::kinds::HandshakeOutcome;
use crate::time::{deadline_after, now};
use crate::wake::{ShardCommand, ShardHandle, WakeTargetRef};

/// Connections that are accepted from one listener before sockets have their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// The pause after a failure to accept, when no client can be refused either.
const ACCEPT_REST: Duration = Duration::from_millis(100);

impl Shard {
    pub(super) fn accept(&mut self) {
        if self.accept_again.is_some_and(|at| at > self.now) {
            return;
        }
        if self.accept_again.take().is_some() {
            self.state.shortage.prepare();
        }
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                let Some(listening) = self.listeners.get_mut(index).filter(|listening| listening.ready)
                else {
                    break;
                };
                match listening.listener.accept(self.state.config()) {
                    Ok((socket, peer)) => match self.state.shortage.admit(socket, refuse_at_once) {
                        Some(socket) => self.place(socket, peer),
                        None => self.shard_handle.counters.note_handshake(HandshakeOutcome::NoDescriptor),
                    },
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => listening.ready = false,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // The client disconnected before it was accepted.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    // Another shard has refused all waiting clients.
                    Err(_) if self.state.is_ending() => listening.ready = false,
                    Err(error) => {
                        if Shortage::is_meant_by(&error) {
                            match self.state.shortage.refuse(&listening.listener, self.state.config()) {
                                Ok(()) => {
                                    let counters = &self.shard_handle.counters;
                                    counters.note_handshake(HandshakeOutcome::NoDescriptor);
                                    continue;
                                }
                                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                                    listening.ready = false;
                                    continue;
                                }
                                Err(_) => {}
                            }
                        }
                        self.state.shortage.log_error(&error);
                        self.accept_again = Some(now() + ACCEPT_REST);
                        return;
                    }
                }
            }
        }
        // More clients wait, and a handler of this turn may block: another shard continues.
        if self.listeners.iter().any(|listening| listening.ready) {
            let free = self.freest(|shard_handle| !Arc::ptr_eq(shard_handle, &self.shard_handle));
            let _ = free.map(|shard_handle| shard_handle.send(ShardCommand::Accept));
        }
    }

    /// The shard with the fewest connections among the shards that `fits` accepts and no handler
    /// blocks.
    pub(super) fn freest(&self, fits: impl Fn(&Arc<ShardHandle>) -> bool) -> Option<&Arc<ShardHandle>> {
        let at = now().saturating_duration_since(self.state.context.shared.started);
        let free = self
            .state
            .shards()
            .iter()
            .filter(|shard_handle| fits(shard_handle) && !shard_handle.is_held_up(at));
        free.min_by_key(|shard_handle| shard_handle.load.load(Ordering::Relaxed))
    }

    /// Gives a new connection to the shard with the fewest.
    pub(super) fn place(&mut self, socket: Socket, peer: Peer) {
        let admitted = match self.state.admit(peer) {
            Ok(admitted) => admitted,
            Err(permit) => {
                if let Some((_, outcome)) = refusal(permit) {
                    self.shard_handle.counters.note_handshake(outcome);
                }
                return refuse_at_once(&socket);
            }
        };
        let load = |shard_handle: &Arc<ShardHandle>| shard_handle.load.load(Ordering::Relaxed);
        let others = self.state.shards().len() > 1;
        let fewest = if others { self.freest(|_| true) } else { None };
        match fewest {
            Some(shard_handle) if load(shard_handle) < load(&self.shard_handle) => {
                shard_handle.load.fetch_add(1, Ordering::Relaxed);
                let added = shard_handle.send(ShardCommand::AddConnection(socket, peer, admitted));
                if let Err(ShardCommand::AddConnection(socket, peer, admitted)) = added {
                    // That shard has ended, because the server stops or drains.
                    shard_handle.load.fetch_sub(1, Ordering::Relaxed);
                    self.add_here(socket, peer, admitted);
                }
            }
            _ => self.add_here(socket, peer, admitted),
        }
    }

    fn add_here(&mut self, socket: Socket, peer: Peer, admitted: Admitted) {
        self.shard_handle.load.fetch_add(1, Ordering::Relaxed);
        self.adopt(socket, peer, admitted);
    }

    pub(super) fn adopt(&mut self, socket: Socket, peer: Peer, admitted: Admitted) {
        let Admitted { permit, address } = admitted;
        let refuses_all = self.refuses_all();
        let vacant = self.connections.vacant_entry();
        let key = vacant.key();
        let added = match u32::try_from(key) {
            Ok(slot) => self.poller.add(&socket, key).map(|()| slot),
            _ => Err(io::ErrorKind::QuotaExceeded.into()),
        };
        let refused = |error: &_| log(|| tracing::debug!(%peer, "not taken: {error}"));
        let Ok(slot) = added.inspect_err(refused) else {
            self.state.release(permit);
            self.shard_handle.load.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        let place = WakeTargetRef::Shard(&self.shard_handle, slot);
        let context = self.state.connection_context(place);
        let refusal = if refuses_all {
            // The connection was accepted before the stop.
            Some((Reject::unavailable(Some(RETRY_AFTER)), HandshakeOutcome::Stopping))
        } else {
            refusal(permit)
        };
        let tls = match self.secure.add(slot, &socket, self.state.tls()) {
            Ok(tls) => tls,
            Err(error) => {
                log(|| tracing::error!(%peer, "not taken, because TLS cannot be used: {error}"));
                self.state.release(permit);
                self.shard_handle.load.fetch_sub(1, Ordering::Relaxed);
                self.poller.closing(&socket);
                return;
            }
        };
        let connection = match (refusal, tls) {
            (Some((reject, outcome)), _) => Connection::refused(&reject, outcome, &context),
            #[cfg(feature = "__tls")]
            (None, Some(info)) => Connection::with_tls(peer, info, &context),
            (None, _) => Connection::new(peer, &context),
        };
        let mut flags = Flags::default();
        let is_client = permit == ConnectionPermit::Client;
        flags.set(Flags::AWAITS_PROXY, is_client && self.state.config().expects_proxy_header(peer));
        flags.set(Flags::REFUSED, matches!(permit, ConnectionPermit::Refused | ConnectionPermit::Crowded));
        if let Some(address) = address {
            self.addresses.insert(slot, address);
        }
        #[cfg(feature = "capture")]
        if let Some(recorder) = context.recorder().filter(|_| permit == ConnectionPermit::Client) {
            let mut tap = self.taps.of(slot);
            tap.attach(&mut flags, || recorder.begin_for(peer, || socket.local_addr()));
        }
        vacant.insert(ConnectionSlot {
            socket,
            connection,
            flags,
            read_sizer: ReadSizer::default(),
            charged: Charged::default(),
        });
        self.start_sweep();
        self.drive(slot);
    }

    /// Whether new connections are refused without a look at their requests.
    fn refuses_all(&self) -> bool {
        self.stop_at.is_some() && !self.drain.as_ref().is_some_and(|drain| drain.takes_requests())
    }

    pub(super) fn drop_connection(&mut self, slot: u32) {
        if let Some(mut connection) = self.connections.try_remove(slot as usize) {
            connection.charged.clear(self.state.budget());
            if connection.flags.has(Flags::LISTED) {
                self.list.remove(slot);
            }
            self.taps.remove(slot, connection.flags);
            self.secure.remove(slot, self.state.config());
            self.poller.closing(&connection.socket);
            self.shard_handle.load.fetch_sub(1, Ordering::Relaxed);
            self.state.release(connection.permit());
            self.release_address(slot);
            if self.connections.is_empty() {
                self.state.budget().give_back();
                self.release_at = Some(deadline_after(now(), KEEP_MEMORY_FOR));
            }
        }
    }

    /// The client may connect again as soon as its socket is closed, so the address comes first.
    fn release_address(&mut self, slot: u32) {
        if self.addresses.remove(&slot).is_some() && self.addresses.is_empty() {
            self.addresses = HashMap::new();
        }
    }

    pub(super) fn listener_at(&mut self, key: usize) -> Option<&mut Listening> {
        let index = listener_key(0).checked_sub(key)?;
        self.listeners.get_mut(index)
    }
}
