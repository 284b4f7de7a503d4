use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use clws_proto::{CloseCode, SharedMessage};
#[cfg(feature = "deflate")]
use clws_proto::{CodecPool, DeflateParams};

use crate::client::Client;
use crate::client::outcome::SendError;
use crate::client::topics::Topic;
use crate::lock::{Lock, LockGuard, rank};
use crate::sync::broken;
use crate::wake::WakeBatch;

/// A set of clients that are sent to together; members leave it by disconnecting, right before their resource's
/// [`disconnected`](crate::Resource::disconnected) is called.
///
/// It is cheap to clone (all clones are the same group) and can be used from any thread. A client can be in any
/// number of groups, and in groups of any resource. Joining and leaving cost the same in a group of any size.
///
/// A message is encoded once, whatever the number of members: once per framing, to be exact, of which there are two,
/// draft 0's and hixie-75's, and everybody else's, and where permessage-deflate was negotiated on once more for each size of window. (Who negotiated
/// on context takeover gets it compressed individually, which takes its time for each.) Members get the messages of a group in one order, the same for all, and each of them
/// gets them in order with what is sent to it alone. The system calls that write to their sockets are made by the shards
/// that own the members, in parallel.
///
/// ```
/// use clws_server::{Client, Group, Close, Resource, SharedMessage, Text};
///
/// /// Sends what one client says to all others.
/// #[derive(Default)]
/// struct Room {
///     members: Group,
/// }
///
/// impl Resource for Room {
///     fn connected(&self, client: &Client) -> Result<(), Close> {
///         self.members.join(client); // it leaves when it disconnects
///         Ok(())
///     }
///
///     fn text(&self, client: &Client, text: Text<'_>) {
///         // A member that has no room for it is closed, so nothing is to be done about the report.
///         let _ = self.members.send_except(&SharedMessage::text(text.as_str()), client);
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct Group(Arc<Inner>);

#[derive(Default)]
pub(crate) struct Inner {
    members: Lock<Members, { rank::GROUP }>,
    /// The name under which it is to be forgotten when it is empty.
    topic: Option<Topic>,
}

#[derive(Default)]
struct Members {
    clients: Vec<Client>,
    /// Where in `clients` each is.
    places: HashMap<usize, usize>,
    /// The ways in which messages to members are compressed by themselves; one for each size of window.
    #[cfg(feature = "deflate")]
    classes: Vec<(DeflateParams, CodecPool)>,
}

/// What became of a message to many.
///
/// A client that had no room for it ([`SendError::Full`]) was closed with 1013, because it missed a message: nobody looks after each
/// receiver of a message to many.
#[derive(Clone, Debug, Default)]
#[must_use = "it tells which clients did not get the message"]
#[non_exhaustive]
pub struct Delivery {
    /// How many clients it was queued for.
    pub sent: usize,
    /// Who did not get it, and why: a client that is gone, one that does not read, a client of draft 0 or hixie-75 a
    /// binary message.
    pub failed: Vec<(Client, SendError)>,
}

impl Delivery {
    /// Whether everybody got it.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }
}

/// A report that nobody looks at is a warning; with `let _ =` it is none.
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// clws_server::Group::new().send_text("unseen");
/// ```
///
/// ```
/// #![deny(unused_must_use)]
/// let _ = clws_server::Group::new().send_text("unseen");
/// ```
#[cfg(doctest)]
struct ReportsMustBeUsed;

/// Sends a text message to several clients: `write-to-clients-text`. It is encoded once per framing.
///
/// With a `frame_size`, it goes out in fragments of at most so many bytes; draft 0 and hixie-75 have none and
/// ignore it.
pub fn send_text<'a>(
    clients: impl IntoIterator<Item = &'a Client>,
    message: impl Into<String>,
    frame_size: Option<NonZeroUsize>,
) -> Delivery {
    send_shared(clients, &SharedMessage::text(message).with_frame_size(frame_size))
}

/// Sends a binary message to several clients: `write-to-clients-binary`. Clients of draft 0 and hixie-75 are reported as
/// [`SendError::Unsupported`], the others get theirs.
pub fn send_binary<'a>(
    clients: impl IntoIterator<Item = &'a Client>,
    message: impl Into<Bytes>,
    frame_size: Option<NonZeroUsize>,
) -> Delivery {
    send_shared(clients, &SharedMessage::binary(message).with_frame_size(frame_size))
}

