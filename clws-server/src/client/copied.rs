//! Writing to a stream of the application, whose code must not run while the outbox is locked.

use std::cell::Cell;
use std::io::{self, IoSlice};

use crate::buffer_pool;
use crate::client::Client;
use crate::client::deferred_drops::DeferredDrops;
use crate::client::internal::MANY;

/// The most bytes that a stream is given at once.
const AT_ONCE: usize = 64 * 1024;

thread_local! {
    /// The copy of what is written. It is taken out meanwhile, for a stream may come back here by another client.
    static COPY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Client {
    /// Writes what is queued, a copy at a time and without the lock; whether all of it went. The outbox may be
    /// [abandoned](Client::abandon) meanwhile: then nothing is queued any more, and nothing will be.
    pub(super) fn flush_copied(
        &self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        // A thread that ends has none any more.
        let mut copy = COPY.try_with(Cell::take).unwrap_or_default();
        let flushed = loop {
            copy.clear();
            self.copy_queued(&mut copy);
            if copy.is_empty() {
                break Ok(true);
            }
            match write(&[IoSlice::new(&copy)]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    let written = written.min(copy.len()); // whatever the stream says
                    self.consume(written);
                    if written < copy.len() {
                        break Ok(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let _ = COPY.try_with(|kept| kept.set(copy));
        flushed
    }

    /// Appends what is to be written next; gives the buffer away if that is nothing.
    fn copy_queued(&self, copy: &mut Vec<u8>) {
        let mut outbox = self.outbox();
        if outbox.queued() == 0 {
            buffer_pool::take_back(&mut outbox);
            return self.charge(&mut outbox);
        }
        let mut slices = [IoSlice::new(&[]); MANY];
        let filled = outbox.io_slices(&mut slices);
        for slice in slices.get(..filled).unwrap_or_default() {
            let room = AT_ONCE.saturating_sub(copy.len());
            copy.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        // A TLS stream that says "not now" may have encrypted some of it, and takes it for written the next time.
        outbox.pin(copy.len());
    }

    fn consume(&self, written: usize) {
        let drops = DeferredDrops::new(self.config()); // dropped after the lock
        let mut outbox = self.outbox();
        outbox.consume_with(written, &drops);
        self.charge(&mut outbox);
    }
}
