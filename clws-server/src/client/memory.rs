//! The memory that is held for a client, and what the server's budget is charged for it.

use std::sync::atomic::Ordering;

use clws_proto::Sender;

use crate::budget::{Charged, FREE};
use crate::client::Client;

impl Client {
    /// Charges for what the outbox holds by now. To be called when more is queued by a page, and when it was written to the
    /// socket.
    #[inline(never)]
    pub(super) fn charge(&self, outbox: &mut Sender) {
        outbox.cut();
        let mut charged = Charged::from_pages(outbox.mark());
        charged.update(outbox.held(), &self.0.context.budget);
        outbox.set_mark(charged.into_pages());
    }

    /// Whether it is not sent more: too much is queued, or much and the server's memory is used up.
    #[cold]
    pub(super) fn is_behind(&self, queued: usize) -> bool {
        let context = &self.0.context;
        queued > context.config.max_write_backlog
            || (context.budget.is_exhausted() && queued > FREE.max(context.fair_share()))
    }

    /// Takes note of how many bytes wait in its own [`WebSocket`](crate::WebSocket).
    pub(crate) fn note_inbox(&self, bytes: usize) {
        if let Some(extras) = &self.0.extras {
            extras.inbox.store(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes of memory that are held for it: what is queued, a message to many counted as a whole; what compressed messages to it
    /// refer back to; and what waits in its own [`WebSocket`](crate::WebSocket).
    pub(crate) fn held(&self) -> usize {
        let inbox = self.0.extras.as_ref().map_or(0, |extras| extras.inbox.load(Ordering::Relaxed));
        let outbox = self.outbox();
        outbox.held().max(outbox.queued()) + inbox
    }

    /// How much of it is the end of earlier messages, which compressed ones refer back to.
    pub(crate) fn compression_context(&self) -> usize {
        #[cfg(feature = "deflate")]
        let context = self.context_size();
        #[cfg(not(feature = "deflate"))]
        let context = 0;
        context
    }
}
