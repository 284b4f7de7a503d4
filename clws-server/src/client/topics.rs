use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use clws_proto::SharedMessage;

use crate::client::Client;
use crate::client::group::{Delivery, Group};
use crate::lock::{Lock, LockGuard, rank};

/// Groups with names, which clients subscribe to and messages are published on.
///
/// A topic comes to be with its first subscriber and is gone with its last, be it that it unsubscribes or disconnects.
/// It is cheap to clone, all clones are the same, and can be used from any thread.
///
/// ```
/// use clws_server::{Client, Resource, SharedMessage, Text, Topics};
///
/// /// `+news` subscribes to "news", `-news` ends that; everything else is published on "news".
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
///             let _ = self.topics.publish("news", &SharedMessage::text(text.as_str())); // a client that has no room is closed
///         }
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct Topics(Arc<Inner>);

#[derive(Default)]
struct Inner(Lock<HashMap<Box<str>, Group>, { rank::TOPICS }>);

/// The name of a group, and where it is known under it.
pub(crate) struct Topic {
    topics: Weak<Inner>,
    name: Box<str>,
}

impl Topics {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Subscribes a client; false where it was subscribed already, or is gone.
    pub fn subscribe(&self, name: &str, client: &Client) -> bool {
        loop {
            let group = self.open(name);
            let joined = group.join(client);
            // Its last subscriber may have left between the two: then it is not known any more, and is again.
            if !joined {
                // It may have been opened for this client, whose connection has ended.
                self.0.forget_if_empty(name, &group);
                return false;
            }
            if self.0.keep(name, &group) {
                // It may have left in between, and then nobody else forgets it.
                self.0.forget_if_empty(name, &group);
                return true;
            }
            group.leave(client);
        }
    }

    /// CloseOnDrop a subscription; whether there was one.
    pub fn unsubscribe(&self, name: &str, client: &Client) -> bool {
        self.group(name).is_some_and(|group| group.leave(client))
    }

    /// Sends a message to everybody who is subscribed.
    pub fn publish(&self, name: &str, message: &SharedMessage) -> Delivery {
        self.group(name).map(|group| group.send(message)).unwrap_or_default()
    }

    /// Sends a text message to everybody who is subscribed.
    pub fn publish_text(&self, name: &str, message: impl Into<String>) -> Delivery {
        self.publish(name, &SharedMessage::text(message))
    }

    /// Sends a message to everybody who is subscribed but one, the one it came from for instance.
    pub fn publish_except(&self, name: &str, message: &SharedMessage, except: &Client) -> Delivery {
        self.group(name).map(|group| group.send_except(message, except)).unwrap_or_default()
    }

    /// The subscribers of a topic, as a group; `None` where nobody is subscribed. It is the topic's as long as somebody is:
    /// when the last has left, the next subscriber begins another.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Group> {
        self.0.map().get(name).cloned()
    }

    /// The topics that have subscribers, in no order.
    #[must_use]
    pub fn names(&self) -> Vec<Box<str>> {
        self.0.map().keys().cloned().collect()
    }

    fn open(&self, name: &str) -> Group {
        let mut map = self.0.map();
        if let Some(group) = map.get(name) {
            return group.clone();
        }
        let group = Group::for_topic(Topic { topics: Arc::downgrade(&self.0), name: name.into() });
        map.insert(name.into(), group.clone());
        group
    }
}

impl Inner {
    fn map(&self) -> LockGuard<'_, HashMap<Box<str>, Group>> {
        self.0.lock()
    }

    /// Makes sure that a name stands for a group; false where it stands for another by now.
    fn keep(&self, name: &str, group: &Group) -> bool {
        let mut map = self.map();
        match map.get(name) {
            Some(known) => known == group,
            None => {
                map.insert(name.into(), group.clone());
                true
            }
        }
    }

    fn forget_if_empty(&self, name: &str, group: &Group) {
        let mut map = self.map();
        let forgotten = match map.get(name) {
            Some(known) if known == group && known.is_empty() => map.remove(name),
            _ => None,
        };
        drop(map);
        drop(forgotten); // outside of the lock
    }
}

impl Topic {
    /// Its last subscriber has left.
    pub(crate) fn forget(&self, group: &Group) {
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
