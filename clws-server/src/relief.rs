//! What is done when too much memory is held for the clients of a server: which place is asked to drop some.
//!
//! A shard looks at its own clients, and the driver of a stream at those of all streams. A place whose clients hold little
//! asks the next one.

use crate::server::Shared;
use crate::wake::WakeTarget;

impl Shared {
    /// To be called when something was charged for a client of that home, with no lock held.
    #[inline]
    pub(crate) fn relieve(&self, wake_target: &WakeTarget) {
        if self.budget.is_over() {
            self.ask(wake_target);
        }
    }

    #[cold]
    fn ask(&self, wake_target: &WakeTarget) {
        // A shard looks itself, after each client's share of its turn.
        if self.shards().iter().any(|shard_handle| shard_handle.is_here()) {
            return;
        }
        match wake_target {
            WakeTarget::Shard(shard_handle, _) => shard_handle.relieve(self.shards().len()),
            WakeTarget::Stream(_) => self.relieve_streams(),
        }
    }

    /// Drops the stream's client that holds most, or asks the shards.
    #[cold]
    pub(crate) fn relieve_streams(&self) {
        if !self.streams.drop_biggest(self)
            && let Some(first) = self.shards().first()
        {
            first.relieve(self.shards().len());
        }
    }

    /// Bytes that a client must hold to be dropped: half of what all of them may on average. So where the limit is used up,
    /// somebody holds as much, but for what waits in mailboxes.
    pub(crate) fn fair_share(&self) -> usize {
        self.budget.limit() / (2 * self.clients().max(1))
    }
}
