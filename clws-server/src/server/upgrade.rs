//! Clients that come through another HTTP server, such as axum or hyper.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::sync::Arc;

use clws_handshake::{Accepted, HeadWriter, Reject};
use futures::FutureExt;
use futures::future::{BoxFuture, select};
use futures::io::{AsyncRead, AsyncWrite};
use http::header::{CONNECTION, COOKIE, HOST, HeaderName, HeaderValue};
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Version};

use crate::config::address::Peer;
use crate::connection::upgrade::Upgrade as UpgradeHandshake;
use crate::driver::state::DriverState;
use crate::driver::stream::upgrade::{Waiting, decide, serve};
use crate::guard::ApplicationValue;
use crate::lock::{Lock, rank};
#[cfg(feature = "tokio")]
use crate::runtime::tokio as on_tokio;
use crate::server::handle::ServerHandle;
use crate::signal::Signal;
use crate::time::{deadline_after, now};

/// A request of another HTTP server: see [`ServerHandle::upgrade`]. Await it for the response.
#[must_use = "a request has no effect until it is awaited"]
pub struct UpgradeRequest {
    state: Arc<DriverState>,
    head: Result<Vec<u8>, Reject>,
    version: Version,
    is_connect: bool,
    extensions: Extensions,
    peer: Peer,
}

/// A client that was accepted through another HTTP server, and waits for its stream.
///
/// Call [`serve`](Self::serve), or `serve_tokio` with the feature `tokio`, when the HTTP server has
/// sent the response and gives its stream away. The client counts toward
/// [`max_clients`](crate::Config#structfield.max_clients) meanwhile. If the stream does not come
/// within [`handshake_timeout`](crate::Config#structfield.handshake_timeout), or the `Upgrade` is
/// dropped, the client is given up, and its resource never hears of it. A server without a
/// [runtime](crate::runtime) does not limit the time.
#[must_use = "a client is served by `serve`"]
pub struct Upgrade(Arc<Place>);

/// The place of a client whose stream has not come.
struct Place {
    state: Arc<DriverState>,
    waiting: Lock<Option<Waiting>, { rank::UPGRADE }>,
    /// Given when the stream has come, or when the client is given up.
    is_over: Arc<Signal>,
}

impl ServerHandle {
    /// Accepts or refuses a client that comes through another HTTP server, such as axum or hyper.
    ///
    /// Await the result. `Ok` is the response to send, and an [`Upgrade`] that serves the client
    /// once the HTTP server gives its stream away. `Err` is the response to a client that is
    /// refused, with a text that names the reason. It has the same status as on a port of this
    /// server, for instance:
    ///
    /// | status | reason |
    /// |---|---|
    /// | 400 | the handshake is malformed |
    /// | 403 | the origin is not admitted |
    /// | 404 | no resource has the path |
    /// | 426 | the request asks for no WebSocket, or for an unsupported version; `Sec-WebSocket-Version` lists the supported versions |
    /// | 429 | the address has [too many clients](crate::Config#structfield.max_clients_per_ip) |
    /// | 503 | the server is full, stops or drains; `Retry-After` tells when to try again |
    /// | other | the status that the resource's [`accept`](crate::Resource::accept) returns; 500 if it panics |
    ///
    /// All rules of the server and of the resource apply, as on its own ports: origins,
    /// subprotocols, compression, limits, decisions that come [later](crate::Accept::later),
    /// statistics, stop and drain. The whole head must fit into
    /// [`max_header_size`](crate::Config#structfield.max_header_size).
    ///
    /// The resource is found by the path of the request. A nested router of axum removes the prefix
    /// from that path. [`UpgradeRequest::peer`] sets the client's address, and
    /// [`Opening::extensions`](crate::Opening::extensions) shows the extensions of the request to
    /// the resource.
    ///
    /// RFC 6455 and the drafts 7 and 8 are supported over HTTP/1.1. Draft 0 and hixie-75 are refused
    /// with 426: they need bytes that an HTTP server does not pass on. A CONNECT of HTTP/2 or HTTP/3
    /// is an extended CONNECT (RFC 8441, RFC 9220): the response is 200. The HTTP server must enable
    /// that protocol, for instance with `enable_connect_protocol` of hyper. It passes on only a
    /// CONNECT whose `:protocol` is `websocket`. A CONNECT for a tunnel is refused with 400.
    ///
    /// The future can be dropped at any time, which gives the client up. It runs on any executor and
    /// does not need [`Server::run`](crate::Server::run). The chapter
    /// [axum and hyper](crate::guide::axum_and_hyper) has complete programs.
    ///
    /// ```
    /// use clws_server::ServerHandle;
    /// use http::{Request, Response};
    ///
    /// /// A handler of a router. `on_upgrade` gives the stream of the request, once it is there.
    /// async fn handle<B, S>(
    ///     clws: &ServerHandle,
    ///     request: Request<B>,
    ///     on_upgrade: impl Future<Output = std::io::Result<S>> + Send + 'static,
    /// ) -> Response<String>
    /// where
    ///     S: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
    /// {
    ///     match clws.upgrade(&request).await {
    ///         Ok((response, upgrade)) => {
    ///             tokio::spawn(async move {
    ///                 if let Ok(stream) = on_upgrade.await {
    ///                     upgrade.serve(stream).await;
    ///                 }
    ///             });
    ///             response.map(|()| String::new())
    ///         }
    ///         Err(refusal) => refusal,
    ///     }
    /// }
    /// ```
    pub fn upgrade<B>(&self, request: &Request<B>) -> UpgradeRequest {
        let state = Arc::clone(self.state());
        let is_connect = request.method() == Method::CONNECT && request.version() >= Version::HTTP_2;
        UpgradeRequest {
            head: head(request, is_connect, &state),
            version: request.version(),
            is_connect,
            extensions: request.extensions().clone(),
            peer: Peer::Stream,
            state,
        }
    }
}

