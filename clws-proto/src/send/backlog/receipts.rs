//! Receipts of messages in the outbox.

use std::collections::VecDeque;

use crate::buffer::pool::BufferPool;
use crate::buffer::receipt::{Fate, Receipt};

/// The receipts of encoded messages, in the order of the queue.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// Each with the position of the message's end. Positions count all bytes since the first
    /// receipt.
    ends: VecDeque<(u64, Box<dyn Receipt>)>,
    written: u64,
}

impl Receipts {
    pub(in crate::send) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a message whose last byte is now the last one of `queued` bytes.
    pub(in crate::send) fn push(&mut self, queued: usize, receipt: Box<dyn Receipt>) {
        self.ends.push_back((self.written + wide(queued), receipt));
    }

    /// Bytes were inserted after the first `position` bytes of the queue.
    pub(crate) fn note_inserted(&mut self, position: usize, bytes: usize) {
        let position = self.written + wide(position);
        for (end, _) in self.ends.iter_mut().rev().take_while(|(end, _)| *end > position) {
            *end += wide(bytes);
        }
    }

    pub(in crate::send) fn note_written(&mut self, bytes: usize, buffers: &dyn BufferPool) {
        self.written += wide(bytes);
        while self.ends.front().is_some_and(|(end, _)| *end <= self.written)
            && let Some((_, receipt)) = self.ends.pop_front()
        {
            buffers.settle(receipt, Fate::Written);
        }
    }

    pub(in crate::send) fn abandon(self, buffers: &dyn BufferPool) {
        self.ends.into_iter().for_each(|(_, receipt)| buffers.settle(receipt, Fate::Lost));
    }

    pub(in crate::send) fn held(&self) -> usize {
        self.ends.capacity() * size_of::<(u64, Box<dyn Receipt>)>()
    }
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
