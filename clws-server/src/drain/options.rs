//! The options of a drain.

use std::time::Duration;

use clws_proto::CloseCode;

/// How [`ServerHandle::drain`](crate::ServerHandle::drain) ends a server.
///
/// ```
/// use std::time::Duration;
/// use clws_server::{CloseCode, Config, Drain, Server};
///
/// let server = Server::bind(Config::default().listen("127.0.0.1:0"))?;
/// let drain = Drain::new().code(CloseCode::SERVICE_RESTART).within(Duration::from_secs(20));
/// server.handle().drain(drain);
/// let report = futures::executor::block_on(server.run())?;
/// assert_eq!(report.to_string(), "0 clients closed, 0 cut, 0 lost, 0 messages not delivered");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drain {
    /// The code of the close frames: 1001 by default.
    ///
    /// [`SERVICE_RESTART`](CloseCode::SERVICE_RESTART) (1012) asks clients to connect again. The
    /// rules of [`Client::close`](crate::Client::close) apply: a version without the code gets the
    /// nearest one, and a code that must not be sent is left out with a warning.
    pub code: CloseCode,
    /// The reason in the close frames: none by default. It is truncated to 123 bytes.
    pub reason: Box<str>,
    /// The time for all of it: 30 seconds by default. Clients that are left are then cut.
    pub within: Duration,
    /// The time over which the closes are spread: 5 seconds by default. Clients that connect again
    /// at once then do not all come at the same moment.
    ///
    /// The last close comes early enough for an answer: see [`within`](Self::within) and
    /// [`close_timeout`](crate::Config#structfield.close_timeout).
    pub spread: Duration,
    /// Whether the port stays open until the last client has left: no by default.
    ///
    /// While it is open, handshakes get 503 with Retry-After. The
    /// [HTTP hook](crate::Resources::http) still answers other requests, so a health check can
    /// report that the server drains. Keep the port closed if another process takes it over.
    pub keep_port: bool,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            code: CloseCode::GOING_AWAY,
            reason: Box::default(),
            within: Duration::from_secs(30),
            spread: Duration::from_secs(5),
            keep_port: false,
        }
    }
}

impl Drain {
    /// The default options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the [code](Self#structfield.code) of the close frames.
    #[must_use]
    pub const fn code(mut self, code: CloseCode) -> Self {
        self.code = code;
        self
    }

    /// Sets the [reason](Self#structfield.reason) in the close frames.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Box<str>>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Sets the [time](Self#structfield.within) for all of it.
    #[must_use]
    pub const fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Sets the time over which the closes are [spread](Self#structfield.spread).
    #[must_use]
    pub const fn spread(mut self, spread: Duration) -> Self {
        self.spread = spread;
        self
    }

    /// Sets whether the [port stays open](Self#structfield.keep_port).
    #[must_use]
    pub const fn keep_port(mut self, keep_port: bool) -> Self {
        self.keep_port = keep_port;
        self
    }
}
