//! The memory that a connection holds, and what happens when the server is short of memory.

use crate::budget::{Budget, HOLD_BACK_ABOVE};
use crate::client::Client;
use crate::client::disconnect::DisconnectCause;
use crate::connection::context::Context;
use crate::connection::open::{End, Open};
use crate::connection::{Connection, Stage};
use crate::guard::{Fields, enter, log};

impl Open {
    /// Whether the client is not read from because memory is short.
    #[inline]
    pub(super) fn is_held_back(&self, budget: &Budget) -> bool {
        budget.is_pressed() && self.is_held_back_pressed(budget)
    }

    #[cold]
    fn is_held_back_pressed(&self, budget: &Budget) -> bool {
        // Reading less does not shrink a compression context. The input of a client that is closed
        // is discarded, and its close frame must be read.
        let held = self.held_input() + self.client.held();
        let held = held.saturating_sub(self.client.compression_context());
        let waits = self.client.has_queue() && budget.is_over();
        (waits || held > HOLD_BACK_ABOVE) && !self.client.is_closing()
    }
}

impl Connection {
    /// The bytes of memory for unhandled input and for HTTP answers. What the client holds is not
    /// included.
    #[inline]
    pub(crate) fn held_input(&self) -> usize {
        match &self.stage {
            Stage::Open(open) => open.held_input(),
            Stage::Handshake(handshake) => handshake.received.capacity(),
            Stage::Closing(closing) => closing.held_reply(),
            Stage::Closed => 0,
        }
    }

    /// The bytes of memory that are held for the connection and its client.
    pub(crate) fn held(&self) -> usize {
        self.held_input() + self.client().map_or(0, Client::held)
    }

    /// Whether the driver must not read because memory is short: either the connection holds much,
    /// or the budget is used up and input would only wait in a mailbox.
    #[inline]
    pub(crate) fn is_held_back(&self, budget: &Budget) -> bool {
        budget.is_pressed() && self.is_held_back_pressed(budget)
    }

    #[cold]
    fn is_held_back_pressed(&self, budget: &Budget) -> bool {
        match &self.stage {
            Stage::Open(open) => open.is_held_back(budget),
            Stage::Handshake(_) => self.held() > HOLD_BACK_ABOVE,
            Stage::Closing(_) | Stage::Closed => false,
        }
    }

    /// Ends the connection at once, because too much memory is held and this connection holds most
    /// of it. Queued data is lost.
    pub(crate) fn drop_for_memory(&mut self, context: &Context<'_>) {
        if let Stage::Closed = self.stage {
            return;
        }
        let held = self.held();
        let in_span = self.client().and_then(enter);
        let Fields { id, peer, client, resource, version } = Fields::of(&self.client().cloned());
        log(|| {
            tracing::warn!(
                id,
                peer,
                client,
                resource,
                version,
                held,
                "dropped a client, because too much memory is held"
            );
        });
        drop(in_span);
        context.clients.budget.note_dropped();
        self.abandon_handshake(context);
        if let Stage::Open(_) = self.stage {
            self.end(End::Lost(DisconnectCause::Budget), context);
        }
        self.close();
    }
}
