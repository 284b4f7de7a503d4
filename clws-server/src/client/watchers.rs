//! Tables of the parts of the server that wait for an event of a client.
//!
//! They are kept in tables of the context, so a client needs no memory for them: one bit of its
//! state shows whether the table may have an entry. The table is not read for other clients.

use std::collections::HashMap;
use std::sync::Arc;

use clws_proto::CloseCode;

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::client::id::ClientId;
use crate::client::members::shrink;
use crate::lock::Lock;
use crate::sync::broken;

/// Something that waits until a client's queue is written.
pub(crate) trait Watcher: Send + Sync {
    /// The queue may be written. The watcher checks that, and watches again if it is not. This may
    /// run code of the application, so no lock may be held.
    fn notice(&self);
}

/// The entry of an adapter for a client that another resource has passed to it. That resource may
/// still refuse the client. It then gets no events of the client and passes none on, so the adapter
/// would not learn of the end.
pub(crate) trait Host: Send + Sync {
    /// The client was refused, and its connection has ended. No lock may be held.
    fn ended(&self, client: &Client, end: &Disconnect);
}

/// The error of an adapter that is given a client whose connection has ended: the end would never
/// be reported.
pub(crate) fn gone_already() -> Close {
    CloseCode::GOING_AWAY.into()
}

/// A table of watchers, by client.
pub(crate) struct Watchers<W: ?Sized, const RANK: u8>(Lock<HashMap<ClientId, Vec<Arc<W>>>, RANK>);

impl<W: ?Sized, const RANK: u8> Watchers<W, RANK> {
    /// Adds a watcher, unless the table has it.
    pub(crate) fn add(&self, client: &Client, watcher: &Arc<W>) {
        let mut table = self.0.lock();
        let watchers = table.entry(client.id()).or_default();
        if !watchers.iter().any(|known| is_same(known, watcher)) {
            watchers.push(Arc::clone(watcher));
        }
    }

    /// Removes a watcher.
    pub(crate) fn remove(&self, client: &Client, watcher: &Arc<W>) {
        let mut table = self.0.lock();
        let Some(watchers) = table.get_mut(&client.id()) else { return };
        let index = watchers.iter().position(|known| is_same(known, watcher));
        let removed = index.map(|index| watchers.swap_remove(index));
        if watchers.is_empty() {
            table.remove(&client.id());
            shrink(&mut table);
        }
        drop(table);
        drop(removed); // it holds wakers of the application
    }

    /// Removes all watchers of a client. The caller drops them when it holds no lock.
    pub(crate) fn take(&self, client: &Client) -> Vec<Arc<W>> {
        let mut table = self.0.lock();
        let watchers = table.remove(&client.id()).unwrap_or_default();
        shrink(&mut table);
        watchers
    }

    /// The number of clients with watchers.
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

impl Client {
    /// Registers a part of the server that handles the client though its resource may still refuse
    /// it. Call it in the resource's `connected`.
    pub(crate) fn hand_to(&self, host: &Arc<dyn Host>) {
        self.set_has_queue();
        self.0.context.shared.hosts.add(self, host);
        // A resource may pass a client that it has taken before, or that has ended. Then nothing
        // would remove the host.
        if self.is_connected() || self.is_disconnected() {
            self.0.context.shared.hosts.remove(self, host);
        }
    }

    /// Removes the hosts of a client that its resource has taken: the resource will learn of its
    /// end.
    pub(crate) fn forget_hosts(&self) {
        if self.has_queue() {
            drop(self.0.context.shared.hosts.take(self));
        }
    }

    /// Notifies the hosts of a client that was refused, and has ended.
    pub(crate) fn notify_hosts(&self, end: &Disconnect) {
        if self.has_queue() {
            for host in self.0.context.shared.hosts.take(self) {
                broken!(RefusesInSilence, continue);
                host.ended(self, end);
            }
        }
    }
}
