//! A server without sockets, for tests.

use std::io;
use std::time::Duration;

use crate::capture::recording::Recording;
use crate::config::Config;
use crate::resource::registry::Resources;
use crate::server::Server;
use crate::server::builder::ServerBuilder;
use crate::server::handle::ServerHandle;
use crate::testing::client::TestClient;
use crate::testing::error::{TestError, TestResponse};
use crate::testing::host::Host;
use crate::testing::replay::{Replayed, replay};
use crate::testing::request::TestRequest;

/// The default for [`TestServer::hang_limit`].
const HANG_LIMIT: Duration = Duration::from_secs(30);

/// The default for [`TestServer::pipe_capacity`].
const PIPE_CAPACITY: usize = 64 * 1024;

/// A server without sockets. Clients connect to it in memory.
///
/// Each client is served on a thread of its own, so a handler that blocks holds up no other client.
/// Dropping the server ends all connections at once, with
/// [`DisconnectCause::Stopped`](crate::DisconnectCause::Stopped), and waits until their inline
/// handlers have returned. It does not wait for listeners, mailboxes and async handlers, which run
/// in tasks.
///
/// The drop takes at most the [hang limit](Self::hang_limit) in total. The thread of a handler that
/// is still blocked is left behind, and a line on the standard error output says so.
///
/// ```
/// use clws_server::testing::TestServer;
/// use clws_server::{Config, HttpResponse};
///
/// let server = TestServer::new(Config::default())?;
/// server.resources().http(|_| HttpResponse::text(200, "ok"));
/// let response = server.get("/health")?;
/// assert_eq!((response.status, &*response.text()), (200, "ok"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TestServer(Host);

impl TestServer {
    /// Creates a server. It listens on no address of the config.
    ///
    /// # Errors
    ///
    /// A field of the config has an invalid value: see [`Server::bind`](crate::Server::bind).
    pub fn new(config: Config) -> io::Result<Self> {
        Self::from_builder(Server::builder(config))
    }

    /// Creates a server from a builder, for instance one that
    /// [records](ServerBuilder::capture). It listens on no address and no socket of the builder.
    ///
    /// # Errors
    ///
    /// The errors of [`ServerBuilder::bind`].
    pub fn from_builder(builder: ServerBuilder) -> io::Result<Self> {
        let server = builder.without_sockets().bind()?;
        Ok(Self(Host::new(server, HANG_LIMIT, PIPE_CAPACITY)))
    }

    /// Sets the time after which a wait has failed. The default is 30 seconds.
    ///
    /// It only bounds the time of a test that fails, so choose it for a busy machine.
    #[must_use]
    pub fn hang_limit(mut self, limit: Duration) -> Self {
        self.0.hang_limit = limit;
        self
    }

    /// Sets the bytes that a connection holds in each direction, as the buffers of a socket do. The
    /// default is 64 KiB. A write of the server waits if a client leaves that many bytes unread.
    ///
    /// It applies to later connections. The least is 1 byte, the most is 1 GiB.
    #[must_use]
    pub fn pipe_capacity(mut self, bytes: usize) -> Self {
        self.0.pipe_capacity = bytes.clamp(1, 1 << 30);
        self
    }

    /// The resources of the server.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        self.0.server.resources()
    }

    /// A handle of the server, for instance to [stop](ServerHandle::stop) it in the middle of a
    /// test.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.0.server.handle()
    }

    /// Connects a client of RFC 6455 without an origin. The path may have a query.
    /// [`request`](Self::request) has more options.
    ///
    /// # Errors
    ///
    /// As [`TestRequest::connect`].
    pub fn connect(&self, path: &str) -> Result<TestClient, TestError> {
        self.request(path).connect()
    }

    /// Replays a recorded connection: sends the client's bytes, and returns what the server answers.
    ///
    /// The recorded time is ignored. Before each part of the client's bytes, the answers that the
    /// recording has until then must come, or 5 seconds pass once. The client ends its side at the
    /// end of the recording. Deadlines, and messages that other clients caused, are not repeated.
    ///
    /// The server needs the resources and the settings of the recorded one. Its peer is that of the
    /// recording. The handshake is the recorded one, so an origin or a token is checked again.
    ///
    /// ```no_run
    /// use clws_server::capture::Recording;
    /// use clws_server::testing::TestServer;
    /// # use clws_server::{Config, Origins, Resource};
    /// # struct Echo;
    /// # impl Resource for Echo {}
    /// let server = TestServer::new(Config::default())?;
    /// server.resources().register("/echo", Origins::any(), Echo)?;
    /// let replayed = server.replay(&Recording::open("tests/bug-17.pcapng")?)?;
    /// assert_eq!(replayed.difference(), None); // or compare `replayed.transcript` with the right answers
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TestError::Recording`] if bytes of the client are missing, or [`TestError::Hang`].
    pub fn replay(&self, recording: &Recording) -> Result<Replayed, TestError> {
        replay(&self.0, recording)
    }

    /// Begins a request, to add an origin, headers or subprotocols.
    pub fn request(&self, path: &str) -> TestRequest<'_> {
        TestRequest::new(&self.0, path)
    }

    /// Sends a plain HTTP request and returns the response, for instance of the
    /// [HTTP hook](Resources::http).
    ///
    /// # Errors
    ///
    /// As [`TestRequest::http`].
    pub fn get(&self, path: &str) -> Result<TestResponse, TestError> {
        self.request(path).get()
    }
}
