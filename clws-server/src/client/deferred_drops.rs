//! Drops of the application's data that wait until a lock is released.

use std::cell::{Cell, RefCell};
use std::fmt;

use bytes::Bytes;
use clws_proto::buffer::BufferPool;

use crate::buffer_pool::SharedBuffers;
use crate::client::Client;
use crate::guard::discard;

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
}

impl<'a> DeferredDrops<'a> {
    #[inline]
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self { client, first: Cell::new(None), more: RefCell::new(Vec::new()) }
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
}

impl fmt::Debug for DeferredDrops<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeferredDrops")
    }
}

impl Drop for DeferredDrops<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(last) = self.first.take() {
            let (before, debug) = (std::mem::take(self.more.get_mut()), self.client.config().debug_on());
            before.into_iter().chain([last]).for_each(|bytes| discard(debug, self.client, bytes));
        }
    }
}
