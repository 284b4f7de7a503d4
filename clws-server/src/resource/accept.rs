//! The answer to a client that is accepted.

use std::any::Any;
use std::sync::Arc;

use clws_handshake::Reject;
#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;

use crate::guard::{ApplicationValue, DebugOn};
use crate::resource::pending::{Answer, DecisionFuture, Pending};

/// The answer to a client that is accepted.
///
/// ```
/// use clws_server::Accept;
///
/// let accept = Accept::new().subprotocol("chat").header("Set-Cookie", "id=1");
/// # let _ = accept;
/// ```
#[derive(Debug, Default)]
pub struct Accept {
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) headers: Vec<(Box<str>, Box<str>)>,
    pub(crate) origin: Option<Box<str>>,
    pub(crate) location: Option<Box<str>>,
    pub(crate) secure: bool,
    pub(crate) data: Option<ApplicationValue<Box<dyn Any + Send + Sync>>>,
    /// Set if the decision comes later.
    pub(crate) pending: Option<Arc<Pending<Result<Self, Reject>>>>,
    /// Decides, once it is spawned.
    pub(crate) task: Option<Box<dyn DecisionFuture>>,
    /// `None`: the server's configuration decides.
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<Option<DeflateConfig>>,
    /// Whether the connection is recorded.
    #[cfg(feature = "capture")]
    pub(crate) capture: bool,
    /// Whether the client needs a place for the data of a resource adapter.
    pub(crate) has_adapter_data: bool,
}

impl Accept {
    /// An answer without any additions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses one of the [offered](crate::Opening::subprotocols) subprotocols. A subprotocol that
    /// was not offered is never sent: the client gets 500 and the error is logged.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<Box<str>>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Adds a header to the answer, for instance `Set-Cookie`. An invalid header
    /// ([`HeaderError`](crate::HeaderError)) is never sent: the client gets 500 and the error is
    /// logged.
    #[must_use]
    pub fn header(mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Attaches data of the application to the client, for instance its user: see
    /// [`Client::data`](crate::Client::data). A second call replaces the first one's data.
    #[must_use]
    pub fn data(mut self, data: impl Any + Send + Sync) -> Self {
        self.data = Some(ApplicationValue::new(Box::new(data), DebugOn::default()));
        self
    }

    /// Sets the compression of this client's messages, if the client offers permessage-deflate.
    /// `None` means no compression. Without this call, the server's
    /// [`deflate`](crate::Config#structfield.deflate) decides.
    ///
    /// ```
    /// use clws_server::{Accept, DeflateConfig};
    ///
    /// let pictures = Accept::new().deflate(None); // they are compressed already
    /// let logs = Accept::new().deflate(DeflateConfig::default().level(6));
    /// # let _ = (pictures, logs);
    /// ```
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, config: impl Into<Option<DeflateConfig>>) -> Self {
        self.deflate = Some(config.into());
        self
    }

    /// Records the connection into a file, from its first byte on: see [`capture`](crate::capture).
    /// The file contains private data.
    ///
    /// It has no effect if the server does not record
    /// ([`ServerBuilder::capture`](crate::ServerBuilder::capture)), or if the limit on recordings is
    /// reached. [`Client::capture`](crate::Client::capture) records a connection that is open.
    #[cfg(feature = "capture")]
    #[must_use]
    pub const fn capture(mut self) -> Self {
        self.capture = true;
        self
    }

    /// Draft 0 and hixie-75: states that the client came through TLS, so that the answered location
    /// is a `wss://` URL. For a connection with TLS of this server, it always is.
    #[must_use]
    pub fn hixie_secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Draft 0 and hixie-75: answers another origin than the client's own.
    #[must_use]
    pub fn hixie_origin(mut self, origin: impl Into<Box<str>>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Draft 0 and hixie-75: answers another location than the requested one, for a server behind a
    /// proxy. A text that is not a `ws://` or `wss://` URL is never sent: the client gets 500 and
    /// the error is logged.
    #[must_use]
    pub fn hixie_location(mut self, url: impl Into<Box<str>>) -> Self {
        self.location = Some(url.into());
        self
    }

    /// Sets which panics in the drop of its data end the process. Called when the answer reaches a
    /// server.
    pub(crate) fn set_debug(&mut self, debug: DebugOn) {
        if let Some(data) = &mut self.data {
            data.set_debug(debug);
        }
        if let Some(task) = &mut self.task {
            task.set_debug(debug);
        }
    }
}

impl Answer for Result<Accept, Reject> {
    fn set_debug(&mut self, debug: DebugOn) {
        if let Ok(accept) = self {
            accept.set_debug(debug);
        }
    }
}
