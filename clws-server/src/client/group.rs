//! Sets of clients that receive the same messages.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use clws_proto::SlowPolicy;

use crate::client::Client;
use crate::client::close::{Close, close_all};
use crate::client::delivery::{Delivery, queue};
use crate::client::members::{ForgetEmpty, GroupInner};
use crate::client::outgoing::{Broadcast, Outgoing, SendOptions};
use crate::client::treatment::Many;

/// A set of clients that receive the same messages. Members leave it when they disconnect, right
/// before their resource's [`disconnected`](crate::Resource::disconnected) is called.
///
/// It is cheap to clone (all clones are the same group) and can be used from any thread. A client
/// can be in any number of groups, and in groups of any resource. The cost of joining and leaving
/// does not depend on the size.
///
/// A message is encoded once per framing, whatever the number of members. There are two framings:
/// draft 0 and hixie-75 share one, all other versions the other. With permessage-deflate, each
/// window size needs one more encoding, and members with context takeover get the message
/// compressed individually.
///
/// All members get a group's messages in the same order, and in order with messages to each of them
/// alone. The system calls are made in parallel, by the shards that own the members' sockets.
///
/// ```
/// use clws_server::{Client, Close, Group, Resource, Text};
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
///         // A member without room for the message is closed, so the report can be ignored.
///         let _ = self.members.send_except(text, client);
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct Group(Arc<GroupInner>);

impl Group {
    /// Creates an empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a client. Returns false if it is a member already, or if its connection has ended.
    pub fn join(&self, client: &Client) -> bool {
        // The bit is set before `Memberships::join` asks whether the connection has ended: either
        // the end of the connection sees that the client is a member, or `join` sees that the
        // connection has ended.
        client.set_member();
        client.context().shared.memberships.join(client, &self.0)
    }

    /// Removes a client. Returns whether it was a member.
    pub fn leave(&self, client: &Client) -> bool {
        client.context().shared.memberships.leave(client, &self.0)
    }

    /// Whether a client is a member.
    #[must_use]
    pub fn contains(&self, client: &Client) -> bool {
        self.0.members().contains(client)
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.members().clients().len()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members at this moment, in no particular order.
    #[must_use]
    pub fn members(&self) -> Vec<Client> {
        self.0.members().clients().to_vec()
    }

    /// Sets what happens to the group's messages for members that read slowly. `None`, the default,
    /// leaves it to the [policy of each client](Client::set_slow_policy). A client without a policy
    /// is closed with 1013 when more than
    /// [`max_write_backlog`](crate::Config#structfield.max_write_backlog) bytes are queued for it.
    ///
    /// It holds for later messages, and for all clones of the group.
    ///
    /// ```
    /// use clws_server::{Group, SlowPolicy};
    ///
    /// let prices = Group::new();
    /// prices.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(128 * 1024)));
    /// ```
    pub fn set_slow_policy(&self, policy: Option<SlowPolicy>) {
        self.0.members().policy = policy;
    }

    /// The policy that [`set_slow_policy`](Self::set_slow_policy) set.
    #[must_use]
    pub fn slow_policy(&self) -> Option<SlowPolicy> {
        self.0.members().policy
    }

    /// Sends a message to all members.
    ///
    /// A member for which more than
    /// [`max_write_backlog`](crate::Config#structfield.max_write_backlog) bytes are queued already
    /// is closed with 1013, "try again later", and is listed in [`Delivery::failed`]: it would miss
    /// a message that the others get. A [policy](Self::set_slow_policy) may say otherwise. Members
    /// of draft 0 and hixie-75 cannot get binary messages.
    pub fn send<'a>(&self, message: impl Into<Outgoing<'a>>) -> Delivery {
        self.send_with(message, SendOptions::new())
    }

    /// Sends a message to all members, for instance in fragments.
    pub fn send_with<'a>(&self, message: impl Into<Outgoing<'a>>, options: SendOptions) -> Delivery {
        self.broadcast(message.into(), options, None)
    }

    /// Sends a message to all members except one, for instance the sender.
    pub fn send_except<'a>(&self, message: impl Into<Outgoing<'a>>, except: &Client) -> Delivery {
        self.broadcast(message.into(), SendOptions::new(), Some(except))
    }

    /// Sends a text message to all members. The same as [`send`](Self::send) with a string.
    pub fn send_text(&self, message: impl Into<ByteString>) -> Delivery {
        self.send(message.into())
    }

    /// Sends a binary message to all members. The same as [`send`](Self::send) with bytes.
    pub fn send_binary(&self, message: impl Into<Bytes>) -> Delivery {
        self.send(message.into())
    }

    /// Closes the connections of all members, as [`Client::close`] does. They leave the group when
    /// they disconnect.
    pub fn close(&self, close: impl Into<Close>) {
        close_all(&self.members(), close);
    }

    fn broadcast(&self, message: Outgoing<'_>, options: SendOptions, except: Option<&Client>) -> Delivery {
        let broadcast = Broadcast::new(message, options);
        self.0.prepare(&broadcast);
        let many = Many::default(); // dropped after the lock
        let mut treatment = options.treatment(self.0.id.value()).of(&many);
        // The lock is held while the message is queued, so that all members get the group's
        // messages in one order. The drivers are woken after the lock is released.
        let (delivery, batch) = {
            let members = self.0.members();
            treatment.policy = treatment.policy.or(members.policy);
            match except {
                None => queue(members.clients(), &broadcast, treatment),
                Some(except) => {
                    let others = members.clients().iter().filter(|client| *client != except);
                    queue(others, &broadcast, treatment)
                }
            }
        };
        drop(batch); // before the message, whose drop may be code of the application
        delivery
    }

    /// A group that is forgotten when its last member leaves.
    pub(super) fn forgotten_by(owner: Box<dyn ForgetEmpty>) -> Self {
        Self(Arc::new(GroupInner::forgotten_by(owner)))
    }

    pub(super) fn is(&self, group: &Arc<GroupInner>) -> bool {
        Arc::ptr_eq(&self.0, group)
    }

    pub(super) const fn inner(&self) -> &Arc<GroupInner> {
        &self.0
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
