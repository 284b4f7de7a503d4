//! Parts of the server that wait for something of a client: that all is written, for instance.
//!
//! A client has no memory for them. They are in a table of the server, and one bit of the client tells that there are some. A
//! client that nobody waits for never looks into the table.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Client;
use crate::lock::{Lock, rank};

/// Something that waits for a client.
pub(crate) trait Watcher: Send + Sync {
    /// What it waits for may have come. It looks for itself, and watches again where it has not. That may run code of the
    /// application, so no lock may be held.
    fn notice(&self);
}

/// Those that wait, by client.
#[derive(Default)]
pub(crate) struct Watchers(Lock<HashMap<usize, Vec<Arc<dyn Watcher>>>, { rank::WATCHERS }>);

impl Watchers {
    /// Adds one, unless it is there.
    pub(crate) fn add(&self, client: &Client, watcher: &Arc<dyn Watcher>) {
        let mut table = self.0.lock();
        let watchers = table.entry(client.id()).or_default();
        if !watchers.iter().any(|known| is_same(known, watcher)) {
            watchers.push(Arc::clone(watcher));
        }
    }

    /// Removes one.
    pub(crate) fn remove(&self, client: &Client, watcher: &Arc<dyn Watcher>) {
        let mut table = self.0.lock();
        let Some(watchers) = table.get_mut(&client.id()) else { return };
        let place = watchers.iter().position(|known| is_same(known, watcher));
        let removed = place.map(|place| watchers.swap_remove(place));
        if watchers.is_empty() {
            table.remove(&client.id());
        }
        drop(table);
        drop(removed); // there are wakers in it
    }

    /// Removes all of a client.
    pub(crate) fn take(&self, client: &Client) -> Vec<Arc<dyn Watcher>> {
        self.0.lock().remove(&client.id()).unwrap_or_default()
    }

    /// The number of clients that are waited for.
    #[cfg(all(test, shuttle))]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

fn is_same(one: &Arc<dyn Watcher>, other: &Arc<dyn Watcher>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}
