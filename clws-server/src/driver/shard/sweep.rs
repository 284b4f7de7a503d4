//! The position of a shard's sweep over its connections.

use std::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The next slot.
    pub(super) next: usize,
    /// The time of the next step. `None` without connections.
    pub(super) at: Option<Instant>,
}

impl Sweep {
    pub(super) const fn next_wake_up(&self) -> Option<Instant> {
        self.at
    }
}
