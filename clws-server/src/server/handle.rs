//! The handle of a server.

use std::future::Future;
use std::sync::Arc;

use futures::io::{AsyncRead, AsyncWrite};

#[cfg(feature = "capture")]
use crate::capture::recorder::CaptureStats;
use crate::client::Client;
use crate::client::close::{Close, close_all};
use crate::config::address::Peer;
use crate::drain::options::Drain;
use crate::driver::state::DriverState;
use crate::driver::stream;
use crate::guard::guard_other;
use crate::resource::registry::Resources;
use crate::stats::snapshot::Stats;

/// A handle of a server: it changes the resources, serves streams, and stops the server.
///
/// It is cheap to clone and works on any thread.
#[derive(Clone, Debug)]
pub struct ServerHandle(Arc<DriverState>);

impl ServerHandle {
    pub(crate) const fn new(state: Arc<DriverState>) -> Self {
        Self(state)
    }

    #[cfg(feature = "http")]
    pub(super) const fn state(&self) -> &Arc<DriverState> {
        &self.0
    }

    /// Stops the server. It accepts no more connections and closes its clients with 1001. Clients
    /// that do not answer within [`close_timeout`](crate::Config#structfield.close_timeout) are
    /// dropped. Then [`Server::run`](crate::Server::run) returns.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Drains the server: it ends without an outage for its clients. Then
    /// [`Server::run`](crate::Server::run) returns a [`Report`](crate::Report).
    ///
    /// 1. The server accepts no more connections, or answers them with 503: see
    ///    [`keep_port`](Drain#structfield.keep_port). Handshakes without a decision get 503 with
    ///    Retry-After at once, and later decisions have no effect.
    /// 2. Clients are closed one after the other, over the time [`spread`](Drain#structfield.spread).
    ///    Each one first gets the answers to the messages that were read from it:
    ///    [`Resource::draining`](crate::Resource::draining) is called, and a mailbox, a listener or
    ///    an async handler handles what is queued. Then the close frame goes out, after all queued
    ///    data. Messages of the client are delivered until its own close frame.
    /// 3. The server waits until async handlers have returned, and until listeners and mailboxes
    ///    have handled all events, closures and messages.
    /// 4. What is left after [`within`](Drain#structfield.within) is cut, and reported.
    ///
    /// A second drain can only shorten the first one: each of its times has an effect if it ends
    /// earlier. Its code, its reason and `keep_port` have none. [`stop`](Self::stop) ends a drain
    /// at once, as it ends a server that does not drain. After a stop, a drain has no effect.
    ///
    /// The chapter [closing](crate::guide::closing) has an example.
    pub fn drain(&self, drain: Drain) {
        self.0.begin_drain(drain);
    }

