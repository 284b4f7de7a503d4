//! The methods of a client that return its properties.

use std::any::Any;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use clws_handshake::{Headers, Version};
#[cfg(feature = "deflate")]
use clws_proto::DeflateParams;

use crate::client::Client;
use crate::client::id::ClientId;
use crate::config::address::Peer;

impl Client {
    /// The number that identifies this client among all clients of the process, connected or
    /// disconnected.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.0.id
    }

    /// The other end of the connection: the client, or the proxy through which it came.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.0.full_peer()
    }

    /// The client's IP address: `client-host`. `None` if it is unknown, or if the client did not
    /// come over TCP.
    ///
    /// A [trusted proxy](crate::Config#structfield.trusted_proxies) reports it. For other
    /// connections it is the address of the [`peer`](Self::peer).
    #[must_use]
    pub fn remote_ip(&self) -> Option<IpAddr> {
        match self.remote() {
            Some(remote) => remote.ip,
            None => self.peer().tcp().map(|address| address.ip()),
        }
    }

    /// The client's port: `client-port`. `None` if it is unknown, or if the client did not come over
    /// TCP. Many proxies do not report it.
    #[must_use]
    pub fn remote_port(&self) -> Option<u16> {
        match self.remote() {
            Some(remote) => remote.port,
            None => self.peer().tcp().map(|address| address.port()),
        }
    }

    /// The requested path: `client-resource-name`.
    #[must_use]
    pub fn resource_name(&self) -> &str {
        self.0.head.path()
    }

    /// The part of the requested URL after the `?`: `client-query-string`.
    #[must_use]
    pub fn query_string(&self) -> Option<&str> {
        self.0.head.query()
    }

    /// The version that the client speaks: `client-websocket-version`. As a
    /// [number](Version::number) 0, 7, 8 or 13, and 75 for hixie-75.
    #[must_use]
    pub fn websocket_version(&self) -> Version {
        self.0.version
    }

    /// The headers of the request: `client-connection-headers`. Those that fit into
    /// [`max_kept_headers`](crate::Config#structfield.max_kept_headers); none if
    /// [`keep_headers`](crate::Config#structfield.keep_headers) is off.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        self.0.head.headers()
    }

    /// Whether the request had headers that [`headers`](Self::headers) lacks.
    #[must_use]
    pub fn headers_truncated(&self) -> bool {
        self.0.head.is_truncated()
    }

    /// The origin of the page that connected, if the request named one. `None` if
    /// [`keep_headers`](crate::Config#structfield.keep_headers) is off.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.0.head.origin()
    }

    /// The requested host, with its port if there was one.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.head.host()
    }

    /// The data that [`Accept::data`](crate::Accept::data) gave the client, if it has that type. A
    /// resource whose `accept` gives it to every client can rely on it.
    ///
    /// ```
    /// use clws_server::{Accept, Client, Opening, Reject, Resource, Text};
    ///
    /// struct User(String);
    /// struct Greeter;
    ///
    /// impl Resource for Greeter {
    ///     fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
    ///         let name = opening.query_string().ok_or_else(|| Reject::forbidden("who are you?"))?;
    ///         Ok(Accept::new().data(User(name.to_owned())))
    ///     }
    ///
    ///     fn text(&self, client: &Client, _: Text<'_>) {
    ///         if let Some(User(name)) = client.data() {
    ///             let _ = client.send(format!("hello, {name}"));
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn data<T: Any>(&self) -> Option<&T> {
        self.0.extras.as_ref()?.data.as_ref()?.downcast_ref()
    }

    /// The value of a cookie in the request. `None` if the cookies do not fit into
    /// [`max_kept_headers`](crate::Config#structfield.max_kept_headers): see
    /// [`headers`](Self::headers). [`Opening::cookie`](crate::Opening::cookie) has every cookie.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.headers().cookie(name)
    }

    /// The time at which the opening handshake was completed.
    #[must_use]
    pub fn connected_at(&self) -> Instant {
        let micros = u64::from(self.0.connected_upper) << 32 | u64::from(self.0.connected);
        self.0.context.shared.started + Duration::from_micros(micros)
    }

    /// The chosen subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.extras.as_ref().and_then(|extras| extras.subprotocol.as_deref())
    }

    /// The negotiated parameters of permessage-deflate; `None` if messages are not compressed.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.negotiated().map(|negotiated| negotiated.params)
    }

    /// The bytes of memory that context takeover costs at this moment: the ends of earlier
    /// messages, to which the next compressed ones refer. 0 before the first compressed message.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn context_size(&self) -> usize {
        self.negotiated().map_or(0, |negotiated| negotiated.received() + self.outbox().context_size())
    }
}
