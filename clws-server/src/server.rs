use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use futures::io::{AsyncRead, AsyncWrite};

use crate::admission::Admission;
use crate::config::Config;
use crate::driver::shard::Shard;
use crate::driver::state::DriverState;
use crate::driver::stream;
use crate::net::poll::Poller;
use crate::net::socket::{Acceptor, Listen, Peer};
use crate::resource::registry::Resources;
use crate::runtime;
use crate::time::{deadline_after, now};
use crate::wake::ShardHandle;

/// A WebSocket server, bound to its addresses: `run-server`.
///
/// ```no_run
/// use clws_server::{Client, Config, Origins, Resource, Server, Text};
///
/// struct Echo;
/// impl Resource for Echo {
///     fn text(&self, client: &Client, text: Text<'_>) {
///         let _ = client.send_text(&text);
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(Config::default().listen("127.0.0.1:12345"))?;
/// server.resources().register("/echo", Origins::any(), Echo)?;
/// # let main =
/// async move { server.run().await }
/// # ; futures::executor::block_on(main)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "it serves nobody until it is run"]
pub struct Server {
    state: Arc<DriverState>,
    listeners: Vec<Acceptor>,
}

/// A handle of a running server: to change its resources, to stop it. Cheap to clone, for any thread.
#[derive(Clone, Debug)]
pub struct ServerHandle(Arc<DriverState>);

/// In that time tasks that have something to do have their turn on any machine.
const TASKS_SEE_IT: Duration = Duration::from_secs(2);

impl Server {
    /// Binds the [addresses](Config::listen) of the config; clients can connect from now on and are served by
    /// [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// A field of the config has a value that can never work: [`io::ErrorKind::InvalidInput`] with a
    /// [`ConfigError`](crate::ConfigError) inside. An address cannot be bound, or a name not be resolved.
    pub fn bind(config: Config) -> io::Result<Self> {
        config.check()?;
        let mut addresses = config.listen.clone();
        if addresses.is_empty() {
            addresses.push(Listen::from("127.0.0.1:12345"));
        }
        let mut listeners = Vec::new();
        for address in &addresses {
            let bound = Acceptor::bind(address, &config)
                .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
            listeners.extend(bound);
        }
        let admission = Admission::provide(&config);
        let state = DriverState::with_admission(config, admission);
        Ok(Self { state, listeners })
    }

    /// The addresses it listens on, with the ports that were really taken.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn local_addrs(&self) -> io::Result<Vec<Listen>> {
        self.listeners.iter().map(Acceptor::local_addr).collect()
    }

    /// The resources, which can be changed while the server runs.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.state.resources
    }

    /// A handle to it.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Arc::clone(&self.state))
    }

    /// Serves until [`ServerHandle::stop`] is called, or this future is dropped, which stops it too.
    ///
    /// The work is done by the shards' threads; the future only waits for them, on any executor.
    ///
    /// # Errors
    ///
    /// The system refuses a thread, or what a shard needs to poll its sockets.
    pub async fn run(self) -> io::Result<()> {
        let Self { state, listeners } = self;
        let _stop = StopOnDrop(ServerHandle(Arc::clone(&state)));
        state.shortage.prepare();
        if state.config().task_per_client {
            return run_tasks(state, listeners).await;
        }
        let count = state.config().shards.map_or_else(processors, NonZeroUsize::get);
        let pollers = match (0..count).map(|_| Poller::new()).collect::<io::Result<Vec<_>>>() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return run_tasks(state, listeners).await;
            }
            pollers => pollers?,
        };
        let shards: Vec<_> =
            pollers.iter().map(|poller| Arc::new(ShardHandle::new(poller.waker()))).collect();
        state.set_shards(shards.clone());
        let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
        let mut ended = Vec::new();
        for (index, (poller, shard_handle)) in pollers.into_iter().zip(shards).enumerate() {
            let state = Arc::clone(&state);
            let shard = Shard::new(state, shard_handle, poller, &listeners)?;
            ended.push(runtime::run_shard(format!("clws-shard-{index}"), move || shard.run())?);
        }
        drop(listeners); // they are the shards' now, and are closed with the last of them
        if state.is_stopping() {
            state.stop_shards(); // it was stopped before there were any
        }
        try_join_all(ended).await.map(drop)
    }
}

impl ServerHandle {
    /// A handle of a server that the simulation runs.
    #[cfg(test)]
    pub(crate) const fn of(state: Arc<DriverState>) -> Self {
        Self(state)
    }

    /// Stops the server: no more connections are taken, clients are closed with 1001, and those that do not answer in
    /// [`close_timeout`](Config#structfield.close_timeout) are dropped. Then [`Server::run`] returns.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Its resources.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.0.resources
    }

    /// Connections at this moment, in any stage, without those that are told 503.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.0.clients()
    }

    /// The most connections that the server accepts at once: [`max_clients`](Config#structfield.max_clients), or fewer where the
    /// process may not open that many descriptors. [Streams](Self::serve_stream) take none of the server's descriptors: for them
    /// and all others together, `max_clients` is the limit.
    #[must_use]
    pub fn max_clients(&self) -> usize {
        self.0.max_clients()
    }

    /// Bytes of memory that are held for its clients: see [`max_buffered`](Config#structfield.max_buffered). Up to 2 MiB for
    /// each thread are counted that are not held any more, and not yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.0.budget().used()
    }

    /// Clients that were dropped, since the server was bound, because too much memory was held for all of them and most of it
    /// for them.
    #[must_use]
    pub fn dropped_for_memory(&self) -> u64 {
        self.0.budget().dropped()
    }

    /// Serves a client over any stream, from its opening handshake on: a TLS stream, a stream of another protocol, a
    /// pipe. The future ends with the connection; it may run on any executor and needs no [`Server::run`].
    ///
    /// ```
    /// use clws_server::{Client, Config, Origins, Peer, Resource, Server, Text};
    ///
    /// # struct Echo;
    /// # impl Resource for Echo {
    /// #     fn text(&self, client: &Client, text: Text<'_>) { let _ = client.send_text(&text); }
    /// # }
    /// async fn serve(stream: impl futures::AsyncRead + futures::AsyncWrite + Unpin) -> std::io::Result<()> {
    ///     let server = Server::bind(Config::default().listen("127.0.0.1:0"))?;
    ///     server.resources().register("/echo", Origins::any(), Echo).map_err(std::io::Error::other)?;
    ///     server.handle().serve_stream(stream, Peer::Stream).await;
    ///     Ok(())
    /// }
    /// ```
    pub fn serve_stream<S>(&self, stream: S, peer: Peer) -> impl Future<Output = ()> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // Counted from now on, not from the first time that the future is polled: a server that ends waits for it.
        stream::drive(stream, peer, Arc::clone(&self.0), self.0.admit_stream())
    }
}

struct StopOnDrop(ServerHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Serves each client by a task of its own.
async fn run_tasks(state: Arc<DriverState>, listeners: Vec<Acceptor>) -> io::Result<()> {
    let accepting = listeners.into_iter().map(|listener| runtime::serve_tasks(listener, Arc::clone(&state)));
    try_join_all(accepting).await?;
    // The tasks see the stop themselves. Each has twice the time for its closing handshake, and once more to close its stream;
    // on a busy machine it sees the stop later than we do.
    let patience =
        deadline_after(now(), state.config().close_timeout.saturating_mul(3).saturating_add(TASKS_SEE_IT));
    while state.clients() > 0 && now() < patience {
        runtime::timer(now() + Duration::from_millis(10)).await;
    }
    Ok(())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