/// Writes the head of the request, so that the same rules apply as to received bytes.
fn head<B>(request: &Request<B>, is_connect: bool, state: &DriverState) -> Result<Vec<u8>, Reject> {
    let limits = state.config().handshake_limits();
    let uri = request.uri();
    // RFC 8441 §4: "On requests that contain the :protocol pseudo-header field, the :scheme and
    // :path pseudo-header fields of the target URI MUST also be included." Other CONNECTs have
    // neither.
    if is_connect && uri.scheme().is_none() {
        return Err(Reject::bad_request("this CONNECT asks for a tunnel, not for a WebSocket"));
    }
    // RFC 9113 §8.3.1: `:authority` takes the place of `Host`.
    let authority = uri.authority().filter(|_| request.version() >= Version::HTTP_2);
    let target = match authority {
        Some(_) => uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        None => uri.to_string(),
    };
    let method = if is_connect { "GET" } else { request.method().as_str() };
    let mut head = match request.version() {
        Version::HTTP_09 | Version::HTTP_10 => HeadWriter::http_1_0(method, &target, &limits)?,
        _ => HeadWriter::new(method, &target, &limits)?,
    };
    if let Some(authority) = authority {
        head.header("Host", authority.as_str().as_bytes())?;
    }
    // RFC 9113 §8.2.3: a client may split its cookies into several lines, which "MUST be
    // concatenated into a single octet string using the two-octet delimiter of 0x3b, 0x20 ("; ")"
    // before they reach an application that does not know HTTP/2.
    let joins_cookies = request.version() >= Version::HTTP_2;
    if joins_cookies {
        let cookies: Vec<_> = request.headers().get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if !cookies.is_empty() {
            head.header("cookie", &cookies.join(&b"; "[..]))?;
        }
    }
    for (name, value) in request.headers() {
        let is_written = (authority.is_some() && name == HOST) || (joins_cookies && name == COOKIE);
        if !is_written {
            head.header(name.as_str(), value.as_bytes())?;
        }
    }
    Ok(head.finish())
}

impl UpgradeRequest {
    /// Sets the client's address, for limits per address, the log and the resource. The default is
    /// [`Peer::Stream`].
    pub fn peer(mut self, peer: impl Into<Peer>) -> Self {
        self.peer = peer.into();
        self
    }

