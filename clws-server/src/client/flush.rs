//! Writing an outbox to its socket or stream.

use std::cell::Cell;
use std::io::{self, IoSlice};

use clws_proto::Sender;

use crate::buffer_pool;
use crate::client::Client;
use crate::client::deferred_drops::DeferredDrops;
#[cfg(feature = "__tls")]
use crate::net::transport::encrypted_bytes;
use crate::wake::WakeTarget;

/// The slices of one write, enough for most outboxes.
const FEW_SLICES: usize = 16;
/// The slices of one write for an outbox with many small messages that other outboxes share.
const MANY_SLICES: usize = 64;

/// The most bytes that a stream is given at once.
const MAX_COPIED: usize = 64 * 1024;

thread_local! {
    /// The copy that is written to a stream. It is taken out meanwhile, because the stream may send
    /// to another client.
    static COPY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

type Write<'a> = &'a mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>;

impl Client {
    /// Writes the queue until the socket takes no more. Returns whether all of it is written.
    pub(crate) fn flush(&self, write: Write<'_>) -> io::Result<bool> {
        // A socket is written to under the outbox's lock. A stream is code of the application.
        if let WakeTarget::Stream(_) = self.0.wake_target {
            return self.flush_copied(write);
        }
        self.flush_locked(write)
    }

    /// Writes the queue under the outbox's lock.
    #[inline]
    pub(crate) fn flush_locked(&self, write: Write<'_>) -> io::Result<bool> {
        let drops = DeferredDrops::new(self); // dropped after the lock
        let mut outbox = self.outbox();
        self.counters().note_sent(outbox.take_message_count());
        let flushed = flush(&mut outbox, &drops, write);
        // Messages that waited have entered the outbox meanwhile.
        self.counters().note_sent(outbox.take_message_count());
        if outbox.queued() == 0 {
            buffer_pool::take_back(&mut outbox);
        }
        self.charge(&mut outbox);
        flushed
    }

    /// Writes copies of the queue without the lock. The outbox may be [abandoned](Client::abandon)
    /// meanwhile: then it stays empty.
    fn flush_copied(&self, write: Write<'_>) -> io::Result<bool> {
        // A thread that ends may have dropped its thread-locals.
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
                    let written = written.min(copy.len()); // a stream may claim more
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

    /// Appends the bytes to write next. Releases the buffer of an empty outbox.
    fn copy_queued(&self, copy: &mut Vec<u8>) {
        let mut outbox = self.outbox();
        self.counters().note_sent(outbox.take_message_count());
        if outbox.queued() == 0 {
            buffer_pool::take_back(&mut outbox);
            return self.charge(&mut outbox);
        }
        let mut slices = [IoSlice::new(&[]); MANY_SLICES];
        let filled = outbox.io_slices(&mut slices);
        for slice in slices.get(..filled).unwrap_or_default() {
            let free = MAX_COPIED.saturating_sub(copy.len());
            copy.extend_from_slice(slice.get(..free).unwrap_or(slice));
        }
        // A TLS stream that returns `Pending` may have encrypted some of these bytes already. It
        // counts them as written in the next call, so they must not change.
        outbox.pin(copy.len());
    }

    fn consume(&self, written: usize) {
        let drops = DeferredDrops::new(self); // dropped after the lock
        let mut outbox = self.outbox();
        outbox.consume_with(written, &drops);
        self.charge(&mut outbox);
    }
}

fn flush(outbox: &mut Sender, drops: &DeferredDrops<'_>, write: Write<'_>) -> io::Result<bool> {
    while outbox.queued() > 0 {
        let (offered, result) = offer(outbox, write);
        match result {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                outbox.consume_with(written, drops);
                // The socket is full, and reports when it is writable again.
                if written < offered {
                    return Ok(false);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The bytes of a record that is not written yet must not change.
                #[cfg(feature = "__tls")]
                outbox.pin(encrypted_bytes(&error));
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Offers the queue to one vectored write. Returns how many bytes were offered, and the result.
fn offer(outbox: &Sender, write: Write<'_>) -> (usize, io::Result<usize>) {
    let most = outbox.slices();
    if most <= FEW_SLICES {
        offer_in::<FEW_SLICES>(outbox, write)
    } else {
        offer_in::<MANY_SLICES>(outbox, write)
    }
}

fn offer_in<const SLICES: usize>(outbox: &Sender, write: Write<'_>) -> (usize, io::Result<usize>) {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let filled = outbox.io_slices(&mut slices);
    let slices = slices.get(..filled).unwrap_or_default();
    (slices.iter().map(|slice| slice.len()).sum(), write(slices))
}
