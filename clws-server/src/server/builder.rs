//! Building a server: its addresses, and the sockets that are open already.

use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use crate::admission::Admission;
#[cfg(feature = "capture")]
use crate::capture::{recorder::Recorder, settings::Capture};
use crate::config::Config;
use crate::config::address::Listen;
use crate::driver::state::DriverState;
use crate::net::acceptor::Acceptor;
#[cfg(feature = "__tls")]
use crate::net::tls::handle::Tls;
use crate::runtime;
use crate::runtime::handle::RuntimeHandle;
use crate::runtime::traits::Runtime;
use crate::server::Server;

/// The address of [`Server::bind`] for a config without addresses.
const DEFAULT_ADDRESS: &str = "127.0.0.1:12345";

/// Builds a [`Server`] from a config and from listening sockets: see [`Server::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `bind` is called"]
pub struct ServerBuilder {
    config: Config,
    listeners: Vec<Given>,
    runtime: Option<Arc<dyn Runtime>>,
    #[cfg(feature = "capture")]
    capture: Option<Capture>,
    #[cfg(feature = "__tls")]
    tls: Option<Tls>,
}

/// A listening socket of the application.
#[derive(Debug)]
enum Given {
    Tcp(TcpListener),
    /// Without TLS, even if the server has certificates.
    Plain(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Server {
    /// Binds the [addresses](Config::listen) of the config, or `127.0.0.1:12345` if it has none.
    /// Clients can connect from now on. [`run`](Self::run) serves them.
    ///
    /// [`builder`](Self::builder) also takes existing sockets.
    ///
    /// # Errors
    ///
    /// A field of the config has an invalid value: [`io::ErrorKind::InvalidInput`] with a
    /// [`ConfigError`](crate::ConfigError) inside. Or an address cannot be bound, or a name
    /// resolved: the error has the kind of the system's error, and names the address.
    pub fn bind(config: Config) -> io::Result<Self> {
        let config = if config.listen.is_empty() { config.listen(DEFAULT_ADDRESS) } else { config };
        Self::builder(config).bind()
    }

    /// Builds a server that listens on the [addresses](Config::listen) of the config and on
    /// existing sockets. Without any of them it does not listen. It then serves only
    /// [streams](crate::ServerHandle::serve_stream), and clients of
    /// [another HTTP server](crate::guide::axum_and_hyper).
    ///
    /// ```
    /// use clws_server::{Config, Server};
    ///
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let server = Server::builder(Config::default()).listener(listener).bind()?;
    /// assert_eq!(server.local_addrs()?, [address.into()]);
    ///
    /// let for_streams_only = Server::builder(Config::default()).bind()?;
    /// assert_eq!(for_streams_only.local_addrs()?, []);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub const fn builder(config: Config) -> ServerBuilder {
        ServerBuilder {
            config,
            listeners: Vec::new(),
            runtime: None,
            #[cfg(feature = "capture")]
            capture: None,
            #[cfg(feature = "__tls")]
            tls: None,
        }
    }
}

impl ServerBuilder {
    /// Adds a listening TCP socket, for instance from systemd or from a test.
    ///
    /// [`bind`](Self::bind) makes it non-blocking and sets the TCP options of the config. The
    /// backlog stays as it is. When the server stops, it closes the socket and does not shut it
    /// down: another process that has the same socket continues to listen. A drain also leaves it
    /// what waits in the socket's queue.
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listeners.push(Given::Tcp(listener));
        self
    }

    /// Adds a listening TCP socket without TLS, even if the server has certificates. The rest is as
    /// for [`listener`](Self::listener).
    pub fn plain_listener(mut self, listener: TcpListener) -> Self {
        self.listeners.push(Given::Plain(listener));
        self
    }

    /// Sets the certificates. The server then speaks TLS at each TCP address of the config and on
    /// each [`listener`](Self::listener). Addresses that begin with `ws://` and each
    /// [`plain_listener`](Self::plain_listener) have no TLS. Unix sockets and
    /// [streams](crate::ServerHandle::serve_stream) have none either.
    ///
    /// TLS 1.2 and 1.3 run in the threads of the shards, with rustls. The handshake counts toward
    /// [`handshake_timeout`](Config#structfield.handshake_timeout) and
    /// [`max_handshakes`](Config#structfield.max_handshakes). The chapter
    /// [tls](crate::guide::tls) has examples.
    #[cfg(feature = "__tls")]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "tls", feature = "tls-ring"))))]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Adds a listening Unix socket.
    ///
    /// [`bind`](Self::bind) makes it non-blocking. The backlog stays as it is, and the file is not
    /// removed when the server ends. [`Server::local_addrs`] reports an abstract address of Linux
    /// as a path with a leading NUL.
    ///
    /// ```
    /// # use std::os::unix::net::UnixListener;
    /// use clws_server::{Config, Listen, Server};
    ///
    /// # let directory = std::env::temp_dir();
    /// # let path = directory.join(format!("clws-builder-{}.sock", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// let server = Server::builder(Config::default()).unix_listener(listener).bind()?;
    /// assert_eq!(server.local_addrs()?, [Listen::Unix(path.clone())]);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(unix)]
    pub fn unix_listener(mut self, listener: UnixListener) -> Self {
        self.listeners.push(Given::Unix(listener));
        self
    }

