//! Handles to connected clients: to send to them, to close them, and to ask about them.

mod bucket;
#[cfg(feature = "capture")]
mod capture;
pub(crate) mod close;
pub(crate) mod context;
mod counted;
mod deferred_drops;
pub(crate) mod delivery;
pub(crate) mod disconnect;
mod flow;
mod flush;
pub(crate) mod group;
pub(crate) mod id;
mod item;
pub(crate) mod members;
mod memory;
pub(crate) mod outcome;
pub(crate) mod outgoing;
mod queries;
pub(crate) mod rates;
pub(crate) mod receipt;
mod rtt;
mod send;
mod short_peer;
mod slow;
pub(crate) mod state;
pub(crate) mod topics;
mod treatment;
pub(crate) mod watchers;
mod written;

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use clws_handshake::{RequestHead, Version};
use tracing::field::display;
use tracing::{Span, debug_span};

use crate::client::context::ClientContext;
use crate::client::id::ClientId;
use crate::client::rates::Rates;
use crate::client::rtt::LastRtt;
use crate::client::short_peer::ShortPeer;
use crate::client::state::{ClientState, Lifecycle};
#[cfg(feature = "deflate")]
use crate::codecs::Negotiated;
use crate::config::Config;
use crate::config::address::{Peer, Remote};
use crate::guard::{Scope, discard};
use crate::lock::{Lock, LockGuard, assert_none_held, rank};
use crate::sync::atomic::AtomicUsize;
use crate::time::now;
use crate::wake::WakeTarget;

/// A connected client: a handle to send to it and to ask about it.
///
/// It is cheap to clone and can be used from any thread. None of its methods waits for the network.
/// It stays valid after the client has disconnected: sends then return
/// [`SendError::Closed`](crate::SendError::Closed). The chapter [sending](crate::guide::sending) has
/// examples.
///
/// Two handles are equal if they belong to the same connection. That never changes, so a handle is
/// a good key of a map, although `clippy::mutable_key_type` warns of it. The [`id`](Self::id) is a
/// smaller key.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

/// Every connection has one, even an idle one. The test `sizes` bounds its size.
struct Inner {
    outbox: Lock<clws_proto::Sender, { rank::OUTBOX }>,
    wake_target: WakeTarget,
    context: Arc<ClientContext>,
    head: RequestHead,
    extras: Option<Box<ClientExtras>>,
    /// The time of the opening handshake, in microseconds since the server's start: the lower and
    /// the upper bits. There are microseconds for almost 9 years.
    connected: u32,
    connected_upper: u16,
    rtt: LastRtt,
    id: ClientId,
    peer: ShortPeer,
    version: Version,
    state: ClientState,
}

/// Data that few connections have.
struct ClientExtras {
    subprotocol: Option<Box<str>>,
    data: Option<Box<dyn Any + Send + Sync>>,
    /// The address, if it does not fit into a [`ShortPeer`].
    peer: Option<Peer>,
    /// The client, if a trusted proxy reports it.
    remote: Option<Remote>,
    #[cfg(feature = "deflate")]
    negotiated: Option<Negotiated>,
    /// The data of the server's own resource adapters.
    adapter_data: OnceLock<Box<dyn Any + Send + Sync>>,
    /// Bytes of messages that wait in the client's [`WebSocket`](crate::WebSocket).
    inbox: AtomicUsize,
    /// The limits on the rates at which it sends.
    rates: Option<Box<Rates>>,
}

impl ClientExtras {
    /// Whether a client can do without this data.
    fn is_empty(&self) -> bool {
        #[cfg(feature = "deflate")]
        let negotiated = self.negotiated.is_some();
        #[cfg(not(feature = "deflate"))]
        let negotiated = false;
        !negotiated
            && self.subprotocol.is_none()
            && self.data.is_none()
            && self.peer.is_none()
            && self.remote.is_none()
            && self.rates.is_none()
    }
}

/// The parts of a new [`Client`].
pub(crate) struct NewClient {
    pub(crate) sender: clws_proto::Sender,
    pub(crate) context: Arc<ClientContext>,
    pub(crate) wake_target: WakeTarget,
    pub(crate) head: RequestHead,
    pub(crate) peer: Peer,
    pub(crate) remote: Option<Remote>,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) data: Option<Box<dyn Any + Send + Sync>>,
    #[cfg(feature = "deflate")]
    pub(crate) negotiated: Option<Negotiated>,
    /// Whether the client needs a place for the data of a resource adapter.
    pub(crate) has_adapter_data: bool,
    pub(crate) rates: Option<Box<Rates>>,
}

/// The server's own operations on a client.
impl Client {
    pub(crate) fn new(new: NewClient) -> Self {
        let NewClient { sender, context, wake_target, head, peer, .. } = new;
        let since = now().saturating_duration_since(context.shared.started);
        let micros = since.as_micros();
        let connected = u32::try_from(micros & u128::from(u32::MAX)).unwrap_or(u32::MAX);
        let connected_upper = u16::try_from(micros >> 32).unwrap_or(u16::MAX);
        let version = sender.version();
        let short = ShortPeer::new(peer);
        let extras = ClientExtras {
            subprotocol: new.subprotocol,
            data: new.data, // from now on `Inner` guards its drop
            peer: short.long().is_none().then_some(peer),
            remote: new.remote,
            #[cfg(feature = "deflate")]
            negotiated: new.negotiated,
            adapter_data: OnceLock::new(),
            inbox: AtomicUsize::new(0),
            rates: new.rates,
        };
        let extras = (new.has_adapter_data || !extras.is_empty()).then(|| Box::new(extras));
        Self(Arc::new(Inner {
            outbox: Lock::new(sender),
            wake_target,
            context,
            head,
            extras,
            connected,
            connected_upper,
            rtt: LastRtt::default(),
            id: ClientId::next(),
            peer: short,
            version,
            state: ClientState::default(),
        }))
    }

