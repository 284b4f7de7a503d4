//! The request of a test client.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use clws_handshake::client::{AnswerError, ClientRequest, Pending, RequestError};
use clws_handshake::{HandshakeLimits, Status, Version};
#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;
use clws_proto::{Connection, Limits};

use crate::config::address::Peer;
use crate::signal::Signal;
use crate::testing::client::{Opened, TestClient};
use crate::testing::error::{TestError, TestResponse, owned};
use crate::testing::host::{Host, UNFINISHED, finish};
use crate::testing::pipe::Pipe;
use crate::testing::wait::wait;

/// A masking key. Masking protects proxies that misread a client's data (RFC 6455 §10.3), and there
/// is no proxy in memory. A fixed key makes a failed test repeatable.
const MASKING_KEY: [u8; 4] = [0xA5, 0x5A, 0x0F, 0xF0];

/// A request to a [`TestServer`](crate::testing::TestServer): see
/// [`TestServer::request`](crate::testing::TestServer::request).
///
/// ```
/// use clws_server::testing::TestServer;
/// use clws_server::{Accept, Config, Opening, Origins, Reject, Resource};
///
/// struct Members;
///
/// impl Resource for Members {
///     fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
///         opening.cookie("session").ok_or_else(|| Reject::unauthorized("Bearer", "log in first"))?;
///         Ok(Accept::new().subprotocol("members.v1"))
///     }
/// }
///
/// let server = TestServer::new(Config::default())?;
/// server.resources().register("/members", Origins::exact(["https://example.com"]), Members)?;
/// let request = || server.request("/members").subprotocol("members.v1");
///
/// let page = || request().origin("https://example.com");
/// let client = page().header("Cookie", "session=1").connect()?;
/// assert_eq!(client.subprotocol(), Some("members.v1"));
/// assert_eq!(page().connect().unwrap_err().status(), Some(401));
/// assert_eq!(request().origin("https://evil.example").connect().unwrap_err().status(), Some(403));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request is sent by `connect`, `get` or `http`"]
pub struct TestRequest<'a> {
    server: &'a Host,
    path: String,
    host: String,
    peer: Peer,
    version: Version,
    origin: Option<String>,
    subprotocols: Vec<String>,
    headers: Vec<(String, String)>,
    #[cfg(feature = "deflate")]
    deflate: Option<DeflateConfig>,
}

