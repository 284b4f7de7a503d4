//! A server without sockets, for tests.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::Config;
use crate::config::address::Peer;
use crate::guard::log;
use crate::resource::registry::Resources;
use crate::server::Server;
use crate::server::handle::ServerHandle;
use crate::signal::{GivesOnDrop, Signal};
use crate::sync::Mutex;
use crate::testing::client::TestClient;
use crate::testing::error::{TestError, TestResponse};
use crate::testing::pipe::Pipe;
use crate::testing::request::TestRequest;
use crate::testing::wait::wait;

/// The default for [`TestServer::hang_limit`].
const HANG_LIMIT: Duration = Duration::from_secs(30);

/// The default for [`TestServer::pipe_capacity`].
const PIPE_CAPACITY: usize = 64 * 1024;

/// A server without sockets. Clients connect to it in memory.
///
/// Each client is served on a thread of its own, so a handler that blocks holds up no other client.
/// Dropping the server ends all connections at once, with
/// [`DisconnectCause::Stopped`](crate::DisconnectCause::Stopped), and waits until their handlers
/// have returned. It does not wait for tasks that handlers have spawned.
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
pub struct TestServer {
    server: Server,
    hang_limit: Duration,
    pipe_capacity: usize,
    /// Ends all connections.
    cut: Arc<Signal>,
    threads: Mutex<Vec<(Arc<Signal>, JoinHandle<()>)>>,
}

impl TestServer {
    /// Creates a server. It listens on no address of the config.
    ///
    /// # Errors
    ///
    /// A field of the config has an invalid value: see [`Server::bind`](crate::Server::bind).
    pub fn new(mut config: Config) -> io::Result<Self> {
        config.listen.clear();
        Ok(Self {
            server: Server::builder(config).bind()?,
            hang_limit: HANG_LIMIT,
            pipe_capacity: PIPE_CAPACITY,
            cut: Arc::default(),
            threads: Mutex::default(),
        })
    }

    /// Sets the time after which a wait has failed. The default is 30 seconds.
    ///
    /// It only bounds the time of a test that fails, so choose it for a busy machine.
    #[must_use]
    pub const fn hang_limit(mut self, limit: Duration) -> Self {
        self.hang_limit = limit;
        self
    }

    /// Sets the bytes that a connection holds in each direction, as the buffers of a socket do. The
    /// default is 64 KiB. A write of the server waits if a client leaves that many bytes unread.
    ///
    /// It applies to later connections. The least is 1 byte, the most is 1 GiB.
    #[must_use]
    pub const fn pipe_capacity(mut self, bytes: usize) -> Self {
        self.pipe_capacity = match bytes {
            0 => 1,
            1..=0x4000_0000 => bytes,
            _ => 0x4000_0000,
        };
        self
    }

    /// The resources of the server.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        self.server.resources()
    }

    /// A handle of the server, for instance to [stop](ServerHandle::stop) it in the middle of a
    /// test.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
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

    /// Begins a request, to add an origin, headers or subprotocols.
    pub fn request(&self, path: &str) -> TestRequest<'_> {
        TestRequest::new(self, path)
    }

    /// Sends a plain HTTP request and returns the response, for instance of the
    /// [HTTP hook](Resources::http).
    ///
    /// # Errors
    ///
    /// As [`TestRequest::get`].
    pub fn get(&self, path: &str) -> Result<TestResponse, TestError> {
        self.request(path).get()
    }

    pub(super) const fn limit(&self) -> Duration {
        self.hang_limit
    }

    /// Serves a new connection. Returns the client's end, and a signal that the server has finished
    /// with it.
    pub(super) fn open(&self) -> Result<(Pipe, Arc<Signal>), TestError> {
        let (client_end, server_end) = Pipe::pair(self.pipe_capacity);
        let served = Arc::new(Signal::default());
        let gives = GivesOnDrop(Arc::clone(&served));
        let mut cut = self.cut.wait();
        let serving = self.handle().serve_stream(server_end, Peer::Stream);
        let serve = move || {
            let _gives = gives; // dropped after the future
            let mut serving = pin!(serving);
            wait(Duration::MAX, |cx| match Pin::new(&mut cut).poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => serving.as_mut().poll(cx),
            });
        };
        let thread = thread::Builder::new()
            .name("clws-test-client".to_owned())
            .spawn(serve)
            .map_err(TestError::Thread)?;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|(_, thread)| !thread.is_finished());
        threads.push((Arc::clone(&served), thread));
        Ok((client_end, served))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.handle().stop();
        self.cut.give();
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (served, thread) in threads.drain(..) {
            let mut served = served.wait();
            match wait(self.hang_limit, |cx| Pin::new(&mut served).poll(cx)) {
                // A panic of the server was logged, and ended the client's connection.
                Some(()) => drop(thread.join()),
                None => log(|| tracing::error!("a handler has not returned: its thread is left behind")),
            }
        }
    }
}
