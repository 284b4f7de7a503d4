//! The methods of a sender that queue control frames.

use crate::error::SendError;
use crate::frame::encode;
use crate::frame::header::{MAX_HEADER, Opcode};
use crate::send::Sender;

impl Sender {
    /// Queues a ping with at most 125 bytes of payload, at the end of the queue.
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`], [`SendError::Closed`], and [`SendError::Unsupported`] in
    /// draft 0 and hixie-75.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.queue_control(Opcode::Ping, payload)
    }

    /// Queues an unsolicited pong at the end of the queue (RFC 6455 §5.5.3: "a unidirectional
    /// heartbeat").
    ///
    /// # Errors
    ///
    /// Like [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.queue_control(Opcode::Pong, payload)
    }

    fn queue_control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        self.check_control(opcode, payload)?;
        self.queue_frame(opcode, payload);
        Ok(())
    }

    pub(super) fn check_control(&self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        self.check(opcode)?;
        // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less and
        // MUST NOT be fragmented."
        if payload.len() > 125 {
            return Err(SendError::ControlTooLong);
        }
        Ok(())
    }

    pub(super) fn queue_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let key = self.extras.as_mut().and_then(|extras| extras.key());
        self.outbox().append(|out| {
            out.reserve(MAX_HEADER + payload.len());
            encode::frame(out, true, opcode, payload, key);
        });
    }
}
