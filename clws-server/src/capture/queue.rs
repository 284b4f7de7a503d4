//! The queue between the drivers and the thread that writes, and its limits.

use std::sync::{Arc, mpsc};

use crate::capture::event::{Event, EventContent};
use crate::sync::{atomic::AtomicBool, atomic::AtomicUsize, atomic::Ordering};

/// The queue of a recorder. Nothing waits for it: what does not fit is missing.
#[derive(Debug)]
pub(super) struct Queue {
    events: mpsc::Sender<Event>,
    writing: Arc<Writing>,
    max_total_size: usize,
    max_queued: usize,
    /// Bytes that all files have or may get.
    total: AtomicUsize,
    missing: AtomicUsize,
}

/// What the queue and its writer share.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// Bytes in the queue.
    pub(super) queued: AtomicUsize,
    /// Writing has failed: nothing more is recorded.
    pub(super) failed: AtomicBool,
}

impl Queue {
    pub(super) fn new(
        events: mpsc::Sender<Event>,
        writing: Arc<Writing>,
        max_total_size: usize,
        max_queued: usize,
    ) -> Self {
        let (total, missing) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { events, writing, max_total_size, max_queued, total, missing }
    }

    /// Adds to the bytes of all files. Returns false if they would be too many.
    pub(super) fn take_total(&self, bytes: usize) -> bool {
        take(&self.total, bytes, self.max_total_size)
    }

    /// Whether all files may have that many bytes more.
    pub(super) fn has_total(&self, bytes: usize) -> bool {
        self.total().saturating_add(bytes) <= self.max_total_size
    }

    /// Adds to the bytes of the queue. Returns false if they would be too many.
    pub(super) fn take_queue(&self, bytes: usize) -> bool {
        take(&self.writing.queued, bytes + size_of::<Event>(), self.max_queued)
    }

    pub(super) fn note_missing(&self, bytes: usize) {
        self.missing.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.writing.failed.load(Ordering::Relaxed)
    }

    pub(super) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn missing(&self) -> usize {
        self.missing.load(Ordering::Relaxed)
    }

    pub(super) fn send(&self, event: Event) {
        // It fails only after a panic of the thread that writes. Then nobody waits for it.
        if let Err(mpsc::SendError(Event { content: EventContent::Flush(signal), .. })) =
            self.events.send(event)
        {
            signal.give();
        }
    }
}

/// Adds to a number. Returns false, and changes nothing, if the sum would be above `most`.
fn take(number: &AtomicUsize, more: usize, most: usize) -> bool {
    let add = |now: usize| now.checked_add(more).filter(|sum| *sum <= most);
    number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
}