/// Sends a message that may be sent to others again to several clients.
pub fn send_shared<'a>(clients: impl IntoIterator<Item = &'a Client>, message: &SharedMessage) -> Delivery {
    queue(clients, message).0
}

/// Queues a message; the clients' homes hear of it when the second is dropped.
fn queue<'a>(
    clients: impl IntoIterator<Item = &'a Client>,
    message: &SharedMessage,
) -> (Delivery, WakeBatch) {
    let (mut delivery, mut touches) = (Delivery::default(), WakeBatch::default());
    for client in clients {
        match client.send_with(message, &mut touches) {
            Ok(_) => delivery.sent += 1,
            Err(error) => delivery.failed.push((client.clone(), error)),
        }
    }
    (delivery, touches)
}

impl Group {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a client. Returns false if it is a member already, or if its connection has ended.
    pub fn join(&self, client: &Client) -> bool {
        // This comes before the look at whether the client has left: either the end of its connection sees that the client
        // is a member, or `Memberships::join` sees that the connection has ended.
        client.set_member();
        client.context().memberships.join(client, &self.0)
    }

    /// Removes a client. Returns whether it was a member.
    pub fn leave(&self, client: &Client) -> bool {
        client.context().memberships.leave(client, &self.0)
    }

    /// Whether a client is in.
    #[must_use]
    pub fn contains(&self, client: &Client) -> bool {
        self.0.members().places.contains_key(&client.id())
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.members().clients.len()
    }

    /// Whether nobody is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members at this moment, in no order.
    #[must_use]
    pub fn members(&self) -> Vec<Client> {
        self.0.members().clients.clone()
    }

    /// Sends a text message to all members.
    pub fn send_text(&self, message: impl Into<String>) -> Delivery {
        self.send(&SharedMessage::text(message))
    }

    /// Sends a binary message to all members; those of draft 0 and hixie-75 cannot get it.
    pub fn send_binary(&self, message: impl Into<Bytes>) -> Delivery {
        self.send(&SharedMessage::binary(message))
    }

    /// Sends a text message to all members but one, the one it came from for instance.
    pub fn send_text_except(&self, message: impl Into<String>, except: &Client) -> Delivery {
        self.send_except(&SharedMessage::text(message), except)
    }

    /// Sends a message to all members. A member for which more than
    /// [`max_write_backlog`](crate::Config#structfield.max_write_backlog) bytes wait already is closed with 1013, "try again
    /// later", and is listed in [`Delivery::failed`]: it would miss a message that the others get.
    pub fn send(&self, message: &SharedMessage) -> Delivery {
        // The lock is held while it is queued, so that all members get the group's messages in one order; the homes are
        // told when it is free again.
        self.prepare(message);
        let (delivery, _touches) = queue(&self.0.members().clients, message);
        delivery
    }

    /// Sends a message to all members but one, the one it came from for instance.
    pub fn send_except(&self, message: &SharedMessage, except: &Client) -> Delivery {
        self.prepare(message);
        let (delivery, _touches) =
            queue(self.0.members().clients.iter().filter(|client| *client != except), message);
        delivery
    }

    /// Compresses a message for those who get it compressed by itself, before the lock is taken that others wait for.
    #[cfg(feature = "deflate")]
    fn prepare(&self, message: &SharedMessage) {
        let classes = {
            let members = self.0.members();
            if let Some(client) = members.clients.first() {
                message.set_meter(&client.context().meter);
            }
            members.classes.clone()
        };
        for (params, codecs) in &classes {
            message.prepare(*params, codecs);
        }
    }

    #[cfg(not(feature = "deflate"))]
    #[expect(clippy::unused_self, reason = "the other one needs it")]
    const fn prepare(&self, _: &SharedMessage) {}

    /// Closes the connections of all members, as [`Client::close`] does; they leave the group when they are gone.
    pub fn close(&self, code: CloseCode, reason: &str) {
        Client::close_all(&self.members(), code, reason);
    }

    pub(crate) fn for_topic(topic: Topic) -> Self {
        Self(Arc::new(Inner { members: Lock::default(), topic: Some(topic) }))
    }
}

