//! Drops of the application's data that wait until a lock is released.

use std::cell::{Cell, RefCell};
use std::fmt;

use bytes::Bytes;
use clws_proto::buffer::{BufferPool, Fate, Receipt};

use crate::buffer_pool::SharedBuffers;
use crate::client::Client;
use crate::client::treatment::{Discarded, Many, Settled, drop_all};

/// The pool for a locked outbox.
///
/// It keeps discarded bytes of the application until it is dropped, because their drop is code of
/// the application. Create it before the lock is taken, so that it is dropped after the lock is
/// released.
pub(crate) struct DeferredDrops<'a> {
    client: &'a Client,
    /// The last discarded bytes. Most writes discard none or one, which needs no allocation.
    first: Cell<Option<Bytes>>,
    more: RefCell<Vec<Bytes>>,
    receipts: RefCell<Vec<Settled>>,
}

impl<'a> DeferredDrops<'a> {
    #[inline]
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self {
            client,
            first: Cell::new(None),
            more: RefCell::new(Vec::new()),
            receipts: RefCell::new(Vec::new()),
        }
    }

    /// Leaves the drops to a send to many clients, which may hold a lock.
    pub(super) fn leave_to(mut self, many: &Many) {
        let (bytes, receipts) = self.take();
        many.discarded.borrow_mut().extend(Discarded::new(self.client, bytes, receipts));
    }

    fn take(&mut self) -> (Vec<Bytes>, Vec<Settled>) {
        let mut bytes = std::mem::take(self.more.get_mut());
        bytes.extend(self.first.take());
        (bytes, std::mem::take(self.receipts.get_mut()))
    }
}

impl BufferPool for DeferredDrops<'_> {
    fn acquire(&self, least: usize, most: usize) -> Vec<u8> {
        SharedBuffers.acquire(least, most)
    }

    fn release(&self, buffer: Vec<u8>) {
        SharedBuffers.release(buffer);
    }

    fn discard(&self, bytes: Bytes) {
        if let Some(before) = self.first.replace(Some(bytes)) {
            self.more.borrow_mut().push(before);
        }
    }

    fn settle(&self, receipt: Box<dyn Receipt>, fate: Fate) {
        self.receipts.borrow_mut().push((receipt, fate));
    }
}

impl fmt::Debug for DeferredDrops<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeferredDrops")
    }
}

impl Drop for DeferredDrops<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.first.get_mut().is_some() || !self.receipts.get_mut().is_empty() {
            let (bytes, receipts) = self.take();
            drop_all(self.client, bytes, receipts);
        }
    }
}
