//! How one message is treated if its client reads slowly, and what is left to do afterwards.

use std::cell::{Cell, RefCell};

use bytes::Bytes;
use clws_proto::SlowPolicy;
use clws_proto::backlog::Key;
use clws_proto::buffer::{Fate, Receipt};

use crate::client::Client;
use crate::guard::discard;

/// A receipt, and what became of its message.
pub(super) type Settled = (Box<dyn Receipt>, Fate);

/// The options of a send that matter only for a client that reads slowly.
#[derive(Clone, Copy, Default)]
pub(super) struct Treatment<'a> {
    pub(super) policy: Option<SlowPolicy>,
    pub(super) key: Option<Key>,
    /// The send to many clients of which this is a part.
    pub(super) many: Option<&'a Many>,
}

impl Treatment<'static> {
    /// The treatment of a part of a send to many.
    pub(super) fn of(self, many: &Many) -> Treatment<'_> {
        Treatment { many: Some(many), ..self }
    }
}

impl Treatment<'_> {
    /// Whether the message may have to wait.
    #[inline]
    pub(super) const fn is_special(&self) -> bool {
        self.policy.is_some() || self.key.is_some()
    }
}

/// The state of a send to many clients. A lock may be held until it is dropped.
#[derive(Default)]
pub(super) struct Many {
    /// Older messages that were dropped for this one.
    pub(super) displaced: Cell<u64>,
    pub(super) discarded: RefCell<Vec<Discarded>>,
}

/// Values whose drop may be code of the application, with the client of the message.
pub(super) struct Discarded {
    client: Client,
    bytes: Vec<Bytes>,
    receipts: Vec<Settled>,
}

impl Discarded {
    /// `None` if there is nothing to drop.
    pub(super) fn new(client: &Client, bytes: Vec<Bytes>, receipts: Vec<Settled>) -> Option<Self> {
        let client = || client.clone();
        (!bytes.is_empty() || !receipts.is_empty()).then(|| Self { client: client(), bytes, receipts })
    }
}

/// Drops them under the guard.
impl Drop for Discarded {
    fn drop(&mut self) {
        let (bytes, receipts) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.receipts));
        drop_all(&self.client, bytes, receipts);
    }
}

/// Drops bytes and settles receipts. No lock may be held.
pub(super) fn drop_all(client: &Client, bytes: Vec<Bytes>, receipts: Vec<Settled>) {
    let debug = client.config().debug_on();
    bytes.into_iter().for_each(|bytes| discard(debug, client, bytes));
    // A receipt guards the task that it wakes.
    receipts.into_iter().for_each(|(receipt, fate)| receipt.settle(fate));
}
