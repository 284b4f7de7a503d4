use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use clws_handshake::{Head, Headers, Version};
use clws_proto::{CloseCode, CloseFrame, Payload, SharedMessage, Text};

use crate::home::Home;
use crate::pool::{self, Pool};
use crate::registry::Entry;
use crate::resource::Accept;
use crate::server::Shared;
use crate::socket::Peer;

/// A connected client: a handle to send to it and to ask about it.
///
/// It is cheap to clone, can be sent anywhere and used from any thread; none of its methods waits for the network.
/// It stays valid when the client has gone: then sends say [`SendError::Closed`]. Two handles are equal if they are of
/// the same connection.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

/// There is one for each connection, idle or not: `sizes` in the tests bounds it.
struct Inner {
    outbox: Mutex<clws_proto::Sender>,
    home: Home,
    entry: Arc<Entry>,
    shared: Arc<Shared>,
    head: Head,
    rare: Option<Box<Rare>>,
    peer: ShortPeer,
    version: Version,
    state: AtomicU8,
}

/// What few connections have.
struct Rare {
    subprotocol: Option<Box<str>>,
    data: Option<Box<dyn Any + Send + Sync>>,
    /// Where it does not fit into a [`ShortPeer`].
    peer: Option<Peer>,
}

/// A [`Peer`] without a scope and a flow, which only link-local IPv6 addresses have; 20 octets in place of 32.
enum ShortPeer {
    V4([u8; 4], u16),
    V6([u8; 16], u16),
    Unix,
    Stream,
    /// In [`Rare`].
    Long,
}

impl ShortPeer {
    fn new(peer: Peer) -> Self {
        match peer {
            Peer::Tcp(SocketAddr::V4(address)) => Self::V4(address.ip().octets(), address.port()),
            Peer::Tcp(SocketAddr::V6(address)) if address.scope_id() == 0 && address.flowinfo() == 0 => {
                Self::V6(address.ip().octets(), address.port())
            }
            Peer::Tcp(SocketAddr::V6(_)) => Self::Long,
            Peer::Unix => Self::Unix,
            Peer::Stream => Self::Stream,
        }
    }

    fn long(&self) -> Option<Peer> {
        match *self {
            Self::V4(ip, port) => Some(Peer::Tcp((ip, port).into())),
            Self::V6(ip, port) => Some(Peer::Tcp((ip, port).into())),
            Self::Unix => Some(Peer::Unix),
            Self::Stream => Some(Peer::Stream),
            Self::Long => None,
        }
    }
}

/// `Inner::state`: this side has begun to close; what still comes is not delivered.
const CLOSING: u8 = 1;
/// `Inner::state`: the connection is to be dropped at once.
const ABORTED: u8 = 2;
/// `Inner::state`: the resource knows the client, and so is to be told when it goes.
const CONNECTED: u8 = 4;

/// A message is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It goes out as fast as the client reads.
    Queued,
    /// It is queued too, but the client reads slowly: more than
    /// [`write_high_water`](crate::Config#structfield.write_high_water) octets wait. A good moment to send it less.
    AboveHighWater,
}

/// A message was not queued; nothing else is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// More than [`max_write_backlog`](crate::Config#structfield.max_write_backlog) octets wait for the client already.
    #[error("the client does not read what is queued for it")]
    Full,
    /// The client is gone, or its connection is being closed.
    #[error("the connection is closed")]
    Closed,
    /// The client speaks draft 0, which has no binary messages and no pings.
    #[error("draft 0 cannot send this")]
    Unsupported,
    /// A ping of over 125 octets, a close reason of over 123.
    #[error("too long for a control frame")]
    TooLong,
    /// A close code that must not be sent, such as 1005 or 1006.
    #[error("close code {0} must not be sent")]
    InvalidCloseCode(CloseCode),
}

