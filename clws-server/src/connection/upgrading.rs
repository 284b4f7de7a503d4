//! A connection whose request another HTTP server has read: from the request to the answer, and then
//! to the stream.

use crate::config::address::Peer;
use crate::connection::context::Context;
use crate::connection::handshake::Handshake;
#[cfg(feature = "capture")]
use crate::connection::open::Open;
use crate::connection::share::Share;
use crate::connection::upgrade::{Unserved, Upgrade, UpgradeAnswer};
use crate::connection::{Connection, Stage};

impl Connection {
    /// A connection whose request another HTTP server has read. Its head is passed to
    /// [`handle_input`](Self::handle_input).
    pub(crate) fn upgrade(peer: Peer, upgrade: Upgrade, context: &Context<'_>) -> Self {
        let mut handshake = Handshake::new(peer, context);
        handshake.upgrade = Some(Box::new(upgrade));
        Self { stage: Stage::Handshake(Box::new(handshake)) }
    }

    /// A connection of an accepted client whose stream has come.
    pub(crate) fn upgraded(mut unserved: Unserved, share: &mut Share, context: &Context<'_>) -> Self {
        let mut connection = Self { stage: Stage::Closed };
        if let Some(open) = unserved.open.take() {
            connection.open(open, &mut [], share, context);
        }
        connection
    }

    /// The answer to the handshake. The connection is useless after it was taken.
    pub(crate) fn take_upgrade_answer(&mut self) -> Option<UpgradeAnswer> {
        match &mut self.stage {
            Stage::Handshake(handshake) => handshake.upgrade.as_mut()?.answer.take(),
            _ => None,
        }
    }

    /// Answers a handshake. `request` is its head.
    pub(super) fn answer_upgrade(
        &mut self,
        #[cfg_attr(not(feature = "capture"), expect(unused_mut, reason = "a recording changes it"))]
        mut answer: UpgradeAnswer,
        request: &[u8],
        context: &Context<'_>,
    ) {
        let Stage::Handshake(handshake) = &mut self.stage else { return };
        let Some(upgrade) = &mut handshake.upgrade else { return };
        #[cfg(feature = "capture")]
        if let UpgradeAnswer::Accepted(response, unserved) = &mut answer
            && let Some(recorder) = context.recorder()
            && let Some(Open { client, .. }) = &unserved.open
        {
            let recorded = match upgrade.is_connect {
                // A recording has the handshake of HTTP/1.1, which every reader of it understands.
                true => client.rebuilt_handshake(),
                false => (request.to_vec(), response.response.clone()),
            };
            recorder.add_handshake(client.id().number(), &recorded.0, &recorded.1);
            unserved.recorded = Some(recorded);
        }
        #[cfg(not(feature = "capture"))]
        let _ = (request, context);
        upgrade.answer = Some(answer);
    }
}
