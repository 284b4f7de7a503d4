//! A valid handshake, which a resource decides on.

use std::net::IpAddr;
#[cfg(any(feature = "__tls", feature = "http"))]
use std::sync::Arc;
#[cfg(feature = "http")]
use std::sync::LazyLock;

use clws_handshake::{Headers, RequestHead, Version};
use tracing::field::display;
use tracing::{Span, debug_span};

use crate::config::address::{Peer, Remote};
#[cfg(feature = "http")]
use crate::guard::ApplicationValue;
use crate::guard::{DebugOn, Scope};
#[cfg(feature = "__tls")]
use crate::net::tls::info::TlsInfo;

/// A valid handshake, to be [accepted](crate::Resource::accept) or refused.
#[derive(Clone, Debug)]
pub struct Opening {
    pub(crate) head: RequestHead,
    pub(crate) version: Version,
    pub(crate) peer: Peer,
    #[cfg(feature = "__tls")]
    pub(crate) tls: Option<Arc<TlsInfo>>,
    /// The client, if a trusted proxy reports it.
    pub(crate) remote: Option<Remote>,
    /// The panics that end the process.
    pub(crate) debug: DebugOn,
    /// Data that came with the request of another HTTP server.
    #[cfg(feature = "http")]
    pub(crate) extensions: Option<Arc<ApplicationValue<http::Extensions>>>,
}

impl Opening {
    /// The path, with its percent-encoding as it came: CLWS's resource name.
    #[must_use]
    pub fn resource_name(&self) -> &str {
        self.head.path()
    }

    /// The part of the requested URL after the `?`, if there is one.
    #[must_use]
    pub fn query_string(&self) -> Option<&str> {
        self.head.query()
    }

    /// The headers of the request.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        self.head.headers()
    }

    /// The origin, from the header that the client's version uses for it.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.head.origin()
    }

    /// The requested host, with its port if there was one. (The client's own address is its
    /// [`remote_ip`](Self::remote_ip).)
    #[must_use]
    pub fn host(&self) -> &str {
        self.head.host()
    }

    /// The value of a cookie in the request.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.head.headers().cookie(name)
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.head.subprotocols(self.version)
    }

    /// The version that the client speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The other end of the connection: the client, or the proxy through which it came.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The result of the TLS handshake. `None` for a connection without
    /// [TLS](crate::ServerBuilder::tls), and for a connection whose TLS a proxy terminates.
    ///
    /// A [`Client`](crate::Client) does not have it. Keep what you need with
    /// [`Accept::data`](crate::Accept::data):
    ///
    /// ```
    /// use clws_server::{Accept, Client, Opening, Reject, Resource, TlsInfo};
    ///
    /// struct Devices;
    ///
    /// impl Resource for Devices {
    ///     fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
    ///         let certificate = opening.tls().and_then(|tls| tls.client_certificates().next());
    ///         let certificate = certificate.ok_or_else(|| Reject::forbidden("no certificate"))?;
    ///         Ok(Accept::new().data(certificate.to_vec()))
    ///     }
    /// }
    /// ```
    #[cfg(feature = "__tls")]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "tls", feature = "tls-ring"))))]
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_deref()
    }

    /// The client's IP address. `None` if it is unknown, or if the client did not come over TCP.
    ///
    /// A [trusted proxy](crate::Config#structfield.trusted_proxies) reports it. For other
    /// connections it is the address of the [`peer`](Self::peer).
    #[must_use]
    pub fn remote_ip(&self) -> Option<IpAddr> {
        match self.remote {
            Some(remote) => remote.ip,
            None => self.peer.tcp().map(|address| address.ip()),
        }
    }

    /// Whether the client uses TLS: to this server, or to a trusted proxy that
    /// [says so](crate::Config#structfield.forwarded).
    ///
    /// The TLS of another HTTP server or of a [stream](crate::ServerHandle::serve_stream) is not
    /// known to this server and does not count.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        #[cfg(feature = "__tls")]
        let has_tls = self.tls.is_some();
        #[cfg(not(feature = "__tls"))]
        let has_tls = false;
        has_tls || self.remote.is_some_and(|remote| remote.is_secure)
    }

    /// The extensions of the request that [`ServerHandle::upgrade`](crate::ServerHandle::upgrade)
    /// was given: data of the router and its layers, for instance the user or the TLS identity.
    /// Empty for a client of the server's own ports.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn extensions(&self) -> &http::Extensions {
        static NONE: LazyLock<http::Extensions> = LazyLock::new(http::Extensions::new);
        self.extensions.as_ref().and_then(|extensions| extensions.get()).unwrap_or(&NONE)
    }
}

impl Scope for Opening {
    fn resource(&self) -> Option<String> {
        Some(self.resource_name().to_owned())
    }

    fn peer(&self) -> Option<String> {
        Some(self.peer.to_string())
    }

    fn client(&self) -> Option<String> {
        self.remote.map(|remote| remote.to_string())
    }

    fn version(&self) -> Option<u8> {
        Some(Self::version(self).number())
    }

    fn span(&self) -> Span {
        let (resource, version) = (self.resource_name(), self.version.number());
        let (peer, client) = (display(self.peer), self.remote.map(display));
        debug_span!(target: "clws_server::client", "client", peer, client, resource, version)
    }
}
