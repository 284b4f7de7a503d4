//! The handle of a server.

use std::future::Future;
use std::sync::Arc;

use futures::io::{AsyncRead, AsyncWrite};

#[cfg(feature = "capture")]
use crate::capture::recorder::CaptureStats;
use crate::config::address::Peer;
use crate::driver::state::DriverState;
use crate::driver::stream;
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

    /// Stops the server. It accepts no more connections and closes its clients with 1001. Clients
    /// that do not answer within [`close_timeout`](crate::Config#structfield.close_timeout) are
    /// dropped. Then [`Server::run`](crate::Server::run) returns.
    pub fn stop(&self) {
        self.0.stop();
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
        stream::drive(stream, peer, Arc::clone(&self.0), self.0.admit_stream(), |_| false)
    }
}