impl<'a> TestRequest<'a> {
    pub(super) fn new(server: &'a Host, path: &str) -> Self {
        Self {
            server,
            path: path.to_owned(),
            host: "localhost".to_owned(),
            peer: Peer::Stream,
            version: Version::Rfc6455,
            origin: None,
            subprotocols: Vec::new(),
            headers: Vec::new(),
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    /// Sets the host of the URL, for instance `example.com:8080`. The default is `localhost`.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// Sets the address from which the client seems to come: [`Opening::peer`](crate::Opening::peer)
    /// and [`Client::peer`](crate::Client::peer). The default is [`Peer::Stream`].
    pub const fn peer(mut self, peer: Peer) -> Self {
        self.peer = peer;
        self
    }

    /// Sets the version of the client. The default is RFC 6455. Draft 0 and hixie-75 require an
    /// [origin](Self::origin), and the config of the server must enable them.
    pub const fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Sets the origin, as the browser does for a page. The default is none.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Offers a subprotocol. The order of the calls is the order of preference.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Adds a header line, for instance `Cookie`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Offers permessage-deflate. [`TestClient::deflate`] returns the agreed parameters.
    #[cfg(feature = "deflate")]
    pub const fn deflate(mut self, config: DeflateConfig) -> Self {
        self.deflate = Some(config);
        self
    }

    /// Connects. The handshake is complete when this returns, and the resource's
    /// [`accept`](crate::Resource::accept) has returned. After a refusal, the server has finished
    /// with the connection, and no longer counts it.
    ///
    /// # Errors
    ///
    /// [`TestError::Refused`] with the response of the server, [`TestError::Request`] for an invalid
    /// request, or [`TestError::Hang`].
    pub fn connect(&self) -> Result<TestClient, TestError> {
        let (request, mut pending) = self.build()?;
        let (mut stream, served) = self.server.open(self.peer)?;
        let limit = self.server.hang_limit;
        let mut exchange = Exchange { stream: &mut stream, request: &request, received: Vec::new(), limit };
        while !exchange.read()? {
            match pending.check(&exchange.received, &HandshakeLimits::default()) {
                Ok(Status::Partial) => {}
                Ok(Status::Complete(open)) => {
                    let limits = Limits::default()
                        .max_frame_size(usize::MAX)
                        .max_message_size(usize::MAX)
                        .max_fragments(u32::MAX);
                    let ws = Connection::client(self.version, limits, || MASKING_KEY);
                    #[cfg(feature = "deflate")]
                    let ws = match open.deflate {
                        Some(params) => {
                            ws.deflate(params, &clws_proto::CodecPool::new(&self.deflate.unwrap_or_default()))
                        }
                        None => ws,
                    };
                    let opened = Opened {
                        ws,
                        subprotocol: open.subprotocol.map(ToOwned::to_owned),
                        headers: owned(open.headers),
                        #[cfg(feature = "deflate")]
                        deflate: open.deflate,
                    };
                    let consumed = open.consumed;
                    let early = exchange.received.split_off(consumed);
                    return Ok(TestClient::new(opened, early, stream, served, limit));
                }
                Err(AnswerError::Refused { .. }) => {
                    exchange.read_all(&served)?;
                    let refusal = pending.refusal(&exchange.received).ok_or(TestError::NoResponse)?;
                    let response = TestResponse::new(refusal.status, refusal.headers, refusal.body);
                    return Err(TestError::Refused(response));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(TestError::NoResponse)
    }

    /// Sends a GET request that is not a handshake. See [`http`](Self::http).
    ///
    /// # Errors
    ///
    /// As [`http`](Self::http).
    pub fn get(&self) -> Result<TestResponse, TestError> {
        self.http("GET")
    }

    /// Sends a plain HTTP request, not a handshake, and returns the response. Only the method, the
    /// path, the host and the headers are sent. The method may be any, for instance `HEAD`.
    ///
    /// The server has finished with the connection when this returns, and no longer counts it.
    ///
    /// # Errors
    ///
    /// [`TestError::Request`] for an invalid request, [`TestError::Response`] for an invalid
    /// response, or [`TestError::Hang`].
    pub fn http(&self, method: &str) -> Result<TestResponse, TestError> {
        // This checks the path, the host and the headers. What only a handshake has is not sent.
        let mut plain = Self::new(self.server, &self.path).host(&self.host);
        plain.headers.clone_from(&self.headers);
        let (_, mut pending) = plain.build()?;
        let mut request = format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", self.path, self.host);
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("Connection: close\r\n\r\n");
        let (mut stream, served) = self.server.open(self.peer)?;
        let limit = self.server.hang_limit;
        let mut exchange =
            Exchange { stream: &mut stream, request: request.as_bytes(), received: Vec::new(), limit };
        exchange.read_all(&served)?;
        // The response to any other request than a handshake refuses the handshake.
        match pending.check(&exchange.received, &HandshakeLimits::default()) {
            Err(AnswerError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(TestError::NoResponse),
        }
        let refusal = pending.refusal(&exchange.received).ok_or(TestError::NoResponse)?;
        Ok(TestResponse::new(refusal.status, refusal.headers, refusal.body))
    }

    fn build(&self) -> Result<(Vec<u8>, Pending), TestError> {
        if !self.path.starts_with('/') {
            return Err(RequestError::Url.into()); // it would be a part of the host
        }
        if self.host.contains(['/', '?']) {
            return Err(RequestError::Url.into()); // a part of it would be the path
        }
        let url = format!("ws://{}{}", self.host, self.path);
        let mut request = ClientRequest::new(self.version, &url);
        if let Some(origin) = &self.origin {
            request = request.origin(origin);
        }
        for name in &self.subprotocols {
            request = request.subprotocol(name);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        #[cfg(feature = "deflate")]
        if let Some(config) = &self.deflate {
            request = request.deflate(config);
        }
        // The nonce proves that the response is no cached one. Nothing caches in memory.
        let mut seed = 1u8;
        let mut fixed = |bytes: &mut [u8]| {
            for byte in bytes {
                seed = seed.wrapping_mul(61).wrapping_add(13);
                *byte = seed;
            }
        };
        Ok(request.build(&mut fixed)?)
    }
}

/// A request that is being sent, and the response so far.
struct Exchange<'a> {
    stream: &'a mut Pipe,
    request: &'a [u8],
    received: Vec<u8>,
    limit: Duration,
}

impl Exchange<'_> {
    /// Reads the response to its end, and waits until the server has finished with the connection.
    fn read_all(&mut self, served: &Arc<Signal>) -> Result<(), TestError> {
        while !self.read()? {}
        if finish(self.stream, served, self.limit) {
            Ok(())
        } else {
            Err(TestError::Hang { waited_for: UNFINISHED, limit: self.limit })
        }
    }

    /// Sends what the server takes, and reads some of the response. Returns whether the server has
    /// ended its side.
    fn read(&mut self) -> Result<bool, TestError> {
        let mut buffer = [0; 4096];
        let read = wait(self.limit, |cx| {
            while !self.request.is_empty() {
                match self.stream.poll_write(cx, self.request) {
                    // The server has ended the connection, perhaps after a response.
                    Poll::Ready(Err(_) | Ok(0)) => self.request = &[],
                    Poll::Ready(Ok(count)) => self.request = self.request.get(count..).unwrap_or_default(),
                    Poll::Pending => break,
                }
            }
            self.stream.poll_read(cx, &mut buffer)
        });
        let waited_for = "the response of the server";
        let Some(read) = read else { return Err(TestError::Hang { waited_for, limit: self.limit }) };
        let count = read.unwrap_or(0); // a pipe does not fail
        self.received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(count == 0)
    }
}
