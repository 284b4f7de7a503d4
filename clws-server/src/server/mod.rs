//! A server: its resources, and running it.

pub(crate) mod builder;
pub(crate) mod handle;
mod run;

use std::io;
use std::sync::Arc;

use clws_handshake::{HttpRequest, HttpResponse, Origins};

use crate::config::address::Listen;
use crate::driver::state::DriverState;
use crate::handler::resource_listener::ResourceListener;
use crate::handler::resource_listener::handle::ResourceListenerHandle;
use crate::net::acceptor::Acceptor;
use crate::resource::Resource;
use crate::resource::registry::{RegisterError, Resources};
use crate::server::handle::ServerHandle;

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
/// server.register("/echo", Origins::any(), Echo)?;
/// # let main =
/// async move { server.run().await }
/// # ; futures::executor::block_on(main)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a server serves no client until it is run"]
pub struct Server {
    state: Arc<DriverState>,
    listeners: Vec<Acceptor>,
}

impl Server {
    /// The addresses of its sockets, with the ports that the system has chosen. The addresses of
    /// the config come first, then the sockets of the builder.
    ///
    /// # Errors
    ///
    /// The system fails to report an address.
    pub fn local_addrs(&self) -> io::Result<Vec<Listen>> {
        self.listeners.iter().map(Acceptor::local_addr).collect()
    }

    /// The resources of the server. They can be changed while it runs.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.state.resources
    }

    /// Registers a resource: [`Resources::register`].
    ///
    /// # Errors
    ///
    /// The errors of [`Resources::register`].
    pub fn register(
        &self,
        path: &str,
        origins: Origins,
        resource: impl Resource,
    ) -> Result<(), RegisterError> {
        self.state.resources.register(path, origins, resource)
    }

    /// Registers a resource for all paths below a prefix: [`Resources::register_prefix`].
    ///
    /// # Errors
    ///
    /// The errors of [`Resources::register_prefix`].
    pub fn register_prefix(
        &self,
        prefix: &str,
        origins: Origins,
        resource: impl Resource,
    ) -> Result<(), RegisterError> {
        self.state.resources.register_prefix(prefix, origins, resource)
    }

    /// Registers a resource for all other paths: [`Resources::register_fallback`].
    ///
    /// # Errors
    ///
    /// The errors of [`Resources::register_fallback`].
    pub fn register_fallback(&self, origins: Origins, resource: impl Resource) -> Result<(), RegisterError> {
        self.state.resources.register_fallback(origins, resource)
    }

    /// Registers a resource listener and runs it: [`Resources::run_resource_listener`].
    ///
    /// # Errors
    ///
    /// The errors of [`Resources::register`].
    pub fn run_resource_listener<L: ResourceListener>(
        &self,
        path: &str,
        origins: Origins,
        listener: L,
    ) -> Result<ResourceListenerHandle<L>, RegisterError> {
        self.state.resources.run_resource_listener(path, origins, listener)
    }

    /// Answers requests that ask for no WebSocket: [`Resources::http`].
    pub fn http(&self, answer: impl Fn(&HttpRequest<'_>) -> HttpResponse + Send + Sync + 'static) {
        self.state.resources.http(answer);
    }

    /// A handle of the server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.state))
    }

    /// Serves until [`ServerHandle::stop`] is called or the future is dropped. Dropping it stops
    /// the server too.
    ///
    /// The threads of the shards do the work. The future only waits for them, on any executor.
    ///
    /// # Errors
    ///
    /// The system refuses a thread, or a resource that a shard needs to poll its sockets.
    pub async fn run(self) -> io::Result<()> {
        let Self { state, listeners } = self;
        let _stop = StopOnDrop(ServerHandle::new(Arc::clone(&state)));
        run::run(state, listeners).await
    }
}

struct StopOnDrop(ServerHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
