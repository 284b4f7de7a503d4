//! Tasks that wait until all that was queued for a client is written.

use std::sync::Arc;

use crate::client::outcome::SendError;
use crate::client::watchers::Watcher;
use crate::client::{Client, LOST, WATCHED};
use crate::sync::atomic::Ordering;
use crate::sync::broken;

impl Client {
    /// Whether nothing is queued any more: all of it was given to the system, or, with an error, some of it was dropped because
    /// the connection is gone. `None` while something is queued; then the watcher is told when that may have changed.
    pub(crate) fn written(
        &self,
        watcher: impl FnOnce() -> Arc<dyn Watcher>,
    ) -> Option<Result<(), SendError>> {
        let written = self.has_written();
        if written.is_some() {
            return written;
        }
        let watcher = watcher();
        broken!(WatchesTooLate, {
            self.watch(&watcher);
            return None;
        });
        self.watch(&watcher);
        // It may have been written before the bit was there.
        let written = self.has_written();
        if written.is_some() {
            self.unwatch(&watcher);
        }
        written
    }

    /// Waits for the client: the watcher is told, once, when all is written, when it is closed, and when it is gone. The caller
    /// then looks whether that is so already.
    pub(crate) fn watch(&self, watcher: &Arc<dyn Watcher>) {
        self.0.context.watchers.add(self, watcher);
        self.0.state.fetch_or(WATCHED, Ordering::Relaxed);
    }

    /// Waits no more.
    pub(crate) fn unwatch(&self, watcher: &Arc<dyn Watcher>) {
        if self.0.state.load(Ordering::Relaxed) & WATCHED != 0 {
            self.0.context.watchers.remove(self, watcher);
        }
    }

    /// Tells those that wait. No lock may be held.
    #[inline]
    pub(super) fn tell_watchers(&self) {
        if self.0.state.load(Ordering::Relaxed) & WATCHED != 0 {
            self.tell_all_watchers();
        }
    }

    #[cold]
    fn tell_all_watchers(&self) {
        // First: one that comes now sets it again when it is in the table.
        self.0.state.fetch_and(!WATCHED, Ordering::Relaxed);
        for watcher in self.0.context.watchers.take(self) {
            watcher.notice();
        }
    }

    fn has_written(&self) -> Option<Result<(), SendError>> {
        let outbox = self.outbox();
        if outbox.queued() > 0 {
            return None;
        }
        // It is set under the lock.
        let is_lost = self.0.state.load(Ordering::Relaxed) & LOST != 0;
        Some(if is_lost { Err(SendError::Closed) } else { Ok(()) })
    }
}