impl From<clws_proto::SendError> for SendError {
    fn from(error: clws_proto::SendError) -> Self {
        use clws_proto::SendError as Proto;
        match error {
            Proto::Unsupported => Self::Unsupported,
            Proto::ControlTooLong | Proto::ReasonTooLong => Self::TooLong,
            Proto::InvalidCloseCode(code) => Self::InvalidCloseCode(CloseCode::new(code)),
            _ => Self::Closed,
        }
    }
}

impl Client {
    pub(crate) fn new(
        sender: clws_proto::Sender,
        home: Home,
        entry: Arc<Entry>,
        shared: Arc<Shared>,
        head: Head,
        accept: Accept,
        peer: Peer,
    ) -> Self {
        let Accept { subprotocol, data, .. } = accept;
        let version = sender.version();
        let (outbox, state) = (Mutex::new(sender), AtomicU8::new(0));
        let (short, long) = (ShortPeer::new(peer), Some(peer));
        let long = long.filter(|_| short.long().is_none());
        let is_rare = subprotocol.is_some() || data.is_some() || long.is_some();
        let rare = is_rare.then(|| Box::new(Rare { subprotocol, data, peer: long }));
        Self(Arc::new(Inner { outbox, home, entry, shared, head, rare, peer: short, version, state }))
    }

    /// Sends a text message: `write-to-client-text`.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`].
    #[inline]
    pub fn send_text(&self, message: &str) -> Result<Sent, SendError> {
        self.send(|outbox| outbox.text(message, None))
    }

    /// Sends a binary message: `write-to-client-binary`.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`], or [`SendError::Unsupported`] in draft 0.
    #[inline]
    pub fn send_binary(&self, message: &[u8]) -> Result<Sent, SendError> {
        self.send(|outbox| outbox.binary(message, None))
    }

