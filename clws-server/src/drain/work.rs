//! The handlers that a drain waits for: tasks of async handlers, and mailboxes.

use std::fmt;
use std::sync::Weak;

use slab::Slab;

use crate::lock::{Lock, rank};

/// A handler on a task, which may have work when its clients have left.
pub(crate) trait Work: Send + Sync {
    /// Whether nothing is queued and nothing is being handled.
    fn is_idle(&self) -> bool;

    /// The data messages that are queued and that no handler has got.
    fn unhandled(&self) -> u64;
}

/// The handlers of a server.
#[derive(Default)]
pub(crate) struct Works(Lock<Slab<Weak<dyn Work>>, { rank::WORKS }>);

impl Works {
    /// Adds a handler. Returns the key to remove it with, as long as the handler exists.
    pub(crate) fn add(&self, work: Weak<dyn Work>) -> usize {
        let mut works = self.0.lock();
        if works.len() == works.capacity() {
            works.retain(|_, work| work.strong_count() > 0); // mailboxes do not remove themselves
        }
        works.insert(work)
    }

    pub(crate) fn remove(&self, key: usize) {
        let removed = self.0.lock().try_remove(key);
        drop(removed);
    }

    /// Handlers that have work: their number, and the messages that wait for them.
    pub(crate) fn unfinished(&self) -> (u64, u64) {
        // The last reference may be among them, and its drop may run code of the application.
        let works: Vec<_> = self.0.lock().iter().filter_map(|(_, work)| work.upgrade()).collect();
        let busy = works.iter().filter(|work| !work.is_idle());
        busy.fold((0, 0), |(count, messages), work| (count + 1, messages + work.unhandled()))
    }
}

impl fmt::Debug for Works {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Works")
    }
}
