//! The events of a client that are counted in the statistics of its server.

use clws_handshake::Version;

use crate::client::Client;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::client::outcome::SendError;
use crate::stats::counters::Counters;
use crate::stats::kinds::{DropReason, HandshakeOutcome};
use crate::wake::WakeTarget;

impl Client {
    /// The counters of the client's driver. Only the driver's thread may count there.
    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        match &self.0.wake_target {
            WakeTarget::Shard(shard_handle, _) => &shard_handle.counters,
            WakeTarget::Stream(_) => self.shared_counters(),
        }
    }

    /// Counters for code that any thread may run.
    pub(crate) fn counters_of_this_thread(&self) -> &Counters {
        match &self.0.wake_target {
            WakeTarget::Shard(shard_handle, _) if shard_handle.is_here() => &shard_handle.counters,
            _ => self.shared_counters(),
        }
    }

    fn shared_counters(&self) -> &Counters {
        &self.0.context.shared.counters
    }

    /// Counts a message that was not queued.
    #[cold]
    pub(super) fn note_refused(&self, error: SendError) {
        let reason = match error {
            SendError::Full => DropReason::Full,
            SendError::Closed => DropReason::Closed,
            _ => DropReason::Unsupported,
        };
        self.counters_of_this_thread().note_dropped(reason, 1);
    }

    /// Counts a client whose handshake is complete. Called by the driver.
    pub(crate) fn note_opened(&self) {
        let counters = self.counters();
        counters.note_handshake(HandshakeOutcome::Accepted);
        counters.note_opened(self.websocket_version());
    }

    /// Counts the messages that were queued up to the end of the connection, and the end. Called by
    /// the driver, when nothing more can be queued.
    pub(crate) fn note_ended(&self, disconnect: &Disconnect) {
        let counters = self.counters();
        let sent = self.outbox().take_message_count();
        counters.note_sent(sent);
        let version = self.websocket_version();
        let code = disconnect.counted_code(version);
        counters.note_ended(version, code, disconnect.cause.name(), disconnect.undelivered);
    }
}

impl Disconnect {
    /// The code to count: that of the close frame that ended the connection, whichever side sent
    /// it.
    fn counted_code(&self, version: Version) -> clws_proto::CloseCode {
        match &self.cause {
            DisconnectCause::Protocol(error) => error.close_code(version),
            DisconnectCause::Panic => clws_proto::CloseCode::INTERNAL,
            _ => self.code,
        }
    }
}
