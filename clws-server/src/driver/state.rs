//! What the drivers of a server share.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use crate::admission::{Admission, Admitted, ConnectionPermit};
use crate::budget::Budget;
use crate::buffer_pool::{self, SharedBuffers};
use crate::client::Client;
use crate::client::context::ClientContext;
use crate::config::Config;
use crate::config::address::Peer;
use crate::connection::context::{Context, Environment};
use crate::connection::handshakes::Handshakes;
use crate::drain::DrainState;
use crate::drain::options::Drain;
use crate::driver::client_list::ClientList;
use crate::driver::streams::Streams;
use crate::guard::log;
use crate::lock::{Lock, rank};
use crate::net::shortage::Shortage;
#[cfg(feature = "__tls")]
use crate::net::tls::handle::Tls;
use crate::resource::registry::Resources;
use crate::runtime::handle::RuntimeHandle;
use crate::signal::{Signal, SignalWait};
use crate::stats::snapshot::{self, Stats};
use crate::sync::{atomic::AtomicUsize, atomic::Ordering};
use crate::time::{now, system_time};
use crate::wake::{Relief, ShardCommand, ShardHandle, WakeTarget, WakeTargetRef};

/// Buffers and codecs that the connections of one thread share, and the system's clocks.
static ENVIRONMENT: Environment = Environment {
    buffers: &SharedBuffers,
    lend_outbox: buffer_pool::lend,
    #[cfg(feature = "deflate")]
    codecs: crate::codecs::codecs,
    now,
    date: system_time,
};

/// The state that all shards and stream drivers of one server share.
pub(crate) struct DriverState {
    pub(crate) context: Arc<ClientContext>,
    pub(crate) resources: Resources,
    /// The clients that stream drivers serve, and not shards.
    pub(crate) streams: Streams,
    /// Refuses clients while the process has no descriptor left.
    pub(crate) shortage: Shortage,
    /// The certificates for sockets with TLS.
    #[cfg(feature = "__tls")]
    tls: OnceLock<Tls>,
    admission: Admission,
    /// The connections whose request has not arrived.
    handshakes: Arc<Handshakes>,
    /// Connections that are served, in any stage.
    clients: AtomicUsize,
    /// The part of `clients` that are streams of the application. They use no descriptor of the
    /// server.
    streamed: AtomicUsize,
    /// Connections that get 503 or 429.
    refused: AtomicUsize,
    shards: OnceLock<Vec<Arc<ShardHandle>>>,
    /// The clients of each shard.
    lists: Lock<Vec<Arc<ClientList>>, { rank::CLIENT_LISTS }>,
    stop: Arc<Signal>,
}

/// The runtime of a server in a test: the simulated one, that of a model, or the usual one.
#[cfg(any(test, fuzzing))]
fn test_runtime() -> RuntimeHandle {
    #[cfg(all(test, unix))]
    if let Some(runtime) = crate::sim::executor::runtime() {
        return runtime;
    }
    #[cfg(all(test, shuttle))]
    return crate::models::runtime();
    #[cfg(not(all(test, shuttle)))]
    RuntimeHandle::new(crate::runtime::current())
}

