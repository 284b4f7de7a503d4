//! Groups with names.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use clws_proto::SlowPolicy;

use crate::client::Client;
use crate::client::close::Close;
use crate::client::delivery::Delivery;
use crate::client::group::Group;
use crate::client::members::{ForgetEmpty, GroupInner};
use crate::client::outgoing::{Outgoing, SendOptions};
use crate::lock::{Lock, LockGuard, rank};

/// Groups with names: clients subscribe to a topic, and messages are published on it.
///
/// A topic exists from its first subscriber until its last one unsubscribes or disconnects.
/// `Topics` is cheap to clone (all clones are the same) and can be used from any thread.
///
/// ```
/// use clws_server::{Client, Resource, Text, Topics};
///
/// /// `+news` subscribes to "news", `-news` unsubscribes; everything else is published on "news".
/// #[derive(Default)]
/// struct Ticker {
///     topics: Topics,
/// }
///
/// impl Resource for Ticker {
///     fn text(&self, client: &Client, text: Text<'_>) {
///         if let Some(name) = text.strip_prefix('+') {
///             self.topics.subscribe(name, client);
///         } else if let Some(name) = text.strip_prefix('-') {
///             self.topics.unsubscribe(name, client);
///         } else {
///             let _ = self.topics.publish("news", text); // a client without room is closed
///         }
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct Topics(Arc<Inner>);

#[derive(Default)]
struct Inner(Lock<Table, { rank::TOPICS }>);

#[derive(Default)]
struct Table {
    groups: HashMap<Box<str>, Group>,
    policies: HashMap<Box<str>, SlowPolicy>,
}

/// The name of a group, and the table that has it.
struct Topic {
    topics: Weak<Inner>,
    name: Box<str>,
}

impl Topics {
    /// Creates an empty set of topics.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Subscribes a client. Returns false if it was subscribed already, or if its connection has
    /// ended.
    pub fn subscribe(&self, name: &str, client: &Client) -> bool {
        loop {
            let group = self.group_or_new(name);
            if !group.join(client) {
                // The group may have been created for this client.
                self.0.forget_if_empty(name, group.inner());
                return false;
            }
            // The last other subscriber may have left in between. Then the group was removed from
            // the table, and is added again here.
            if self.0.keep(name, &group) {
                // The client itself may have left in between, when the group was not in the table.
                self.0.forget_if_empty(name, group.inner());
                return true;
            }
            group.leave(client);
        }
    }

    /// Ends a subscription. Returns whether there was one.
    pub fn unsubscribe(&self, name: &str, client: &Client) -> bool {
        self.group(name).is_some_and(|group| group.leave(client))
    }

    /// Sends a message to all subscribers of a topic: see [`Group::send`].
    pub fn publish<'a>(&self, name: &str, message: impl Into<Outgoing<'a>>) -> Delivery {
        self.group(name).map(|group| group.send(message)).unwrap_or_default()
    }

    /// Sends a message to all subscribers, for instance in fragments.
    pub fn publish_with<'a>(
        &self,
        name: &str,
        message: impl Into<Outgoing<'a>>,
        options: SendOptions,
    ) -> Delivery {
        self.group(name).map(|group| group.send_with(message, options)).unwrap_or_default()
    }

    /// Sends a message to all subscribers except one, for instance the sender.
    pub fn publish_except<'a>(
        &self,
        name: &str,
        message: impl Into<Outgoing<'a>>,
        except: &Client,
    ) -> Delivery {
        self.group(name).map(|group| group.send_except(message, except)).unwrap_or_default()
    }

    /// Sets what happens to a topic's messages for subscribers that read slowly: see
    /// [`Group::set_slow_policy`]. The policy stays while the topic has no subscribers. `None`
    /// removes it.
    pub fn set_slow_policy(&self, name: &str, policy: Option<SlowPolicy>) {
        let mut table = self.0.table();
        match policy {
            Some(policy) => drop(table.policies.insert(name.into(), policy)),
            None => drop(table.policies.remove(name)),
        }
        // The table is locked meanwhile, so that the last call decides.
        if let Some(group) = table.groups.get(name) {
            group.set_slow_policy(policy);
        }
    }

    /// Closes the connections of all subscribers of a topic, as [`Client::close`] does.
    pub fn close(&self, name: &str, close: impl Into<Close>) {
        if let Some(group) = self.group(name) {
            group.close(close);
        }
    }

    /// The subscribers of a topic, as a group; `None` without subscribers. After the last
    /// subscriber has left, the next one starts a new group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Group> {
        self.0.table().groups.get(name).cloned()
    }

    /// The topics that have subscribers, in no particular order.
    #[must_use]
    pub fn names(&self) -> Vec<Box<str>> {
        self.0.table().groups.keys().cloned().collect()
    }

    fn group_or_new(&self, name: &str) -> Group {
        let mut table = self.0.table();
        if let Some(group) = table.groups.get(name) {
            return group.clone();
        }
        let topic = Topic { topics: Arc::downgrade(&self.0), name: name.into() };
        let group = Group::forgotten_by(Box::new(topic));
        table.insert(name, &group);
        group
    }
}

impl Table {
    fn insert(&mut self, name: &str, group: &Group) {
        group.set_slow_policy(self.policies.get(name).copied());
        self.groups.insert(name.into(), group.clone());
    }
}

impl Inner {
    fn table(&self) -> LockGuard<'_, Table> {
        self.0.lock()
    }

    /// Enters the group under its name. Returns false if the name has another group now.
    fn keep(&self, name: &str, group: &Group) -> bool {
        let mut table = self.table();
        match table.groups.get(name) {
            Some(known) => known == group,
            None => {
                table.insert(name, group);
                true
            }
        }
    }

    fn forget_if_empty(&self, name: &str, group: &Arc<GroupInner>) {
        let mut table = self.table();
        let forgotten = match table.groups.get(name) {
            Some(known) if known.is(group) && known.is_empty() => table.groups.remove(name),
            _ => None,
        };
        drop(table);
        drop(forgotten); // outside of the lock
    }
}

impl ForgetEmpty for Topic {
    fn forget(&self, group: &Arc<GroupInner>) {
        if let Some(topics) = self.topics.upgrade() {
            topics.forget_if_empty(&self.name, group);
        }
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish() // the formatter is the caller's: not under the lock
    }
}