    /// Sets the [runtime](crate::runtime) of async handlers, resource listeners and other tasks.
    ///
    /// By default it is the tokio runtime that runs on the thread of [`bind`](Self::bind), else
    /// async-std, else smol, each if its feature is enabled.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Records connections into files: see [`capture`](crate::capture). The files contain private
    /// data.
    #[cfg(feature = "capture")]
    pub fn capture(mut self, capture: Capture) -> Self {
        self.capture = Some(capture);
        self
    }

    /// Forgets all addresses and sockets: clients come over pipes, which need no descriptors.
    #[cfg(feature = "testing")]
    pub(crate) fn without_sockets(mut self) -> Self {
        self.config.listen.clear();
        self.config.raise_descriptor_limit = false;
        self.listeners.clear();
        self.runtime = self.runtime.or_else(runtime::for_blocking_test);
        self
    }

    /// Binds the addresses and takes the sockets. Clients can connect from now on.
    /// [`run`](Server::run) serves them.
    ///
    /// # Errors
    ///
    /// The errors of [`Server::bind`], and errors for these reasons:
    ///
    /// - A socket does not listen or is of another kind, which happens with descriptors from another
    ///   process: [`io::ErrorKind::InvalidInput`].
    /// - [`task_per_client`](Config#structfield.task_per_client) is set without a runtime:
    ///   [`io::ErrorKind::InvalidInput`].
    /// - An address begins with `wss://`, and the server has no certificate.
    /// - TLS is combined with both [`proxy_protocol`](Config#structfield.proxy_protocol) and
    ///   [`task_per_client`](Config#structfield.task_per_client): [`io::ErrorKind::Unsupported`].
    /// - With the feature `capture`: the directory of recordings cannot be created.
    pub fn bind(self) -> io::Result<Server> {
        let Self { config, listeners: given, runtime, .. } = self;
        config.check()?;
        let runtime = RuntimeHandle::new(runtime.or_else(runtime::current));
        if config.task_per_client {
            let unusable = |error| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("`task_per_client` is true: {error}"))
            };
            runtime.check().map_err(unusable)?;
        }
        #[cfg(feature = "capture")]
        let recorder = self.capture.map(|capture| Recorder::start(capture, config.debug_on())).transpose()?;
        #[cfg(feature = "__tls")]
        let is_tls = self.tls.is_some();
        #[cfg(not(feature = "__tls"))]
        let is_tls = false;
        if is_tls && config.task_per_client && config.proxy_protocol {
            const FAULT: &str =
                "`proxy_protocol` and TLS together need the shards: set `task_per_client` to false";
            return Err(io::Error::new(io::ErrorKind::Unsupported, FAULT));
        }
        let mut listeners = Vec::new();
        for address in &config.listen {
            if !is_tls && matches!(address, Listen::Tls(_)) {
                return Err(without_certificate(address));
            }
            let bound = Acceptor::bind(address, &config, is_tls);
            listeners.extend(bound.map_err(|error| bind_error(address, &error))?);
        }
        for (index, listener) in given.into_iter().enumerate() {
            let acceptor = match listener {
                Given::Tcp(listener) => Acceptor::from_tcp(listener, &config, is_tls),
                Given::Plain(listener) => Acceptor::from_tcp(listener, &config, false),
                #[cfg(unix)]
                Given::Unix(listener) => Acceptor::from_unix(listener),
            };
            let subject = format_args!("listener {} of the server's builder", index + 1);
            listeners.push(acceptor.map_err(|error| with_subject(subject, &error))?);
        }
        let admission = Admission::provide(config.max_clients, config.shards, config.raise_descriptor_limit);
        let state = DriverState::with_admission(config, admission, runtime);
        #[cfg(feature = "capture")]
        if let Some(recorder) = recorder {
            drop(state.context.shared.recorder.set(recorder)); // it is the first
        }
        #[cfg(feature = "__tls")]
        if let Some(tls) = self.tls {
            state.set_tls(tls);
        }
        Ok(Server { state, listeners })
    }
}

/// The error for a `wss://` address of a server that has no certificate.
fn without_certificate(address: &Listen) -> io::Error {
    let remedy = if cfg!(feature = "__tls") {
        "the server has no certificate: call `ServerBuilder::tls`"
    } else {
        "this program was built without TLS: switch on the feature `tls` of clws-server"
    };
    io::Error::new(io::ErrorKind::InvalidInput, format!("cannot listen on {address}: {remedy}"))
}

/// The error for an address, with the usual remedy.
fn bind_error(address: &Listen, error: &io::Error) -> io::Error {
    let is_unix = matches!(address, Listen::Unix(_));
    let remedy = match error.kind() {
        // For Unix sockets, the error says what is at the path.
        io::ErrorKind::AddrInUse if !is_unix => {
            "; another program listens there, or an earlier address of this server: choose another port (0 takes a free one)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; no network interface of this machine has this address (`0.0.0.0` and `[::]` mean all interfaces)"
        }
        io::ErrorKind::PermissionDenied if is_unix => {
            "; this process may not create a socket in that directory"
        }
        io::ErrorKind::PermissionDenied => {
            "; low ports need a privilege: choose a port from 1024 on, or grant the privilege"
        }
        io::ErrorKind::NotFound if is_unix => "; create the directory first",
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}{remedy}"))
}

fn with_subject(subject: impl std::fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{subject}: {error}"))
}
