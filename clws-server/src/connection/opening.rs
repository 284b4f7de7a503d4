//! The way from the handshake to the next stage.

use clws_handshake::Reject;
use clws_proto::Input;
use tracing::field::display;

use crate::connection::closing::Closing;
use crate::connection::context::Context;
use crate::connection::handshake::Outcome;
use crate::connection::open::Open;
use crate::connection::proxy_header::explained;
use crate::connection::share::Share;
#[cfg(feature = "http")]
use crate::connection::upgrade::UpgradeAnswer;
use crate::connection::{Connection, Stage};
use crate::guard::log;

impl Connection {
    pub(super) fn handle_request(&mut self, input: &mut [u8], share: &mut Share, context: &Context<'_>) {
        let Stage::Handshake(handshake) = &mut self.stage else { return };
        // Most requests come in one piece, and are parsed in the driver's buffer.
        let mut received = std::mem::take(&mut handshake.received);
        let whole = received.is_empty();
        if !whole {
            received.extend_from_slice(input);
        }
        let bytes = if whole { input } else { &mut received[..] };
        let undecided = handshake.is_undecided();
        let outcome = if undecided { Ok(Outcome::Wait) } else { handshake.step(bytes, context) };
        let outcome = outcome.map_err(|reject| explained(reject, bytes));
        if self.conclude(outcome, bytes, share, context)
            && let Stage::Handshake(handshake) = &mut self.stage
        {
            handshake.received = if whole { bytes.to_vec() } else { received };
        }
    }

    /// Leaves the handshake stage if there is an outcome. Returns whether the handshake still
    /// waits. `bytes` is all input so far.
    pub(super) fn conclude(
        &mut self,
        outcome: Result<Outcome, Reject>,
        bytes: &mut [u8],
        share: &mut Share,
        context: &Context<'_>,
    ) -> bool {
        let Stage::Handshake(handshake) = &mut self.stage else { return false };
        let (open, consumed) = match outcome {
            Ok(Outcome::Wait) => return true,
            Ok(Outcome::Open(open, consumed)) => (open, consumed),
            Ok(Outcome::Reply(reply)) => {
                self.stage = Stage::Closing(Box::new(Closing::reply(reply, context)));
                return false;
            }
            Ok(Outcome::Page(reply, length)) => {
                let next = handshake.after_page(bytes.get(length..).unwrap_or_default());
                self.stage = Stage::Closing(Box::new(Closing::page(reply, next, context)));
                return false;
            }
            #[cfg(feature = "http")]
            Ok(Outcome::Upgrade(answer)) => {
                self.answer_upgrade(answer, bytes, context);
                return false;
            }
            Ok(Outcome::Refused(reject, outcome)) => {
                context.counters().note_handshake(outcome);
                self.refuse(reject, bytes, context);
                return false;
            }
            Err(reject) => {
                context.counters().note_rejected(reject.status());
                log(|| {
                    let client = handshake.remote.map(display);
                    tracing::debug!(peer = %handshake.peer, client, status = reject.status(), "refused: {}", reject.body());
                });
                self.refuse(reject, bytes, context);
                return false;
            }
        };
        #[cfg(feature = "capture")]
        if let Some(recorder) = context.recorder()
            && recorder.has_requests()
        {
            recorder.add_handshake(open.client.id().number(), bytes, &[]);
        }
        // The client may have sent frames without waiting for the answer.
        let early = bytes.get_mut(consumed..).unwrap_or_default();
        self.open(open, early, share, context);
        false
    }

    /// Enters the open stage. `early` is input after the handshake.
    pub(super) fn open(&mut self, open: Open, early: &mut [u8], share: &mut Share, context: &Context<'_>) {
        context.clients.shared.drain.note_open();
        self.stage = Stage::Open(open);
        let Stage::Open(open) = &mut self.stage else { return };
        open.start_clock(context);
        open.connect();
        if let Some(end) = open.handle_input(Input::Lent(early), share, context) {
            self.end(end, context);
        }
    }

    /// Refuses the handshake, of which `received` has arrived. The refusal is counted already.
    pub(super) fn refuse(&mut self, reject: Reject, received: &[u8], context: &Context<'_>) {
        let Stage::Handshake(handshake) = &mut self.stage else { return };
        #[cfg(feature = "http")]
        if let Some(upgrade) = &mut handshake.upgrade {
            upgrade.answer = Some(UpgradeAnswer::Refused(reject));
            return;
        }
        let reply = handshake.refusal(&reject, received, context);
        self.stage = Stage::Closing(Box::new(Closing::reply(reply, context)));
    }
}
