//! The members of a group, and the table of the groups that each client is in.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use clws_proto::SlowPolicy;
#[cfg(feature = "deflate")]
use clws_proto::{CodecPool, DeflateParams};

use crate::client::Client;
use crate::client::id::ClientId;
use crate::client::outgoing::Broadcast;
use crate::lock::{Lock, LockGuard, rank};
use crate::sync::broken;

#[derive(Default)]
pub(crate) struct GroupInner {
    members: Lock<Members, { rank::GROUP }>,
    pub(super) id: GroupId,
    owner: Option<Box<dyn ForgetEmpty>>,
}

/// Forgets a group whose last member has left.
pub(super) trait ForgetEmpty: Send + Sync {
    fn forget(&self, group: &Arc<GroupInner>);
}

/// Distinguishes the keys of groups. It is unique in the process, and never 0.
#[derive(Clone, Copy)]
pub(super) struct GroupId(u64);

impl GroupId {
    pub(super) const fn value(self) -> u64 {
        self.0
    }
}

impl Default for GroupId {
    fn default() -> Self {
        static IDS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);
        let id = IDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self(u64::try_from(id).unwrap_or(u64::MAX))
    }
}

#[derive(Default)]
pub(super) struct Members {
    clients: Vec<Client>,
    /// The policy for the group's messages.
    pub(super) policy: Option<SlowPolicy>,
    /// The index of each client in `clients`.
    indices: HashMap<ClientId, usize>,
    /// The parameters and compressors for members without context takeover, one entry for each
    /// window size.
    #[cfg(feature = "deflate")]
    classes: Vec<(DeflateParams, CodecPool)>,
}

/// The result of removing a member.
struct Removed {
    client: Option<Client>,
    is_empty: bool,
}

impl GroupInner {
    pub(super) fn forgotten_by(owner: Box<dyn ForgetEmpty>) -> Self {
        Self { members: Lock::default(), id: GroupId::default(), owner: Some(owner) }
    }

    pub(super) fn members(&self) -> LockGuard<'_, Members> {
        self.members.lock()
    }

    /// Compresses a message before the group is locked to send it.
    #[cfg(feature = "deflate")]
    pub(super) fn prepare(&self, broadcast: &Broadcast) {
        let Broadcast::Message(message) = broadcast else { return };
        let classes = {
            let members = self.members();
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
    #[expect(clippy::unused_self, reason = "the variant with the feature needs it")]
    pub(super) const fn prepare(&self, _: &Broadcast) {}

    fn remove(&self, client: &Client) -> Removed {
        let mut members = self.members();
        Removed { client: members.remove(client), is_empty: members.clients.is_empty() }
    }

    /// Notifies the owner if the group is empty. No lock may be held. Returns whether there was a
    /// client to remove.
    fn removed(self: &Arc<Self>, removed: Removed) -> bool {
        if removed.is_empty
            && let Some(owner) = &self.owner
        {
            owner.forget(self);
        }
        removed.client.is_some()
    }
}

impl Drop for GroupInner {
    fn drop(&mut self) {
        let this = std::ptr::from_ref(self);
        let members = self.members.get_mut();
        for client in members.clients.drain(..) {
            client.context().shared.memberships.forget(&client, this);
        }
    }
}

impl Members {
    pub(super) fn clients(&self) -> &[Client] {
        &self.clients
    }

    pub(super) fn contains(&self, client: &Client) -> bool {
        self.indices.contains_key(&client.id())
    }

    fn insert(&mut self, client: &Client) -> bool {
        let index = self.clients.len();
        if self.contains(client) {
            return false;
        }
        self.indices.insert(client.id(), index);
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
        let index = self.indices.remove(&client.id())?;
        if index >= self.clients.len() {
            return None;
        }
        let removed = self.clients.swap_remove(index);
        if let Some(moved) = self.clients.get(index) {
            self.indices.insert(moved.id(), index);
        }
        if self.clients.is_empty() {
            self.clients = Vec::new();
        }
        shrink(&mut self.indices);
        Some(removed)
    }
}

/// The groups that clients are in. A client without groups has no entry.
#[derive(Default)]
pub(crate) struct Memberships(Lock<HashMap<ClientId, Groups>, { rank::MEMBERSHIPS }>);

/// The groups of one client, by their address.
type Groups = HashMap<usize, Weak<GroupInner>>;

impl Memberships {
    fn table(&self) -> LockGuard<'_, HashMap<ClientId, Groups>> {
        self.0.lock()
    }

    /// Adds a client to a group, and the group to the client's. The table is locked meanwhile, so a
    /// client whose connection has ended is never seen in the group.
    pub(super) fn join(&self, client: &Client, group: &Arc<GroupInner>) -> bool {
        let mut table = self.table();
        broken!(JoinsWithoutLook, return group.members().insert(client));
        if client.is_disconnected() || !group.members().insert(client) {
            return false;
        }
        let key = Arc::as_ptr(group).addr();
        table.entry(client.id()).or_default().insert(key, Arc::downgrade(group));
        true
    }

    /// Removes a client from a group, and the group from the client's, in one step.
    pub(super) fn leave(&self, client: &Client, group: &Arc<GroupInner>) -> bool {
        let mut table = self.table();
        remove_group(&mut table, client, Arc::as_ptr(group));
        let removed = group.remove(client);
        drop(table); // the owner of an empty group takes a lock of a lower rank
        group.removed(removed)
    }

    /// Forgets a group that is dropped.
    fn forget(&self, client: &Client, group: *const GroupInner) {
        remove_group(&mut self.table(), client, group);
    }

    /// Removes a disconnected client from all its groups.
    pub(super) fn leave_all(&self, client: &Client) {
        let groups = {
            let mut table = self.table();
            let groups = table.remove(&client.id()).unwrap_or_default();
            shrink(&mut table);
            groups
        };
        for group in groups.values().filter_map(Weak::upgrade) {
            group.removed(group.remove(client));
        }
    }

    /// The number of clients that are in a group.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table().len()
    }
}

fn remove_group(table: &mut HashMap<ClientId, Groups>, client: &Client, group: *const GroupInner) {
    if let Some(groups) = table.get_mut(&client.id()) {
        groups.remove(&group.addr());
        if groups.is_empty() {
            table.remove(&client.id());
        }
    }
}

/// Frees the memory of a large table that is empty.
pub(super) fn shrink<V>(table: &mut HashMap<ClientId, V>) {
    if table.is_empty() && table.capacity() > 256 {
        *table = HashMap::new();
    }
}
