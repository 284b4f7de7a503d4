use std::any::Any;
pub(crate) mod decision;
pub(crate) mod registry;

use std::fmt;
use std::io;
use std::sync::Arc;

use clws_handshake::{Headers, Reject, RequestHead, Version};
#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;
use clws_proto::{CloseCode, Payload, ProtocolError, Text};

use crate::client::Client;
use crate::config::address::Peer;
use crate::guard::{ApplicationValue, DebugOn};
use crate::resource::decision::Pending;

/// What stands behind a path: CLWS's `ws-resource`, with its handlers called inline on the shard.
///
/// Each method is called on the thread that read the client's octets, in the order they came in; clients of
/// different shards call it at the same time, hence `&self`. A handler that blocks holds up every client of its
/// shard; one that blocks until something is written to a client of that shard, or comes from there, waits for
/// ever. What it sends to the client at hand or to others goes out when it has returned, several messages in one
/// write.
///
/// A panic in a handler closes that client with 1011 and is logged; nobody else notices.
///
/// ```
/// use clws_server::{Client, Payload, Resource, Text};
///
/// /// Sends each message back.
/// struct Echo;
///
/// impl Resource for Echo {
///     fn text(&self, client: &Client, text: Text<'_>) {
///         // It fails only if the client is gone: while it does not read its answers, its messages wait.
///         let _ = client.send_text(&text);
///     }
///
///     fn binary(&self, client: &Client, payload: Payload<'_>) {
///         let _ = client.send_binary(&payload);
///     }
/// }
/// ```
#[expect(unused_variables, reason = "the names are for the documentation")]
pub trait Resource: Send + Sync + 'static {
    /// Decides on a client whose handshake is valid and whose origin is admitted: `resource-accept-connection`.
    ///
    /// The default takes everybody, with no subprotocol.
    ///
    /// # Errors
    ///
    /// The answer to send instead: any HTTP status, `Reject::forbidden(..)` for instance.
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        Ok(Accept::new())
    }

    /// A client is there and can be sent to: `resource-client-connected`.
    ///
    /// # Errors
    ///
    /// [`Close`] closes the connection again; no other handler is called for this client. (A resource around another one
    /// does well to refuse before it calls the other's `connected`. A [`ResourceListener`](crate::ResourceListener), a mailbox or an async
    /// handler that was told of the client is told of its end too.)
    fn connected(&self, client: &Client) -> Result<(), Close> {
        Ok(())
    }

    /// A text message came: `resource-received-text`. The default closes with 1003.
    fn text(&self, client: &Client, text: Text<'_>) {
        client.close(CloseCode::UNSUPPORTED, "this resource takes no text");
    }

    /// A binary message came: `resource-received-binary`. The default closes with 1003. Never in draft 0 and
    /// hixie-75.
    fn binary(&self, client: &Client, payload: Payload<'_>) {
        client.close(CloseCode::UNSUPPORTED, "this resource takes no binary messages");
    }

    /// A pong came: `resource-received-pong`. Pings are answered by the server itself.
    fn pong(&self, client: &Client, payload: Payload<'_>) {}

    /// A client that was sent more than it had read, so that a send said
    /// [`Sent::AboveHighWater`](crate::Sent::AboveHighWater), has read: no more than half of
    /// [`write_high_water`](crate::Config#structfield.write_high_water) waits for it now. A good moment to send it more.
    fn drained(&self, client: &Client) {}

    /// The client is gone or going: `resource-client-disconnected`. Called once for each client that was
    /// [`connected`](Self::connected), and the last call for it; nothing can be sent to it any more, and it is in no
    /// [`Group`](crate::Group) any more, so that a group can be told of it here.
    fn disconnected(&self, client: &Client, end: &Disconnect) {}
}

/// A resource that the caller keeps a share of.
impl<R: Resource + ?Sized> Resource for Arc<R> {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        (**self).accept(opening)
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        (**self).connected(client)
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        (**self).text(client, text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        (**self).binary(client, payload);
    }

    fn pong(&self, client: &Client, payload: Payload<'_>) {
        (**self).pong(client, payload);
    }

    fn drained(&self, client: &Client) {
        (**self).drained(client);
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        (**self).disconnected(client, end);
    }
}

/// A valid handshake, to be [accepted](Resource::accept) or not.
#[derive(Clone, Debug)]
pub struct Opening {
    pub(crate) head: RequestHead,
    pub(crate) version: Version,
    pub(crate) peer: Peer,
    /// The panics that end the process.
    pub(crate) debug: DebugOn,
}

impl Opening {
    /// The path, percent-encoding untouched: CLWS's resource name.
    #[must_use]
    pub fn resource_name(&self) -> &str {
        self.head.path()
    }

    /// What follows the `?`, if there is one.
    #[must_use]
    pub fn query_string(&self) -> Option<&str> {
        self.head.query()
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        self.head.headers()
    }

    /// The origin, from the header that the client's draft puts it in.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.head.origin()
    }

    /// The host that the client asked for, with its port if there was one. (The client's own address is its
    /// [`peer`](Self::peer).)
    #[must_use]
    pub fn host(&self) -> &str {
        self.head.host()
    }

    /// The value of a cookie that the client sent.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.head.headers().cookie(name)
    }

    /// The subprotocols that the client offers, its favourite first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.head.subprotocols(self.version)
    }

    /// The version that the client speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The client's address.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }
}

/// The answer to a client that is taken.
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
    pub(crate) pending: Option<Arc<Pending>>,
    /// `None`: as the server's configuration says.
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<Option<DeflateConfig>>,
    /// The client gets a place for something of the resource adaptor's own.
    pub(crate) has_adapter_data: bool,
}

