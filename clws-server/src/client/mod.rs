pub(crate) mod context;
mod copied;
mod deferred_drops;
pub(crate) mod group;
pub(crate) mod internal;
mod memory;
pub(crate) mod outcome;
mod short_peer;
pub(crate) mod topics;
pub(crate) mod watchers;
mod written;

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clws_handshake::{Headers, RequestHead, Version};
#[cfg(feature = "deflate")]
use clws_proto::DeflateParams;
use clws_proto::{CloseCode, Payload, SharedMessage, Text};

use crate::budget::is_another_page;
use crate::buffer_pool;
use crate::client::context::ClientContext;
use crate::client::internal::{CloseOutcome, warn_of};
use crate::client::outcome::{SendError, Sent};
use crate::client::short_peer::ShortPeer;
#[cfg(feature = "deflate")]
use crate::codecs::Negotiated;
use crate::config::address::Peer;
use crate::guard::discard;
use crate::lock::{Lock, LockGuard, assert_none_held, rank};
use crate::sync::broken;
use crate::sync::{atomic::AtomicU16, atomic::AtomicUsize, atomic::Ordering};
use crate::wake::{WakeBatch, WakeTarget};

/// A connected client: a handle to send to it and to ask about it.
///
/// It is cheap to clone, can be sent anywhere and used from any thread; none of its methods waits for the network.
/// It stays valid when the client has gone: then sends say [`SendError::Closed`]. Two handles are equal if they are of
/// the same connection, which nothing changes, so a handle is a good key of a map (whatever `clippy::mutable_key_type` says of
/// what is behind it).
#[derive(Clone)]
pub struct Client(Arc<Inner>);

/// There is one for each connection, idle or not: `sizes` in the tests bounds it.
struct Inner {
    outbox: Lock<clws_proto::Sender, { rank::OUTBOX }>,
    wake_target: WakeTarget,
    context: Arc<ClientContext>,
    head: RequestHead,
    extras: Option<Box<ClientExtras>>,
    /// Nanoseconds from the server's start.
    connected: u64,
    peer: ShortPeer,
    version: Version,
    state: AtomicU16,
}

/// What few connections have.
struct ClientExtras {
    subprotocol: Option<Box<str>>,
    data: Option<Box<dyn Any + Send + Sync>>,
    /// Where it does not fit into a [`ShortPeer`].
    peer: Option<Peer>,
    #[cfg(feature = "deflate")]
    negotiated: Option<Negotiated>,
    /// What the server's own adaptors of resources keep for the client.
    adapter_data: OnceLock<Box<dyn Any + Send + Sync>>,
    /// Bytes of messages that wait in the client's own [`WebSocket`](crate::WebSocket).
    inbox: AtomicUsize,
}

impl ClientExtras {
    /// Whether it need not be kept.
    fn is_empty(&self) -> bool {
        #[cfg(feature = "deflate")]
        let negotiated = self.negotiated.is_some();
        #[cfg(not(feature = "deflate"))]
        let negotiated = false;
        !negotiated && self.subprotocol.is_none() && self.data.is_none() && self.peer.is_none()
    }
}

/// `Inner::state`: this side has begun to close; what still comes is not delivered.
const CLOSING: u16 = 1;
/// `Inner::state`: the connection is to be dropped at once.
const ABORTED: u16 = 2;
/// `Inner::state`: the resource knows the client, and so is to be told when it goes.
const CONNECTED: u16 = 4;
/// `Inner::state`: nothing is to be read from it.
const PAUSED: u16 = 8;
/// `Inner::state`: it was sent more than it reads; the resource is to be told when it has read.
const SLOW: u16 = 16;
/// `Inner::state`: it is, or was, in a group.
const MEMBER: u16 = 32;
/// `Inner::state`: its connection has ended.
const DISCONNECTED: u16 = 64;
/// `Inner::state`: the application has closed it, and is to hear no more of it, not even what has come already.
const SILENCED: u16 = 128;
/// `Inner::state`: a handler that runs elsewhere has panicked over it; its close frame is queued.
const FAILED: u16 = 256;
/// `Inner::state`: more is queued for it than the high-water mark, so that its events wait until it was flushed.
const CROWDED: u16 = 1024;
/// `Inner::state`: that was still so when it was flushed, and its events wait until it has read half of it.
const HELD: u16 = 2048;
/// `Inner::state`: it is [`ABORTED`] because too much memory is held for all clients.
const OVERDRAWN: u16 = 4096;
/// `Inner::state`: something waits for it, and is in the table of the server's watchers.
const WATCHED: u16 = 8192;
/// `Inner::state`: some of what was queued for it was dropped, because the connection is gone.
const LOST: u16 = 16384;
/// `Inner::state`: its messages are queued for a handler that runs elsewhere, and reading may have to pause for that.
const QUEUED: u16 = 512;