/// Takes one of `most` places. Returns false if all are taken.
fn take(taken: &AtomicUsize, most: usize) -> bool {
    let more = |taken| (taken < most).then_some(taken + 1);
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

impl DriverState {
    #[cfg(any(test, fuzzing))]
    pub(crate) fn new(config: Config) -> Arc<Self> {
        let admission = Admission::unchecked(config.max_clients);
        Self::with_admission(config, admission, test_runtime())
    }

    pub(crate) fn with_admission(config: Config, admission: Admission, runtime: RuntimeHandle) -> Arc<Self> {
        Arc::new_cyclic(|state: &Weak<Self>| {
            let context = Arc::new(ClientContext::new(config, runtime, Weak::clone(state) as _));
            Self {
                resources: Resources::new(Arc::clone(&context)),
                streams: Streams::default(),
                shortage: Shortage::new(),
                #[cfg(feature = "__tls")]
                tls: OnceLock::new(),
                handshakes: Handshakes::new(context.config.max_handshakes, admission.clients),
                admission,
                clients: AtomicUsize::new(0),
                streamed: AtomicUsize::new(0),
                refused: AtomicUsize::new(0),
                shards: OnceLock::new(),
                lists: Lock::default(),
                stop: Arc::default(),
                context,
            }
        })
    }

    #[inline]
    pub(crate) fn config(&self) -> &Config {
        &self.context.config
    }

    #[inline]
    pub(crate) fn budget(&self) -> &Budget {
        &self.context.budget
    }

    /// Runs the tasks of the server.
    pub(crate) fn runtime(&self) -> &RuntimeHandle {
        &self.context.shared.runtime
    }

    /// The context of a connection with that wake target.
    #[inline]
    pub(crate) const fn connection_context<'a>(&'a self, wake_target: WakeTargetRef<'a>) -> Context<'a> {
        Context {
            clients: &self.context,
            resources: &self.resources,
            handshakes: &self.handshakes,
            wake_target,
            environment: &ENVIRONMENT,
            new_client: None,
            address: None,
        }
    }

    /// Sets the certificates. Only the first call has an effect.
    #[cfg(feature = "__tls")]
    pub(crate) fn set_tls(&self, tls: Tls) {
        drop(self.tls.set(tls));
    }

    /// The certificates for sockets with TLS.
    #[cfg(feature = "__tls")]
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.get()
    }

    #[cfg(not(feature = "__tls"))]
    pub(crate) const fn tls(&self) -> Option<()> {
        None
    }

    /// The shards; empty before the server runs, and where each client has a task.
    pub(crate) fn shards(&self) -> &[Arc<ShardHandle>] {
        self.shards.get().map_or(&[], Vec::as_slice)
    }

    /// Sets the shards. Only the first call has an effect.
    pub(crate) fn set_shards(&self, shards: Vec<Arc<ShardHandle>>) {
        drop(self.shards.set(shards));
    }

    /// A list for the clients of a new shard.
    pub(crate) fn new_client_list(&self) -> Arc<ClientList> {
        let list = Arc::default();
        self.lists.lock().push(Arc::clone(&list));
        list
    }

    /// The clients that are connected, in no order.
    pub(crate) fn list_clients(&self) -> Vec<Client> {
        let lists = self.lists.lock().clone();
        let mut clients = Vec::new();
        lists.iter().for_each(|list| list.append_to(&mut clients));
        clients.extend(self.streams.clients());
        clients.retain(|client| client.is_connected() && !client.is_disconnected());
        clients
    }

    /// The number of connections, in any stage, without connections that get 503.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// The most connections that the server accepts at once.
    pub(crate) const fn max_clients(&self) -> usize {
        self.admission.clients
    }

    /// The number of connections that get 503 or 429.
    #[cfg(test)]
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// The number of connections whose request has not arrived.
    #[cfg(test)]
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.len()
    }

    /// The number of addresses whose connections are counted.
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> usize {
        self.context.shared.addresses.as_ref().map_or(0, |addresses| addresses.len())
    }

    /// Counts a new connection of `peer`. If it must be refused and there are too many refusals
    /// already, the error is the kind of its refusal.
    pub(crate) fn admit(&self, peer: Peer) -> Result<Admitted, ConnectionPermit> {
        let accepted = self.admission.clients.saturating_add(self.streamed.load(Ordering::Relaxed));
        self.count(peer, accepted.min(self.config().max_clients), ConnectionPermit::Client)
    }

    /// Counts a new stream of the application. The error is that of [`admit`](Self::admit).
    pub(crate) fn admit_stream(&self, peer: Peer) -> Result<Admitted, ConnectionPermit> {
        let admitted = self.count(peer, self.config().max_clients, ConnectionPermit::Stream)?;
        if admitted.permit == ConnectionPermit::Stream {
            self.streamed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(admitted)
    }

    /// Takes one of `most` places for clients. The address comes first, so that an address with too
    /// many connections never takes a place.
    ///
    /// A trusted proxy is not limited. Its clients take a permit for their address when it is known.
    fn count(&self, peer: Peer, most: usize, permit: ConnectionPermit) -> Result<Admitted, ConnectionPermit> {
        let address = match (&self.context.shared.addresses, peer) {
            (Some(addresses), Peer::Tcp(address)) if !self.config().trusts(peer) => match addresses
                .take(address.ip())
            {
                None => {
                    log(|| tracing::debug!(%peer, "refused: too many connections come from this address"));
                    return self.refuse(ConnectionPermit::Crowded);
                }
                permit => permit,
            },
            _ => None,
        };
        if take(&self.clients, most) {
            Ok(Admitted { permit, address })
        } else {
            self.refuse(ConnectionPermit::Refused)
        }
    }

    fn refuse(&self, permit: ConnectionPermit) -> Result<Admitted, ConnectionPermit> {
        let is_taken = take(&self.refused, self.admission.refusals);
        if is_taken { Ok(Admitted { permit, address: None }) } else { Err(permit) }
    }

    /// Releases a permit of [`admit`](Self::admit) or [`admit_stream`](Self::admit_stream).
    pub(crate) fn release(&self, permit: ConnectionPermit) {
        let count = match permit {
            ConnectionPermit::Client => &self.clients,
            ConnectionPermit::Stream => {
                self.streamed.fetch_sub(1, Ordering::Relaxed);
                &self.clients
            }
            ConnectionPermit::Refused | ConnectionPermit::Crowded => &self.refused,
        };
        count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Stops all drivers.
    pub(crate) fn stop(&self) {
        self.stop.give();
        self.drain().note_stop();
        self.stop_shards();
    }

    /// Tells the shards to stop. A shard that has ended needs no command.
    pub(crate) fn stop_shards(&self) {
        for shard_handle in self.shards() {
            drop(shard_handle.send(ShardCommand::Stop));
        }
    }

    #[inline]
    pub(crate) fn drain(&self) -> &DrainState {
        &self.context.shared.drain
    }

    /// Begins a drain in all drivers, or shortens it.
    pub(crate) fn begin_drain(&self, drain: Drain) {
        self.drain().begin(drain, self.config().close_timeout);
        self.drain_shards();
    }

    /// Tells the shards of the drain.
    pub(crate) fn drain_shards(&self) {
        for shard_handle in self.shards() {
            drop(shard_handle.send(ShardCommand::Drain));
        }
    }

    /// Whether a stop or a drain has begun. The drivers may not have seen it yet.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_stopping() || self.drain().is_draining()
    }

    /// Whether the server was stopped. The shards may not have seen their command yet.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_given()
    }

    /// Waits until the server is stopped.
    pub(crate) fn stopped(&self) -> SignalWait {
        self.stop.wait()
    }

    /// The sums of all counters.
    pub(crate) fn stats(&self) -> Stats {
        let shards = self.shards().iter().map(|shard_handle| &*shard_handle.counters);
        let sets: Vec<_> = shards.chain([&*self.context.shared.counters]).collect();
        let mut stats = snapshot::sum(&sets, self.resources.clients());
        stats.connections = self.clients();
        (stats.buffered, stats.max_buffered) = (self.budget().used(), self.budget().limit());
        stats
    }

    /// Drops the stream's client that holds most, or asks the shards.
    #[cold]
    pub(crate) fn relieve_streams(&self) {
        if !self.streams.drop_biggest(&self.context)
            && let Some(first) = self.shards().first()
        {
            first.relieve(self.shards().len());
        }
    }
}

impl Relief for DriverState {
    fn relieve(&self, wake_target: &WakeTarget) {
        // A shard checks the budget itself, after each client's share of its turn.
        if !self.budget().is_over() || self.shards().iter().any(|shard_handle| shard_handle.is_here()) {
            return;
        }
        match wake_target {
            WakeTarget::Shard(shard_handle, _) => shard_handle.relieve(self.shards().len()),
            WakeTarget::Stream(_) => self.relieve_streams(),
        }
    }

    /// Half of the memory that each client may hold on average. When the limit is reached, at
    /// least one client holds that much, unless mailboxes hold the memory.
    fn fair_share(&self) -> usize {
        self.budget().limit() / (2 * self.clients().max(1))
    }
}

impl fmt::Debug for DriverState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("resources", &self.resources)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}
