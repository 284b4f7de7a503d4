//! A drain of the server, as one connection sees it.

use std::time::Duration;

use clws_handshake::Reject;

use crate::client::state::Disposition;
use crate::connection::closing::Closing;
use crate::connection::context::Context;
use crate::connection::open::Open;
use crate::connection::refusal::RETRY_AFTER;
use crate::connection::{Connection, Stage};
use crate::drain::plan::Plan;
use crate::guard::guard;
use crate::resource::CloseTime;
use crate::stats::kinds::HandshakeOutcome;

/// The time for refused peers to end their side, after all clients have left.
pub(crate) const LINGER_TIME: Duration = Duration::from_secs(1);

/// A step of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrainStep {
    /// Handshakes end with 503.
    Begin,
    /// The client is closed when the application is ready for it.
    Turn,
    /// The same, but a client that does not read its answers is not waited for any more.
    LateTurn,
    /// The client is closed.
    Force,
    /// All clients have left: peers that were refused and do not end their side are dropped.
    End,
}

impl Connection {
    /// Takes a step of a drain. Returns false if it must be tried again later, because messages of
    /// the client are unread.
    pub(crate) fn drain(&mut self, step: DrainStep, context: &Context<'_>) -> bool {
        match &mut self.stage {
            Stage::Handshake(handshake) if step == DrainStep::Begin && handshake.is_idle() => {
                self.stage = Stage::Closing(Box::new(Closing::idle(context)));
                true
            }
            Stage::Handshake(handshake) if step == DrainStep::Begin => {
                context.counters().note_handshake(HandshakeOutcome::Stopping);
                if handshake.is_securing() {
                    self.stage = Stage::Closed;
                    return true;
                }
                let received = std::mem::take(&mut handshake.received);
                self.refuse(Reject::unavailable(Some(RETRY_AFTER)), &received, context);
                true
            }
            Stage::Closing(closing) if step == DrainStep::End && closing.client.is_none() => {
                self.close();
                true
            }
            Stage::Open(open)
                if !matches!(step, DrainStep::Begin | DrainStep::End) && !open.client.is_closing() =>
            {
                let Some(plan) = context.clients.shared.drain.plan() else { return true };
                if step == DrainStep::Force {
                    open.client.begin_close(plan.code, &plan.reason);
                    return true;
                }
                let reads_no_answers =
                    open.client.disposition() == Disposition::Wait && !open.client.is_paused();
                let waits = step == DrainStep::Turn || !reads_no_answers;
                !(waits && open.receiver.has_unread()) && open.take_turn(&plan)
            }
            _ => true,
        }
    }

    /// Whether the opening handshake is not complete.
    pub(crate) const fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Handshake(_))
    }
}

impl Open {
    /// Closes the client, unless the resource does it later.
    fn take_turn(&self, plan: &Plan) -> bool {
        let (client, entry) = (&self.client, &self.entry);
        match guard(client.config().debug_on(), client, || entry.resource.draining(client)) {
            Some(CloseTime::Now) => client.begin_close(plan.code, &plan.reason),
            Some(CloseTime::Later) => {}
            None => client.fail(),
        }
        true
    }
}