impl Accept {
    /// The plain answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses one of the [offered](Opening::subprotocols) subprotocols. One that was not offered is never sent: the
    /// client gets 500 and the fault is logged.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<Box<str>>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Adds a header to the answer, `Set-Cookie` for instance. One that cannot be sent ([`HeaderError`](crate::HeaderError)) is
    /// never sent: the client gets 500 and the fault is logged.
    #[must_use]
    pub fn header(mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Gives the client data of the application's own, the user it belongs to for instance: see
    /// [`Client::data`](crate::Client::data). A second call replaces the first's.
    #[must_use]
    pub fn data(mut self, data: impl Any + Send + Sync) -> Self {
        self.data = Some(ApplicationValue::new(Box::new(data), DebugOn::default()));
        self
    }

    /// It has come to a server, which is told where its data panics.
    pub(crate) fn set_debug(&mut self, debug: DebugOn) {
        if let Some(data) = &mut self.data {
            data.set_debug(debug);
        }
    }

    /// Compresses messages of this client in its own way, if it offers permessage-deflate, or with `None` not at all;
    /// otherwise the server's [`deflate`](crate::Config#structfield.deflate) counts.
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

    /// Draft 0 and hixie-75: says that the client came through TLS, so that the location it is answered is a `wss://` one.
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

    /// Draft 0 and hixie-75: answers another location than the one asked for, for a server behind a proxy. A text that is not
    /// a `ws://` or `wss://` URL is never sent: the client gets 500 and the fault is logged.
    #[must_use]
    pub fn hixie_location(mut self, url: impl Into<Box<str>>) -> Self {
        self.location = Some(url.into());
        self
    }
}

/// Closes a client right after it connected: CLWS's `client-connection-rejected`.
#[derive(Clone, Debug)]
pub struct Close {
    pub(crate) code: CloseCode,
    pub(crate) reason: Box<str>,
}

impl Close {
    /// With that code and reason, which are sent as [`Client::close`] sends them.
    #[must_use]
    pub fn new(code: CloseCode, reason: impl Into<Box<str>>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl Default for Close {
    /// With 1008, policy.
    fn default() -> Self {
        Self::new(CloseCode::POLICY, "")
    }
}

/// How a connection ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Disconnect {
    /// The code in the client's close frame, [`NO_STATUS`](CloseCode::NO_STATUS) (1005) where it had none, or
    /// [`ABNORMAL`](CloseCode::ABNORMAL) (1006) where no close frame came.
    pub code: CloseCode,
    /// The reason in the client's close frame.
    pub reason: String,
    /// What ended it.
    pub cause: DisconnectCause,
    /// Data messages that the server had read from the client and did not deliver. They are lost to the application: it
    /// had closed the client itself, a deadline passed while it took nothing, or a handler panicked. 0 whenever the client
    /// ended the connection and the application took all of its messages.
    pub undelivered: u64,
}

impl Disconnect {
    /// Whether the closing handshake was done.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        matches!(self.cause, DisconnectCause::Closed)
    }

    /// One that did not happen, for an application's tests of its own handlers.
    #[must_use]
    pub fn new(code: CloseCode, reason: impl Into<String>, cause: DisconnectCause) -> Self {
        Self { code, reason: reason.into(), cause, undelivered: 0 }
    }

    pub(crate) const fn abnormal(cause: DisconnectCause) -> Self {
        Self { code: CloseCode::ABNORMAL, reason: String::new(), cause, undelivered: 0 }
    }
}

/// Its code, its reason if there is one, and what ended it: `1001 going away: closed`, `1006: vanished`.
impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blank = if self.reason.is_empty() { "" } else { " " };
        write!(f, "{}{blank}{}: {}", self.code, self.reason, self.cause)?;
        match self.undelivered {
            0 => Ok(()),
            1 => f.write_str(", 1 message undelivered"),
            many => write!(f, ", {many} messages undelivered"),
        }
    }
}

/// What ended a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DisconnectCause {
    /// The closing handshake, whoever began it. Draft 0's clients may end the TCP connection in place of it, between two
    /// messages, and hixie-75 has nothing else.
    Closed,
    /// The client ended the TCP connection without a close frame.
    Vanished,
    /// The client broke the protocol and was told so.
    Protocol(ProtocolError),
    /// The connection failed.
    Io(Arc<io::Error>),
    /// The client did not answer our close frame in time; in hixie-75, the end of our side of the connection.
    CloseTimeout,
    /// The client took nothing of what was queued for it for too long.
    WriteTimeout,
    /// [`Client::abort`] was called.
    Aborted,
    /// A handler panicked.
    Panic,
    /// Too much memory was held for all clients, and most of it for this one: see
    /// [`max_buffered`](crate::Config#structfield.max_buffered).
    Budget,
    /// The server stopped before the client had answered, or the future that served its stream was dropped.
    Stopped,
}

impl fmt::Display for DisconnectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Vanished => f.write_str("vanished"),
            Self::Protocol(error) => write!(f, "broke the protocol: {error}"),
            Self::Io(error) => write!(f, "failed: {error}"),
            Self::CloseTimeout => f.write_str("did not answer a close frame"),
            Self::WriteTimeout => f.write_str("did not read what was sent"),
            Self::Aborted => f.write_str("aborted"),
            Self::Panic => f.write_str("a handler panicked"),
            Self::Budget => f.write_str("held too much memory"),
            Self::Stopped => f.write_str("the server stopped"),
        }
    }
}
