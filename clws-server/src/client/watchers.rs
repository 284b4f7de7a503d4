//! Parts of the server that wait for something of a client: that all is written, or that it ends.
//!
//! A client has no memory for them. They are in tables of the server, and one bit of the client tells whether it may be in one.
//! A client that nobody waits for never looks into a table.

use std::collections::HashMap;
use std::sync::Arc;

use crate::CloseCode;
use crate::client::Client;
use crate::client::group::shrink;
use crate::lock::Lock;
use crate::resource::{Close, Disconnect};

/// Something that waits for a client until all that was queued is written.
pub(crate) trait Watcher: Send + Sync {
    /// What it waits for may have come. It looks for itself, and watches again where it has not. That may run code of the
    /// application, so no lock may be held.
    fn notice(&self);
}

/// What an adaptor keeps for a client that a resource around it has handed in. That resource may refuse the client all the same;
/// then it hears nothing more of the client, and the adaptor would not hear of its end either.
pub(crate) trait Host: Send + Sync {
    /// The client was refused, and has ended. No lock may be held.
    fn ended(&self, client: &Client, end: &Disconnect);
}

/// Why an adaptor does not take a client whose connection has ended when a resource hands it in: no word of its end would come.
pub(crate) fn gone_already() -> Close {
    Close::new(CloseCode::GOING_AWAY, "")
}

/// Those that wait, by client.
pub(crate) struct Watchers<W: ?Sized, const RANK: u8>(Lock<HashMap<usize, Vec<Arc<W>>>, RANK>);

impl<W: ?Sized, const RANK: u8> Watchers<W, RANK> {
    /// Adds one, unless it is there.
    pub(crate) fn add(&self, client: &Client, watcher: &Arc<W>) {
        let mut table = self.0.lock();
        let watchers = table.entry(client.id()).or_default();
        if !watchers.iter().any(|known| is_same(known, watcher)) {
            watchers.push(Arc::clone(watcher));
        }
    }

    /// Removes one.
    pub(crate) fn remove(&self, client: &Client, watcher: &Arc<W>) {
        let mut table = self.0.lock();
        let Some(watchers) = table.get_mut(&client.id()) else { return };
        let place = watchers.iter().position(|known| is_same(known, watcher));
        let removed = place.map(|place| watchers.swap_remove(place));
        if watchers.is_empty() {
            table.remove(&client.id());
            shrink(&mut table);
        }
        drop(table);
        drop(removed); // there are wakers in it
    }

    /// Removes all of a client. They are for the caller to drop, when no lock is held.
    pub(crate) fn take(&self, client: &Client) -> Vec<Arc<W>> {
        let mut table = self.0.lock();
        let watchers = table.remove(&client.id()).unwrap_or_default();
        shrink(&mut table);
        watchers
    }

    /// The number of clients that are waited for.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl<W: ?Sized, const RANK: u8> Default for Watchers<W, RANK> {
    fn default() -> Self {
        Self(Lock::default())
    }
}

fn is_same<W: ?Sized>(one: &Arc<W>, other: &Arc<W>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}