    /// Sends a text message in fragments of at most `frame_size` octets. Draft 0 has no fragments and ignores it.
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text).
    pub fn send_text_in_frames(&self, message: &str, frame_size: NonZeroUsize) -> Result<Sent, SendError> {
        self.send(|outbox| outbox.text(message, Some(frame_size)))
    }

    /// Sends a binary message in fragments of at most `frame_size` octets.
    ///
    /// # Errors
    ///
    /// As [`send_binary`](Self::send_binary).
    pub fn send_binary_in_frames(&self, message: &[u8], frame_size: NonZeroUsize) -> Result<Sent, SendError> {
        self.send(|outbox| outbox.binary(message, Some(frame_size)))
    }

    /// Sends a binary message that is given away; a big one is not copied.
    ///
    /// # Errors
    ///
    /// As [`send_binary`](Self::send_binary).
    pub fn send_binary_owned(&self, message: impl Into<Bytes>) -> Result<Sent, SendError> {
        let message: Bytes = message.into(); // the caller's own code, which must not run under the outbox's lock
        self.send(|outbox| outbox.binary_owned(message))
    }

    /// Sends a text message that is given away; a big one is not copied.
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text).
    pub fn send_text_owned(&self, message: impl Into<String>) -> Result<Sent, SendError> {
        let message: String = message.into(); // as above
        self.send(|outbox| outbox.text_owned(message))
    }

    /// Sends a text message that came from a client, this one or another; a big one is not copied.
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text).
    #[inline]
    pub fn forward_text(&self, message: Text<'_>) -> Result<Sent, SendError> {
        self.send(|outbox| outbox.forward_text(message))
    }

    /// Sends a binary message that came from a client, this one or another; a big one is not copied.
    ///
    /// # Errors
    ///
    /// As [`send_binary`](Self::send_binary).
    #[inline]
    pub fn forward_binary(&self, message: Payload<'_>) -> Result<Sent, SendError> {
        self.send(|outbox| outbox.forward_binary(message))
    }

    /// Sends a message that goes to many clients; it is encoded once for all of them.
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text) or [`send_binary`](Self::send_binary).
    pub fn send_shared(&self, message: &SharedMessage) -> Result<Sent, SendError> {
        self.send(|outbox| outbox.shared(message))
    }

    /// Sends a ping with a payload of at most 125 octets: `write-to-client-ping`. The pong comes to
    /// [`Resource::pong`](crate::Resource::pong).
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`], [`SendError::Full`], [`SendError::Closed`], or [`SendError::Unsupported`] in draft 0.
    pub fn ping(&self, payload: &[u8]) -> Result<Sent, SendError> {
        self.send(|outbox| outbox.ping(payload))
    }

    /// Begins the closing handshake: `write-to-client-close`. What was queued before still goes out.
    ///
    /// From now on nothing is delivered from this client and nothing can be sent to it. A client that does not answer
    /// within [`close_timeout`](crate::Config#structfield.close_timeout) is dropped.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`] for a reason of over 123 octets, [`SendError::InvalidCloseCode`], or
    /// [`SendError::Closed`] where it is closing already.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.outbox().close(code, reason)?;
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        // Even with more queued before it: the time for the client's answer begins now.
        self.0.home.touch();
        Ok(())
    }

    /// Drops the connection at once, without a closing handshake; what is queued is lost.
    pub fn abort(&self) {
        self.0.state.fetch_or(CLOSING | ABORTED, Ordering::Relaxed);
        self.outbox().abandon();
        self.0.home.touch();
    }

    /// Octets that are queued for this client and not yet given to the system.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.outbox().queued()
    }

    /// Whether messages can be sent: no close frame was sent to it or came from it, and the connection stands.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.outbox().close_sent()
    }

    /// The address of the client.
    #[must_use]
    pub fn peer(&self) -> Peer {
        let rare = || self.0.rare.as_ref().and_then(|rare| rare.peer);
        self.0.peer.long().or_else(rare).unwrap_or(Peer::Stream)
    }

    /// The client's IP address: `client-host`. `None` where it did not come over TCP.
    #[must_use]
    pub fn host(&self) -> Option<IpAddr> {
        match self.peer() {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix | Peer::Stream => None,
        }
    }

    /// The client's port: `client-port`. `None` where it did not come over TCP.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self.peer() {
            Peer::Tcp(address) => Some(address.port()),
            Peer::Unix | Peer::Stream => None,
        }
    }

    /// The path it asked for: `client-resource-name`.
    #[must_use]
    pub fn resource_name(&self) -> &str {
        self.0.head.path()
    }

    /// What followed the `?`: `client-query-string`.
    #[must_use]
    pub fn query_string(&self) -> Option<&str> {
        self.0.head.query()
    }

    /// The version it speaks: `client-websocket-version`; 0, 7, 8 or 13 as a [number](Version::number).
    #[must_use]
    pub fn websocket_version(&self) -> Version {
        self.0.version
    }

    /// The headers of its request: `client-connection-headers`. Empty with
    /// [`keep_headers`](crate::Config#structfield.keep_headers) off.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        self.0.head.headers()
    }

    /// The origin of the page it came from, if it told one. `None` with
    /// [`keep_headers`](crate::Config#structfield.keep_headers) off.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.0.head.origin()
    }

    /// The host it asked for, with its port if there was one.
    #[must_use]
    pub fn requested_host(&self) -> &str {
        self.0.head.host()
    }

    /// The data that [`Accept::data`](crate::Accept::data) gave it, if it is of that type.
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
    ///             let _ = client.send_text(&format!("hello, {name}"));
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn data<T: Any>(&self) -> Option<&T> {
        self.0.rare.as_ref()?.data.as_ref()?.downcast_ref()
    }

    /// The subprotocol that was chosen for it.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.rare.as_ref().and_then(|rare| rare.subprotocol.as_deref())
    }

    #[inline]
    fn send(
        &self,
        queue: impl FnOnce(&mut clws_proto::Sender) -> Result<(), clws_proto::SendError>,
    ) -> Result<Sent, SendError> {
        let config = &self.0.shared.config;
        let (was, now) = {
            let mut outbox = self.outbox();
            let was = outbox.queued();
            if was == 0 {
                outbox.give_buffer(pool::take());
            } else if was > config.max_write_backlog {
                return Err(SendError::Full);
            }
            if let Err(error) = queue(&mut outbox) {
                pool::give(outbox.take_buffer());
                return Err(error.into());
            }
            (was, outbox.queued())
        };
        // An outbox that was not empty is known to its home: it is to be flushed, or waits for the socket.
        if was == 0 {
            self.0.home.touch();
        }
        Ok(if now > config.write_high_water { Sent::AboveHighWater } else { Sent::Queued })
    }

    #[inline]
    fn outbox(&self) -> MutexGuard<'_, clws_proto::Sender> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the session does with it.