    /// Whether [`drain`](Self::drain) or [`stop`](Self::stop) was called. A health check should
    /// fail from then on.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.is_ending()
    }

    /// The resources of the server.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.0.resources
    }

    /// The current number of connections, in any state, without those that get 503.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.0.clients()
    }

    /// The clients that are connected at the moment, in no order.
    ///
    /// It looks at all of them and takes no lock that a message needs. It can be called on any
    /// thread, also in a handler.
    ///
    /// ```
    /// use clws_server::ServerHandle;
    ///
    /// fn users_online(server: &ServerHandle) -> usize {
    ///     server.list_clients().iter().filter(|client| client.resource_name() == "/chat").count()
    /// }
    /// ```
    #[must_use]
    pub fn list_clients(&self) -> Vec<Client> {
        self.0.list_clients()
    }

    /// Closes the clients that `fits` chooses, as [`Client::close`] does. Returns their number.
    ///
    /// A client for which `fits` panics is not closed, and the panic is logged. `fits` may call
    /// the server.
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use clws_server::{CloseCode, ServerHandle};
    ///
    /// fn ban(server: &ServerHandle, address: IpAddr) -> usize {
    ///     server.close_clients(|client| client.remote_ip() == Some(address), CloseCode::POLICY)
    /// }
    ///
    /// fn move_away(server: &ServerHandle) -> usize {
    ///     let close = (CloseCode::SERVICE_RESTART, "this chat moves to another server");
    ///     server.close_clients(|client| client.resource_name() == "/chat", close)
    /// }
    /// ```
    pub fn close_clients(&self, mut fits: impl FnMut(&Client) -> bool, close: impl Into<Close>) -> usize {
        let debug = self.0.config().debug_on();
        let mut clients = self.list_clients();
        clients.retain(|client| {
            guard_other(debug, "a choice of clients", client, || fits(client)).unwrap_or(false)
        });
        close_all(&clients, close);
        clients.len()
    }

    /// The most connections that the server accepts.
    ///
    /// It is [`max_clients`](crate::Config#structfield.max_clients), or less if the process may not
    /// open enough descriptors. [Streams](Self::serve_stream) take no descriptor of the server.
    /// They have `max_clients` as the common limit with all other connections.
    #[must_use]
    pub fn max_clients(&self) -> usize {
        self.0.max_clients()
    }

    /// The bytes of memory that are held for all clients: see
    /// [`max_buffered`](crate::Config#structfield.max_buffered).
    ///
    /// For each thread, up to 2 MiB are included that are not held at the moment.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.0.budget().used()
    }

    /// What the server does and has done so far: clients, handshakes, messages, ends, memory and
    /// times.
    ///
    /// It sums the counters of all threads, which takes about 10 microseconds for each shard. The
    /// chapter [metrics](crate::guide::metrics) explains the figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Waits until every thread that serves clients has begun another event loop turn.
    ///
    /// It ends within microseconds unless a handler blocks one of the threads. So it tells a
    /// watchdog that the server works, where a timer alone would tell that a clock does. It can be
    /// dropped at any time. It ends at once if the server does not run, or serves each client with a
    /// task.
    ///
    /// ```
    /// use std::time::Duration;
    /// use clws_server::ServerHandle;
    ///
    /// /// Reports to a service manager, as long as no thread is blocked.
    /// async fn watchdog(server: ServerHandle, beat: impl Fn()) {
    ///     loop {
    ///         server.responds().await;
    ///         beat();
    ///         async_std::task::sleep(Duration::from_secs(10)).await;
    ///     }
    /// }
    /// ```
    pub fn responds(&self) -> impl Future<Output = ()> + use<> {
        let signals: Vec<_> = self.0.shards().iter().map(|shard| shard.respond()).collect();
        async move {
            for signal in signals {
                signal.await;
            }
        }
    }

    /// Counters for tests.
    #[cfg(all(test, feature = "metrics"))]
    pub(crate) fn shared_counters(&self) -> &crate::stats::counters::Counters {
        &self.0.context.shared.counters
    }

    /// The number of clients that were dropped since `bind`, because too much memory was held and
    /// they held most of it.
    #[must_use]
    pub fn dropped_for_memory(&self) -> u64 {
        self.0.budget().dropped()
    }

    /// The numbers of the recordings. `None` if the server does not
    /// [record](crate::ServerBuilder::capture).
    #[cfg(feature = "capture")]
    #[must_use]
    pub fn capture_stats(&self) -> Option<CaptureStats> {
        self.0.context.shared.recorder.get().map(|recorder| recorder.stats())
    }

    /// Waits until everything that was recorded so far is in the files. [`Server::run`] does that at
    /// its end, for at most 10 seconds.
    ///
    /// [`Server::run`]: crate::Server::run
    #[cfg(feature = "capture")]
    pub fn flush_captures(&self) -> impl Future<Output = ()> + use<> {
        let flushed = self.0.context.shared.recorder.get().map(|recorder| recorder.flush());
        async move {
            if let Some(flushed) = flushed {
                flushed.await;
            }
        }
    }

    /// Serves a client over any stream, from its opening handshake on: a TLS stream, a stream of
    /// another protocol, a pipe.
    ///
    /// The future ends with the connection. It runs on any executor and does not need
    /// [`Server::run`](crate::Server::run).
    ///
    /// The address in `peer` counts as that of a socket: it is limited by
    /// [`max_clients_per_ip`](crate::Config#structfield.max_clients_per_ip), and a trusted proxy may
    /// report its client. With [`proxy_protocol`](crate::Config#structfield.proxy_protocol), the stream
    /// of a trusted proxy begins with its header. If you have read the header yourself, pass the
    /// address in it.
    ///
    /// ```
    /// use clws_server::{Client, Config, Origins, Peer, Resource, Server, Text};
    ///
    /// # struct Echo;
    /// # impl Resource for Echo {
    /// #     fn text(&self, client: &Client, text: Text<'_>) { let _ = client.send_text(&text); }
    /// # }
    /// async fn serve(stream: impl futures::AsyncRead + futures::AsyncWrite + Unpin) -> std::io::Result<()> {
    ///     let server = Server::builder(Config::default()).bind()?; // it listens nowhere
    ///     server.resources().register("/echo", Origins::any(), Echo).map_err(std::io::Error::other)?;
    ///     server.handle().serve_stream(stream, Peer::Stream).await;
    ///     Ok(())
    /// }
    /// ```
    pub fn serve_stream<S>(&self, stream: S, peer: Peer) -> impl Future<Output = ()> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // The permit is taken before the first poll, so that a server that stops waits for this
        // stream.
        stream::drive(stream, peer, Arc::clone(&self.0), self.0.admit_stream(peer), |_| false)
    }
}
