//! Messages that wait for room in the outbox. Until they are encoded, they can be dropped.

pub(crate) mod pending;
pub(crate) mod policy;
pub(crate) mod receipts;

use std::collections::{BTreeMap, BTreeSet};

use crate::buffer::pool::BufferPool;
use crate::buffer::receipt::Fate;
use crate::send::backlog::pending::{Key, Pending};
use crate::send::backlog::receipts::Receipts;

/// An estimate of the memory that a waiting message takes in the tables.
const ENTRY: usize = size_of::<Pending>() + 6 * size_of::<u64>();

/// The messages that were not sent because the peer reads slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCounts {
    /// Messages that were dropped by a [`SlowPolicy`](crate::SlowPolicy).
    pub dropped: u64,
    /// Messages that were replaced by a newer one with their key.
    pub replaced: u64,
}

/// The messages that wait, in the order in which they were sent, and what must happen after them.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pub(super) waiting: BTreeMap<u64, Pending>,
    /// The waiting messages that [`SlowPolicy::drop_oldest`] permits to drop.
    pub(super) droppable: BTreeSet<u64>,
    pub(super) keys: BTreeMap<Key, u64>,
    next: u64,
    pub(super) droppable_bytes: usize,
    pub(super) memory: usize,
    pub(super) room: usize,
    /// The body of the close frame that follows the last message.
    pub(super) close: Option<Box<[u8]>>,
    pub(crate) receipts: Receipts,
}

impl Backlog {
    /// Memory held, in bytes.
    pub(crate) fn held(&self) -> usize {
        size_of::<Self>() + self.memory + self.waiting.len() * ENTRY + self.receipts.held()
    }

    /// Drops everything, for a lost connection.
    pub(crate) fn abandon(self, buffers: &dyn BufferPool) {
        self.receipts.abandon(buffers);
        self.waiting.into_values().for_each(|message| message.release(Fate::Lost, buffers));
    }

    pub(super) fn push(&mut self, message: Pending, is_droppable: bool) {
        let id = self.next;
        self.next += 1;
        self.memory += message.held();
        if is_droppable {
            self.droppable.insert(id);
            self.droppable_bytes += message.len();
        }
        if let Some(key) = message.key {
            self.keys.insert(key, id);
        }
        self.waiting.insert(id, message);
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Pending> {
        let message = self.waiting.remove(&id)?;
        self.memory -= message.held();
        if self.droppable.remove(&id) {
            self.droppable_bytes -= message.len();
        }
        if let Some(key) = message.key
            && self.keys.get(&key) == Some(&id)
        {
            self.keys.remove(&key);
        }
        Some(message)
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(id, _)| *id)
    }
}