    #[inline]
    pub(crate) fn config(&self) -> &Config {
        &self.0.context.config
    }

    #[inline]
    pub(crate) fn context(&self) -> &Arc<ClientContext> {
        &self.0.context
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn negotiated(&self) -> Option<&Negotiated> {
        self.0.extras.as_ref()?.negotiated.as_ref()
    }

    /// The client, if a trusted proxy reports it.
    pub(crate) fn remote(&self) -> Option<Remote> {
        self.0.remote()
    }

    /// The limits on the rates at which the client sends, if it has any.
    #[inline]
    pub(crate) fn rates(&self) -> Option<&Rates> {
        self.0.extras.as_ref()?.rates.as_deref()
    }

    /// Keeps data for the adapter that serves the client, once. Returns false if
    /// `Accept::has_adapter_data` was not set, because then there is no place for it.
    pub(crate) fn set_adapter_data(&self, value: impl Any + Send + Sync) -> bool {
        self.0.extras.as_ref().is_some_and(|extras| extras.adapter_data.set(Box::new(value)).is_ok())
    }

    pub(crate) fn adapter_data<T: Any>(&self) -> Option<&T> {
        self.0.extras.as_ref()?.adapter_data.get()?.downcast_ref()
    }

    /// Records that the resource has taken the client, and will learn of its end.
    pub(crate) fn set_connected(&self) {
        self.0.state.connect();
    }

    /// Whether the resource has taken the client, even if the connection has ended since.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.0.state.lifecycle(), Lifecycle::Connected | Lifecycle::Disconnected)
    }

    /// Whether the connection has ended.
    pub(crate) fn is_disconnected(&self) -> bool {
        matches!(self.0.state.lifecycle(), Lifecycle::Refused | Lifecycle::Disconnected)
    }

    /// Records that the client joins a group, which it must leave when the connection ends.
    pub(crate) fn set_member(&self) {
        self.0.state.join_group();
    }

    /// Records that the connection has ended. The client leaves its groups, and can join no other.
    pub(crate) fn leave_groups(&self) {
        self.0.state.disconnect();
        if self.0.state.is_member() {
            self.0.context.shared.memberships.leave_all(self);
        }
    }

    /// Wakes the driver that serves the client.
    pub(crate) fn wake(&self) {
        self.0.wake_target.wake();
    }

    #[inline]
    fn outbox(&self) -> LockGuard<'_, clws_proto::Sender> {
        self.0.outbox.lock()
    }

    /// Takes the outbox's buffer, if it has one.
    #[cfg(test)]
    pub(crate) fn has_buffer(&self) -> bool {
        self.outbox().take_buffer().is_some()
    }
}

impl Inner {
    fn full_peer(&self) -> Peer {
        let extras = || self.extras.as_ref().and_then(|extras| extras.peer);
        self.peer.long().or_else(extras).unwrap_or(Peer::Stream)
    }

    fn remote(&self) -> Option<Remote> {
        self.extras.as_ref()?.remote
    }
}

/// The data of the application and of adapters is dropped under the guard.
impl Drop for Inner {
    fn drop(&mut self) {
        assert_none_held();
        let Some(mut extras) = self.extras.take() else { return };
        let debug = self.context.config.debug_on();
        let (data, adapter_data) = (extras.data.take(), std::mem::take(&mut extras.adapter_data));
        self.extras = Some(extras); // has the address for the log
        if data.is_some() {
            discard(debug, self, data);
        }
        if adapter_data.get().is_some() {
            discard(debug, self, adapter_data);
        }
    }
}

impl Scope for Client {
    fn resource(&self) -> Option<String> {
        self.0.resource()
    }

    fn peer(&self) -> Option<String> {
        Scope::peer(&*self.0)
    }

    fn client(&self) -> Option<String> {
        Scope::client(&*self.0)
    }

    fn id(&self) -> Option<String> {
        Scope::id(&*self.0)
    }

    fn version(&self) -> Option<u8> {
        Scope::version(&*self.0)
    }

    fn span(&self) -> Span {
        let (id, peer, client) = (self.id(), self.peer(), self.remote().map(display));
        let (resource, version) = (self.resource_name(), self.websocket_version().number());
        debug_span!(target: "clws_server::client", "client", %id, %peer, client, resource, version)
    }
}

impl Scope for Inner {
    fn resource(&self) -> Option<String> {
        Some(self.head.path().to_owned())
    }

    fn peer(&self) -> Option<String> {
        Some(self.full_peer().to_string())
    }

    fn client(&self) -> Option<String> {
        self.remote().map(|remote| remote.to_string())
    }

    fn id(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    fn version(&self) -> Option<u8> {
        Some(self.version.number())
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
            .field("remote_ip", &self.remote_ip())
            .field("resource_name", &self.resource_name())
            .field("version", &self.0.version.number())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every idle connection holds one of these, with the two counters of an `Arc`.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn sizes() {
        assert!(size_of::<Inner>() <= 120, "{}", size_of::<Inner>());
    }
}
