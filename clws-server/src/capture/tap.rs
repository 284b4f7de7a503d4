//! The recording of one connection, at its driver.

use std::io::IoSlice;
use std::sync::Arc;

use crate::capture::event::{Event, EventContent};
use crate::capture::packet::{MAX_HEADERS, MAX_PAYLOAD};
use crate::capture::pcapng::PACKET_BLOCK;
use crate::capture::queue::Queue;
use crate::capture::recording::Side;
use crate::time::now;

/// A gap is at most this long, so that its length is clear from the sequence numbers of TCP.
const LONGEST_GAP: u32 = 1 << 30;

/// The bytes that a packet takes in the file in addition to its payload: its block, its headers,
/// its padding, and a comment if bytes are missing.
const PACKET_SIZE: usize = PACKET_BLOCK + MAX_HEADERS + 4 + 64;

/// Copies the bytes of a connection into the queue of the recorder. It never waits.
#[derive(Debug)]
pub(crate) struct Tap {
    queue: Arc<Queue>,
    id: usize,
    /// Bytes that the file may still grow. `None` after the end of the recording.
    left: Option<usize>,
    missing: [u32; 2],
}

impl Tap {
    pub(super) const fn new(queue: Arc<Queue>, id: usize, left: usize) -> Self {
        Self { queue, id, left: Some(left), missing: [0; 2] }
    }

    /// Records bytes that were read.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.record(Side::Client, bytes.len(), || bytes.into());
    }

    /// Records the first `count` bytes of slices, which were written.
    pub(crate) fn written(&mut self, slices: &[IoSlice<'_>], count: usize) {
        self.record(Side::Server, count, || {
            let mut bytes = Vec::with_capacity(count);
            for slice in slices {
                let left = count - bytes.len();
                bytes.extend_from_slice(slice.get(..left).unwrap_or(slice));
            }
            bytes.into()
        });
    }

    /// Records the end of the client's side, or of ours.
    pub(crate) fn end(&mut self, side: Side) {
        self.send(EventContent::End(side));
    }

    /// Records that reading failed.
    pub(crate) fn reset(&mut self) {
        self.send(EventContent::Reset(Side::Client));
    }

    fn record(&mut self, side: Side, count: usize, copy: impl FnOnce() -> Box<[u8]>) {
        let Some(left) = self.left else { return };
        if count == 0 {
            return;
        }
        let size = count + count.div_ceil(MAX_PAYLOAD) * PACKET_SIZE;
        if size > left || self.queue.has_failed() || !self.queue.take_total(size) {
            return self.stop();
        }
        self.left = Some(left - size);
        if self.queue.take_queue(count) {
            return self.send(EventContent::Bytes(side, copy()));
        }
        let [client, server] = &mut self.missing;
        let missing = if side == Side::Client { client } else { server };
        *missing = missing.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.queue.note_missing(count);
        if *missing > LONGEST_GAP {
            self.stop();
        }
    }

    fn send(&mut self, content: EventContent) {
        if self.left.is_some() {
            let missing = std::mem::take(&mut self.missing);
            self.queue.send(Event { id: self.id, at: now(), missing, content });
        }
    }

    /// Ends the recording before the connection ends. The file has no end of the connection.
    #[cold]
    fn stop(&mut self) {
        self.missing = [0; 2];
        self.send(EventContent::Over);
        self.left = None;
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if self.left.is_some() {
            self.send(EventContent::Dropped);
        }
    }
}
