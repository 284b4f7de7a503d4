//! Pings, and frames that are short.

use crate::error::SendError;
use crate::frame::encode;
use crate::frame::header::{MAX_HEADER, Opcode};
use crate::send::Sender;

impl Sender {
    /// Queues a ping with a payload of at most 125 octets, behind all that is queued.
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`], [`SendError::Closed`], and [`SendError::Unsupported`] in draft 0 and
    /// hixie-75.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.control(Opcode::Ping, payload)
    }

    /// Queues a pong that no ping asked for (RFC 6455 §5.5.3: "a unidirectional heartbeat"), behind all that is queued.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.control(Opcode::Pong, payload)
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        self.check(opcode)?;
        // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be
        // fragmented."
        if payload.len() > 125 {
            return Err(SendError::ControlTooLong);
        }
        self.frame(opcode, payload);
        Ok(())
    }

    pub(super) fn frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let key = self.special.as_mut().and_then(|special| special.key());
        self.outbox().append(|out| {
            out.reserve(MAX_HEADER + payload.len());
            encode::frame(out, true, opcode, payload, key);
        });
    }
}