impl Client {
    pub(crate) fn entry(&self) -> &Entry {
        &self.0.entry
    }

    /// Whether this side has begun to close.
    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & CLOSING != 0
    }

    pub(crate) fn set_connected(&self) {
        self.0.state.fetch_or(CONNECTED, Ordering::Relaxed);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & CONNECTED != 0
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & ABORTED != 0
    }

    pub(crate) fn answer_ping(&self, payload: &[u8]) {
        let was = {
            let mut outbox = self.outbox();
            let was = outbox.queued();
            outbox.answer_ping(payload);
            was
        };
        if was == 0 {
            self.0.home.touch();
        }
    }

    pub(crate) fn answer_close(&self, frame: Option<&CloseFrame<'_>>) {
        self.outbox().answer_close(frame);
    }

    /// Nothing can be sent any more; what is queued still goes out.
    pub(crate) fn close_quietly(&self, code: CloseCode, reason: &str) {
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        let mut outbox = self.outbox();
        if outbox.close(code, reason).is_err() {
            // A code or a reason that cannot be sent; without them it always can.
            outbox.close_without_code();
        }
    }

    /// Tells its home of what was queued quietly.
    pub(crate) fn touch(&self) {
        self.0.home.touch();
    }

    /// Nothing can be sent from now on; what is queued still goes out.
    pub(crate) fn seal(&self) {
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        self.outbox().seal();
    }

    /// The connection is gone; frees what is queued.
    pub(crate) fn abandon(&self) {
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        self.outbox().abandon();
    }

    /// Octets of the buffer that its outbox holds, which it then has no more.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.outbox().take_buffer().capacity()
    }

    /// Writes what is queued, as far as the socket takes it; whether all of it went.
    pub(crate) fn flush(
        &self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let mut outbox = self.outbox();
        while outbox.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = outbox.io_slices(&mut slices);
            let slices = slices.get(..filled).unwrap_or_default();
            let offered: usize = slices.iter().map(|slice| slice.len()).sum();
            match write(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    outbox.consume_with(written, &Pool);
                    // The socket is full, and will say when it is not.
                    if written < offered {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        pool::give(outbox.take_buffer());
        Ok(true)
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Client {}

impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("peer", &self.peer())
            .field("resource_name", &self.resource_name())
            .field("version", &self.0.version.number())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_what_it_was() {
        let v6 = |scope, flow| std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 2, flow, scope);
        for (peer, short) in [
            (Peer::Tcp("1.2.3.4:5".parse().unwrap()), true),
            (Peer::Tcp("[::1]:5".parse().unwrap()), true),
            (Peer::Tcp(v6(0, 0).into()), true),
            (Peer::Tcp(v6(3, 0).into()), false),
            (Peer::Tcp(v6(0, 4).into()), false),
            (Peer::Unix, true),
            (Peer::Stream, true),
        ] {
            assert_eq!(ShortPeer::new(peer).long(), short.then_some(peer));
        }
    }

    /// Every idle connection costs one of these, with the two counters of an `Arc`.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn sizes() {
        assert_eq!(size_of::<ShortPeer>(), 20);
        assert!(size_of::<Inner>() <= 168, "{}", size_of::<Inner>());
    }
}
