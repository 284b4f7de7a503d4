//! The memory that is held for a client, and the budget that is charged for it.

use std::sync::atomic::Ordering;

use clws_proto::Sender;

use crate::budget::{Charged, HOLD_BACK_ABOVE};
use crate::client::Client;

impl Client {
    /// Charges for the memory that the outbox holds. Call it when the queue has grown by a page,
    /// and after each write.
    #[inline(never)]
    pub(super) fn charge(&self, outbox: &mut Sender) {
        outbox.cut();
        let mut charged = Charged::from_pages(outbox.mark());
        let before = charged.bytes();
        charged.update(outbox.held(), &self.0.context.budget);
        if charged.bytes() != before {
            self.counters_of_this_thread().note_queued(before, charged.bytes());
        }
        outbox.set_mark(charged.into_pages());
    }

    /// Whether nothing more may be queued for the client: too much is queued, or much is queued and
    /// the server's memory is used up.
    #[cold]
    pub(super) fn is_backlog_full(&self, queued: usize) -> bool {
        let context = &self.0.context;
        queued > context.config.max_write_backlog
            || (context.budget.is_exhausted() && queued > HOLD_BACK_ABOVE.max(context.fair_share()))
    }

    /// Records how many bytes wait in its [`WebSocket`](crate::WebSocket).
    pub(crate) fn note_inbox(&self, bytes: usize) {
        if let Some(extras) = &self.0.extras {
            extras.inbox.store(bytes, Ordering::Relaxed);
        }
    }

    /// The bytes of memory that are held for the client: its queue, in which a message to many
    /// clients counts in full; its compression context; and the messages in its
    /// [`WebSocket`](crate::WebSocket).
    pub(crate) fn held(&self) -> usize {
        let inbox = self.0.extras.as_ref().map_or(0, |extras| extras.inbox.load(Ordering::Relaxed));
        let outbox = self.outbox();
        outbox.held().max(outbox.queued()) + inbox
    }

    /// The part of the held memory that is the compression context.
    pub(crate) fn compression_context(&self) -> usize {
        #[cfg(feature = "deflate")]
        let context = self.context_size();
        #[cfg(not(feature = "deflate"))]
        let context = 0;
        context
    }
}