impl Inner {
    fn members(&self) -> LockGuard<'_, Members> {
        self.members.lock()
    }

    /// Removes a client, and tells whether the group is empty now.
    fn take(&self, client: &Client) -> (Option<Client>, bool) {
        let mut members = self.members();
        (members.remove(client), members.clients.is_empty())
    }

    /// CloseOnDrop a topic whose last subscriber was removed. Returns whether there was anybody to remove.
    fn told(self: &Arc<Self>, (removed, empty): (Option<Client>, bool)) -> bool {
        if empty && let Some(topic) = &self.topic {
            topic.forget(&Group(Arc::clone(self)));
        }
        removed.is_some()
    }
}

/// A group that is dropped is no more among those its members are in.
impl Drop for Inner {
    fn drop(&mut self) {
        let this = std::ptr::from_ref(self);
        let members = self.members.get_mut();
        for client in members.clients.drain(..) {
            client.context().memberships.remove(&client, this);
        }
    }
}

impl Members {
    fn insert(&mut self, client: &Client) -> bool {
        let place = self.clients.len();
        if self.places.contains_key(&client.id()) {
            return false;
        }
        self.places.insert(client.id(), place);
        self.clients.push(client.clone());
        #[cfg(feature = "deflate")]
        if let Some(negotiated) =
            client.negotiated().filter(|negotiated| negotiated.params.server_no_context_takeover)
        {
            let bits = negotiated.params.server_max_window_bits;
            if !self.classes.iter().any(|(known, _)| known.server_max_window_bits == bits) {
                self.classes.push((negotiated.params, negotiated.codecs.clone()));
            }
        }
        true
    }

    fn remove(&mut self, client: &Client) -> Option<Client> {
        let place = self.places.remove(&client.id())?;
        if place >= self.clients.len() {
            return None;
        }
        let removed = self.clients.swap_remove(place);
        if let Some(moved) = self.clients.get(place) {
            self.places.insert(moved.id(), place);
        }
        if self.clients.is_empty() {
            self.clients = Vec::new();
        }
        shrink(&mut self.places);
        Some(removed)
    }
}

/// Frees the memory of a big table that is empty.
pub(crate) fn shrink<V>(table: &mut HashMap<usize, V>) {
    if table.is_empty() && table.capacity() > 256 {
        *table = HashMap::new();
    }
}

/// Which groups the clients of a server are in; those that are in none cost nothing here.
#[derive(Default)]
pub(crate) struct Memberships(Lock<HashMap<usize, Groups>, { rank::MEMBERSHIPS }>);

fn forget(table: &mut HashMap<usize, Groups>, client: &Client, group: *const Inner) {
    if let Some(groups) = table.get_mut(&client.id()) {
        groups.remove(&group.addr());
        if groups.is_empty() {
            table.remove(&client.id());
        }
    }
}

/// The groups of one client, by their address.
type Groups = HashMap<usize, Weak<Inner>>;

impl Memberships {
    fn table(&self) -> LockGuard<'_, HashMap<usize, Groups>> {
        self.0.lock()
    }

    /// Adds a client to a group, and the group to the client's. The table is locked meanwhile, so a client whose
    /// connection has ended is never seen in the group, not even for a moment.
    fn join(&self, client: &Client, group: &Arc<Inner>) -> bool {
        let mut table = self.table();
        broken!(JoinsWithoutLook, return group.members().insert(client));
        if client.is_disconnected() || !group.members().insert(client) {
            return false;
        }
        let key = Arc::as_ptr(group).addr();
        table.entry(client.id()).or_default().insert(key, Arc::downgrade(group));
        true
    }

    /// Removes a client from a group, and the group from the client's, as one step.
    fn leave(&self, client: &Client, group: &Arc<Inner>) -> bool {
        let mut table = self.table();
        forget(&mut table, client, Arc::as_ptr(group));
        let removed = group.take(client);
        drop(table); // a topic that is empty takes a lock of a lower rank
        group.told(removed)
    }

    /// Forgets a group that is dropped.
    fn remove(&self, client: &Client, group: *const Inner) {
        forget(&mut self.table(), client, group);
    }

    /// The number of clients that are in a group.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table().len()
    }

    /// Takes a client that is gone out of all its groups.
    pub(crate) fn leave_all(&self, client: &Client) {
        let groups = {
            let mut table = self.table();
            let groups = table.remove(&client.id()).unwrap_or_default();
            shrink(&mut table);
            groups
        };
        for group in groups.values().filter_map(Weak::upgrade) {
            group.told(group.take(client));
        }
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Group {}

impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("len", &self.len()).finish_non_exhaustive()
    }
}