    /// Adds data for the resource to the [extensions](crate::Opening::extensions). It replaces
    /// data of the same type.
    pub fn extension(mut self, data: impl Clone + Send + Sync + 'static) -> Self {
        self.extensions.insert(data);
        self
    }
}

impl IntoFuture for UpgradeRequest {
    type Output = Result<(Response<()>, Upgrade), Response<String>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { state, head, version, is_connect, extensions, peer } = self;
        let extensions = Arc::new(ApplicationValue::new(extensions, state.config().debug_on()));
        let upgrade = UpgradeHandshake::new(is_connect, extensions);
        let decided = async move {
            match decide(Arc::clone(&state), head, upgrade, peer).await {
                Ok((accepted, waiting)) => Ok((response(&accepted), Upgrade::new(state, waiting))),
                Err(reject) => Err(refusal(&reject, version)),
            }
        };
        decided.boxed()
    }
}

/// The response that accepts a client.
fn response(accepted: &Accepted) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(accepted.status).unwrap_or_default();
    for (name, value) in accepted.headers().iter_bytes() {
        append(response.headers_mut(), name, value);
    }
    response
}

/// The response to a client that is refused.
fn refusal(reject: &Reject, version: Version) -> Response<String> {
    let mut response = Response::new(reject.body().to_owned());
    *response.status_mut() = StatusCode::from_u16(reject.status()).unwrap_or_default();
    // RFC 9113 §8.2.2: "An endpoint MUST NOT generate an HTTP/2 message containing
    // connection-specific header fields", and `Upgrade` is one.
    let has_upgrade = version < Version::HTTP_2;
    for (name, value) in reject.to_http().headers() {
        if has_upgrade || !name.eq_ignore_ascii_case("Upgrade") {
            append(response.headers_mut(), name, value.as_bytes());
        }
    }
    // RFC 9110 §7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option".
    if has_upgrade && response.status() == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    response
}

/// Adds a header that clws-handshake has checked.
fn append(headers: &mut HeaderMap, name: &str, value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
        headers.append(name, value);
    }
}

impl Upgrade {
    fn new(state: Arc<DriverState>, waiting: Waiting) -> Self {
        let place = Arc::new(Place { state, waiting: Lock::new(Some(waiting)), is_over: Arc::default() });
        place.limit_time();
        Self(place)
    }

    /// Serves the client over the stream of its request. The stream carries frames: the HTTP server
    /// has sent the response.
    ///
    /// The future ends with the connection, and runs on any executor. It ends at once if the time
    /// for the stream is over. If it is dropped, the connection ends.
    pub fn serve<S>(self, stream: S) -> impl Future<Output = ()> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        serve(&self.0.state, self.0.take(), stream)
    }
}

/// Streams with the traits of tokio.
#[cfg(feature = "tokio")]
impl Upgrade {
    /// Serves the client over a stream with the traits of tokio: see [`serve`](Self::serve).
    ///
    /// The stream of hyper has hyper's traits. `hyper_util::rt::TokioIo` gives it the traits of tokio.
    pub fn serve_tokio<S>(self, stream: S) -> impl Future<Output = ()> + use<S>
    where
        S: on_tokio::TokioRead + on_tokio::TokioWrite + Unpin,
    {
        self.serve(on_tokio::FromTokio(stream))
    }
}

impl Place {
    /// Gives the client up when its time is over.
    fn limit_time(self: &Arc<Self>) {
        let deadline = deadline_after(now(), self.state.config().handshake_timeout);
        let (place, is_over) = (Arc::downgrade(self), self.is_over.wait());
        let timer = self.state.runtime().timer(deadline);
        // Without a runtime, the client waits for its stream or for the drop of its `Upgrade`.
        let _ = self.state.runtime().spawn(async move {
            select(is_over, timer).await;
            if let Some(place) = place.upgrade() {
                drop(place.take());
            }
        });
    }

    /// Takes the client. It is dropped outside of the lock.
    fn take(&self) -> Option<Waiting> {
        let waiting = self.waiting.lock().take();
        self.is_over.give();
        waiting
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgrade")
    }
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest").field("peer", &self.peer).finish_non_exhaustive()
    }
}