impl Client {
    /// Sends a text message: `write-to-client-text`.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`].
    #[inline]
    pub fn send_text(&self, message: &str) -> Result<Sent, SendError> {
        if self.compresses(message.len()) {
            return self.send_shared(&SharedMessage::text(message));
        }
        self.send(|outbox| outbox.text(message, None))
    }

    /// Sends a binary message: `write-to-client-binary`.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`], or [`SendError::Unsupported`] in draft 0 and hixie-75.
    #[inline]
    pub fn send_binary(&self, message: &[u8]) -> Result<Sent, SendError> {
        if self.compresses(message.len()) {
            return self.send_shared(&SharedMessage::binary(message.to_vec()));
        }
        self.send(|outbox| outbox.binary(message, None))
    }

    /// Sends a text message given as octets, which are checked once.
    ///
    /// # Errors
    ///
    /// [`SendError::InvalidUtf8`], or as [`send_text`](Self::send_text).
    pub fn send_text_bytes(&self, message: &[u8]) -> Result<Sent, SendError> {
        self.send_text(simdutf8::basic::from_utf8(message).map_err(|_| SendError::InvalidUtf8)?)
    }

    /// Sends a text message in fragments of at most `frame_size` bytes. Draft 0 and hixie-75 have no
    /// fragments and ignore it.
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text).
    pub fn send_text_in_frames(&self, message: &str, frame_size: NonZeroUsize) -> Result<Sent, SendError> {
        if self.compresses(message.len()) {
            return self.send_shared(&SharedMessage::text(message).frame_size(Some(frame_size)));
        }
        self.send(|outbox| outbox.text(message, Some(frame_size)))
    }

    /// Sends a binary message in fragments of at most `frame_size` octets.
    ///
    /// # Errors
    ///
    /// As [`send_binary`](Self::send_binary).
    pub fn send_binary_in_frames(&self, message: &[u8], frame_size: NonZeroUsize) -> Result<Sent, SendError> {
        if self.compresses(message.len()) {
            let message = SharedMessage::binary(message.to_vec());
            return self.send_shared(&message.frame_size(Some(frame_size)));
        }
        self.send(|outbox| outbox.binary(message, Some(frame_size)))
    }

    /// Sends a binary message that is given away; a big one is not copied.
    ///
    /// # Errors
    ///
    /// As [`send_binary`](Self::send_binary).
    pub fn send_binary_owned(&self, message: impl Into<Bytes>) -> Result<Sent, SendError> {
        let message: Bytes = message.into(); // the caller's own code, which must not run under the outbox's lock
        // Lent, and dropped when the outbox is free again: its owner is the caller's code too. It may be written already, so
        // that this is the last of it.
        if self.compresses(message.len()) {
            let message = SharedMessage::binary(message);
            let sent = self.send_shared(&message);
            discard(self.config().debug_on(), message);
            return sent;
        }
        let sent = self.send(|outbox| outbox.binary_bytes(&message));
        discard(self.config().debug_on(), message);
        sent
    }

    /// Sends a text message that is given away; a big one is not copied.
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text).
    pub fn send_text_owned(&self, message: impl Into<String>) -> Result<Sent, SendError> {
        let message: String = message.into(); // as above
        if self.compresses(message.len()) {
            return self.send_shared(&SharedMessage::text(message));
        }
        self.send(|outbox| outbox.text_owned(message))
    }

    /// Sends a text message that came from a client, this one or another; a big one is not copied.
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text).
    #[inline]
    pub fn forward_text(&self, message: Text<'_>) -> Result<Sent, SendError> {
        if self.compresses(message.len()) {
            return self.send_shared(&SharedMessage::text(message.into_string()));
        }
        self.send(|outbox| outbox.forward_text(message))
    }

    /// Sends a binary message that came from a client, this one or another; a big one is not copied.
    ///
    /// # Errors
    ///
    /// As [`send_binary`](Self::send_binary).
    #[inline]
    pub fn forward_binary(&self, message: Payload<'_>) -> Result<Sent, SendError> {
        if self.compresses(message.len()) {
            return self.send_shared(&SharedMessage::binary(message.into_bytes()));
        }
        self.send(|outbox| outbox.forward_binary(message))
    }

    /// Sends a message that goes to many clients; it is encoded once for all of them.
    ///
    /// # Errors
    ///
    /// As [`send_text`](Self::send_text) or [`send_binary`](Self::send_binary).
    pub fn send_shared(&self, message: &SharedMessage) -> Result<Sent, SendError> {
        message.set_meter(&self.0.context.meter);
        #[cfg(feature = "deflate")]
        if let Some(negotiated) = self.negotiated() {
            message.prepare(negotiated.params, &negotiated.codecs);
        }
        let sent = self.send(|outbox| outbox.shared(message));
        self.0.context.relieve(&self.0.wake_target); // it may be held beside the outbox
        sent
    }

    /// Sends a ping with a payload of at most 125 octets: `write-to-client-ping`. The pong comes to
    /// [`Resource::pong`](crate::Resource::pong). The ping keeps its place: the client has read all that was sent before when it
    /// answers.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`], [`SendError::Full`], [`SendError::Closed`], or [`SendError::Unsupported`] in draft 0 and
    /// hixie-75.
    pub fn ping(&self, payload: &[u8]) -> Result<Sent, SendError> {
        self.send(|outbox| outbox.ping(payload))
    }

    /// Sends a pong that answers no ping, a heartbeat of one side (RFC 6455 §5.5.3); at most 125 octets. Pings that come
    /// are answered by the server itself.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&self, payload: &[u8]) -> Result<Sent, SendError> {
        self.send(|outbox| outbox.pong(payload))
    }

    /// Begins the closing handshake: `write-to-client-close`. What was queued before still goes out.
    ///
    /// From now on nothing is delivered from this client and nothing can be sent to it. A client that does not answer
    /// within [`close_timeout`](crate::Config#structfield.close_timeout) is dropped. One that is closing already goes on with
    /// that, whoever began it: its close frame stays as it is. Hixie-75 has no closing handshake: there our side of the
    /// connection is ended when what was queued is written, and the client answers by ending its own.
    ///
    /// It always closes. Of a reason of over 123 bytes the beginning is sent, up to the end of a character. A code that must
    /// not be sent (RFC 6455 §7.4), such as 1005, 1006 or 2000, is logged as a warning, and the close frame has no code and no
    /// reason then. A code that the client's version lacks becomes the [nearest one](CloseCode::nearest_in); draft 0 has
    /// neither codes nor reasons.
    pub fn close(&self, code: CloseCode, reason: &str) {
        if self.silence(code, reason, None) == CloseOutcome::WithoutCode {
            warn_of(code);
        }
    }

    /// The same for each of several clients.
    pub(crate) fn close_all(clients: &[Self], code: CloseCode, reason: &str) {
        let mut touches = WakeBatch::default();
        let mut without_code = false;
        for client in clients {
            without_code |= client.silence(code, reason, Some(&mut touches)) == CloseOutcome::WithoutCode;
        }
        drop(touches);
        if without_code {
            warn_of(code);
        }
    }

    /// Closes it and listens to it no more.
    fn silence(&self, code: CloseCode, reason: &str, touches: Option<&mut WakeBatch>) -> CloseOutcome {
        let closing = self.queue_close(code, reason);
        // Before its home is told: events that waited are to be discarded now.
        broken!(WakesBeforeSilence, self.0.wake_target.wake());
        self.set_silenced();
        broken!(WakesBeforeSilence, return closing);
        match touches {
            Some(touches) => touches.add(&self.0.wake_target),
            None => self.0.wake_target.wake(),
        }
        closing
    }

    /// Drops the connection at once, without a closing handshake; what is queued is lost.
    pub fn abort(&self) {
        self.0.state.fetch_or(CLOSING | ABORTED | SILENCED, Ordering::Relaxed);
        self.abandon();
        self.0.wake_target.wake();
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
        let extras = || self.0.extras.as_ref().and_then(|extras| extras.peer);
        self.0.peer.long().or_else(extras).unwrap_or(Peer::Stream)
    }

    /// The client's IP address: `client-host`. `None` where it did not come over TCP.
    #[must_use]
    pub fn remote_ip(&self) -> Option<IpAddr> {
        match self.peer() {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix | Peer::Stream => None,
        }
    }

    /// The client's port: `client-port`. `None` where it did not come over TCP.
    #[must_use]
    pub fn remote_port(&self) -> Option<u16> {
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

    /// The version it speaks: `client-websocket-version`; 0, 7, 8 or 13 as a [number](Version::number), and
    /// 75 for hixie-75.
    #[must_use]
    pub fn websocket_version(&self) -> Version {
        self.0.version
    }

    /// The headers of its request: `client-connection-headers`. Those that fit into
    /// [`max_kept_headers`](crate::Config#structfield.max_kept_headers); none with
    /// [`keep_headers`](crate::Config#structfield.keep_headers) off.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        self.0.head.headers()
    }

    /// Whether its request had headers that [`headers`](Self::headers) does not have.
    #[must_use]
    pub fn headers_truncated(&self) -> bool {
        self.0.head.is_truncated()
    }

    /// The origin of the page it came from, if it told one. `None` with
    /// [`keep_headers`](crate::Config#structfield.keep_headers) off.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.0.head.origin()
    }

    /// The host it asked for, with its port if there was one.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.head.host()
    }

    /// The data that [`Accept::data`](crate::Accept::data) gave it, if it is of that type. A resource whose `accept` gives
    /// it to every client can rely on it; where it is not there, a `return` or `?` is as good as a panic.
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
        self.0.extras.as_ref()?.data.as_ref()?.downcast_ref()
    }

    /// The value of a cookie that it sent with its request. `None` where the cookies do not fit into
    /// [`max_kept_headers`](crate::Config#structfield.max_kept_headers): see [`headers`](Self::headers).
    /// [`Opening::cookie`](crate::Opening::cookie) has every cookie.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.headers().cookie(name)
    }

    /// When its opening handshake was done.
    #[must_use]
    pub fn connected_at(&self) -> Instant {
        self.0.context.started + Duration::from_nanos(self.0.connected)
    }

    /// The subprotocol that was chosen for it.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.extras.as_ref().and_then(|extras| extras.subprotocol.as_deref())
    }

    /// What was negotiated on for permessage-deflate; `None` where messages go as they are.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.negotiated().map(|negotiated| negotiated.params)
    }

    /// Octets of memory that it costs at this moment to have negotiated on context takeover: the ends of earlier messages, to which
    /// the next compressed ones refer. 0 before the first compressed message.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn context_size(&self) -> usize {
        self.negotiated().map_or(0, |negotiated| negotiated.received() + self.outbox().context_size())
    }

    #[inline]
    fn send(
        &self,
        queue: impl FnOnce(&mut clws_proto::Sender) -> Result<(), clws_proto::SendError>,
    ) -> Result<Sent, SendError> {
        self.send_and(queue, None)
    }

    /// Whether a message of that length is compressed by itself, which is then done before the outbox is locked: whoever
    /// writes to the client's socket waits for that lock.
    #[inline]
    fn compresses(&self, len: usize) -> bool {
        #[cfg(feature = "deflate")]
        let compresses = len >= crate::codecs::BIG
            && self.negotiated().is_some_and(|negotiated| negotiated.params.server_no_context_takeover);
        #[cfg(not(feature = "deflate"))]
        let compresses = len == usize::MAX; // never
        compresses
    }

    /// Sends to one of many; their homes are told together.
    ///
    /// A client that has no room for the message is closed with 1013: nobody looks after each receiver of a message to many,
    /// so it would miss the message without ever knowing. Where it is the server that has no room, the client is dropped.
    pub(crate) fn send_with(
        &self,
        message: &SharedMessage,
        touches: &mut WakeBatch,
    ) -> Result<Sent, SendError> {
        message.set_meter(&self.0.context.meter);
        let sent = self.send_and(|outbox| outbox.shared(message), Some(touches));
        if sent == Err(SendError::Full) {
            let is_its_own = self.buffered_amount() > self.0.context.config.max_write_backlog;
            if !is_its_own {
                self.overdraw();
                touches.add(&self.0.wake_target);
            } else if self.queue_close(CloseCode::TRY_AGAIN_LATER, "") != CloseOutcome::Already {
                touches.add(&self.0.wake_target);
            }
        }
        sent
    }

    #[inline]
    fn send_and(
        &self,
        queue: impl FnOnce(&mut clws_proto::Sender) -> Result<(), clws_proto::SendError>,
        touches: Option<&mut WakeBatch>,
    ) -> Result<Sent, SendError> {
        let context = &*self.0.context;
        let (was, is_above, has_grown) = {
            let mut outbox = self.outbox();
            let was = outbox.queued();
            broken!(StaleOutbox, {
                drop(outbox);
                outbox = self.outbox();
            });
            if was == 0 {
                buffer_pool::lend(&mut outbox);
            } else if was > context.write_backlog && self.is_behind(was) {
                return Err(if outbox.close_sent() { SendError::Closed } else { SendError::Full });
            }
            if let Err(error) = queue(&mut outbox) {
                buffer_pool::take_back(&mut outbox);
                return Err(error.into());
            }
            let now = outbox.queued();
            let (is_above, has_grown) = (now > context.high_water, is_another_page(was, now));
            if is_above {
                broken!(CrowdedTooLate, {
                    drop(outbox);
                    outbox = self.outbox();
                });
                // Under the lock: whoever flushes it sees the one with the other.
                self.0.state.fetch_or(SLOW | CROWDED, Ordering::Relaxed);
            }
            if has_grown {
                self.charge(&mut outbox);
            }
            (was, is_above, has_grown)
        };
        // An outbox that was not empty is known to its wake_target: it is to be flushed, or waits for the socket.
        match touches {
            Some(touches) => {
                if was == 0 {
                    touches.add(&self.0.wake_target);
                }
                context.relieve_with(touches, &self.0.wake_target);
            }
            None => {
                if was == 0 {
                    self.0.wake_target.wake();
                }
                if has_grown {
                    context.relieve(&self.0.wake_target);
                }
            }
        }
        Ok(if is_above { Sent::AboveHighWater } else { Sent::Queued })
    }

    #[inline]
    fn outbox(&self) -> LockGuard<'_, clws_proto::Sender> {
        self.0.outbox.lock()
    }
}

/// What is left of a client is code of the application: its data, and what an adaptor keeps for it.
impl Drop for Inner {
    fn drop(&mut self) {
        assert_none_held();
        let Some(extras) = self.extras.take() else { return };
        let debug = self.context.config.debug_on();
        let ClientExtras { data, adapter_data, .. } = *extras;
        if data.is_some() {
            discard(debug, data);
        }
        if adapter_data.get().is_some() {
            discard(debug, adapter_data);
        }
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

    /// Every idle connection costs one of these, with the two counters of an `Arc`.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn sizes() {
        assert!(size_of::<Inner>() <= 120, "{}", size_of::<Inner>());
    }
}
