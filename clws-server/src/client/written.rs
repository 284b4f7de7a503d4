//! Waiting until a client's queue is written.

use std::sync::Arc;

use crate::client::Client;
use crate::client::outcome::SendError;
use crate::client::watchers::Watcher;
use crate::sync::broken;

impl Client {
    /// Whether the queue is empty: everything was passed to the system, or, with an error, some of
    /// it was dropped because the connection has ended. `None` while data is queued; the watcher is
    /// then notified when that may have changed.
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
        // The queue may have been written before the watcher was registered.
        let written = self.has_written();
        if written.is_some() {
            self.unwatch(&watcher);
        }
        written
    }

    /// Registers a watcher. It is notified once: when the queue is written, the client is closed or
    /// the connection has ended. The caller then checks whether that has happened already.
    pub(crate) fn watch(&self, watcher: &Arc<dyn Watcher>) {
        self.0.context.shared.watchers.add(self, watcher);
        self.0.state.watch();
    }

    pub(crate) fn unwatch(&self, watcher: &Arc<dyn Watcher>) {
        if self.0.state.is_watched() {
            self.0.context.shared.watchers.remove(self, watcher);
        }
    }

    /// Notifies the watchers. No lock may be held.
    #[inline]
    pub(super) fn notify_watchers(&self) {
        if self.0.state.is_watched() {
            self.notify_all_watchers();
        }
    }

    #[cold]
    fn notify_all_watchers(&self) {
        // The bit is cleared first: a new watcher sets it again after it is in the table.
        self.0.state.unwatch();
        for watcher in self.0.context.shared.watchers.take(self) {
            watcher.notice();
        }
    }

    fn has_written(&self) -> Option<Result<(), SendError>> {
        let outbox = self.outbox();
        if outbox.queued() > 0 {
            return None;
        }
        // The bit is set under the lock.
        Some(if self.0.state.has_lost() { Err(SendError::Closed) } else { Ok(()) })
    }
}
