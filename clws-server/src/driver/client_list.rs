//! The clients of a shard, for threads that list them.

use crate::client::Client;
use crate::lock::{Lock, rank};

/// The clients of one shard, by slot.
///
/// The shard changes it when a client comes and when its connection ends, and never for a message.
/// So a handler can list the clients of its own shard, which is in the middle of a turn.
#[derive(Debug, Default)]
pub(crate) struct ClientList(Lock<Vec<Option<Client>>, { rank::CLIENT_LIST }>);

impl ClientList {
    pub(super) fn insert(&self, slot: u32, client: &Client) {
        let slot = slot as usize;
        let mut clients = self.0.lock();
        if clients.len() <= slot {
            clients.resize(slot + 1, None);
        }
        let before = clients.get_mut(slot).and_then(|entry| entry.replace(client.clone()));
        drop(clients);
        drop(before); // after the lock is released: a client may hold data of the application
    }

    pub(super) fn remove(&self, slot: u32) {
        let removed = self.0.lock().get_mut(slot as usize).and_then(Option::take);
        drop(removed);
    }

    /// Removes all clients, and frees the memory.
    pub(super) fn clear(&self) {
        let clients = std::mem::take(&mut *self.0.lock());
        drop(clients);
    }

    /// Adds the clients to `all`.
    pub(super) fn append_to(&self, all: &mut Vec<Client>) {
        all.extend(self.0.lock().iter().flatten().cloned());
    }
}
