//! A server: its resources, and running it.

pub(crate) mod builder;
pub(crate) mod handle;
mod run;
#[cfg(feature = "http")]
pub(crate) mod upgrade;

use std::io;
use std::sync::Arc;

use crate::config::address::Listen;
use crate::drain::report::Report;
use crate::driver::state::DriverState;
use crate::net::acceptor::Acceptor;
use crate::resource::registry::Resources;
#[cfg(feature = "testing")]
use crate::runtime::handle::RuntimeHandle;
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
/// server.resources().register("/echo", Origins::any(), Echo)?;
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

    /// A handle of the server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.state))
    }

    /// The runtime of the server.
    #[cfg(feature = "testing")]
    pub(crate) fn runtime(&self) -> &RuntimeHandle {
        self.state.runtime()
    }

    /// Serves until [`ServerHandle::drain`] or [`ServerHandle::stop`] has ended the server, and
    /// returns a report on its clients. Dropping the future stops the server too.
    ///
    /// The threads of the shards do the work. The future only waits for them, on any executor.
    ///
    /// # Errors
    ///
    /// The system refuses a thread, or a resource that a shard needs to poll its sockets.
    pub async fn run(self) -> io::Result<Report> {
        run::start(self.state, self.listeners).await
    }
}
