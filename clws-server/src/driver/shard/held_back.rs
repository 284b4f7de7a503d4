//! The clients that a shard does not read from while memory is short.

use std::collections::VecDeque;
use std::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Relief {
    /// Slots of clients that are not read from. A slot without the flag `HELD_BACK` is outdated.
    pub(super) held_back: VecDeque<u32>,
    /// Slots of held-back clients whose peer has ended its side. Their memory is free when they are
    /// read to their end. A slot without the flag `GONE` is outdated.
    pub(super) gone: VecDeque<u32>,
    /// The held-back client that is read as usual, and the end of its time. It has the flag
    /// `ALLOWED`.
    pub(super) favored: Option<(u32, Instant)>,
    /// The time at which the slots are examined again.
    pub(super) at: Option<Instant>,
    /// Below this much used memory, another search for a client to drop would find none.
    pub(super) search_above: usize,
}

impl Relief {
    pub(super) const fn next_wake_up(&self) -> Option<Instant> {
        self.at
    }
}
