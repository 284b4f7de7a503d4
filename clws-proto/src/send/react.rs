//! The reactions that every endpoint owes its peer.

use crate::error::ProtocolError;
use crate::message::reaction::Reaction;
use crate::send::Sender;

impl Sender {
    /// Queues the frame for this reaction: a pong, a close frame or nothing.
    ///
    /// It cannot fail: nothing is sent if a close frame was sent before.
    pub fn react(&mut self, reaction: &Reaction<'_>) {
        match reaction {
            Reaction::Deliver => {}
            Reaction::Pong(payload) => self.answer_ping(payload),
            Reaction::AnswerClose(frame) => self.answer_close(frame.as_ref()),
            Reaction::Fail(error) => self.close_with_error(error),
        }
    }

    fn close_with_error(&mut self, error: &ProtocolError) {
        // RFC 6455 §7.1.7: "If _The WebSocket Connection is Established_ prior to the point where
        // the endpoint is required to _Fail the WebSocket Connection_, the endpoint SHOULD send a
        // Close frame with an appropriate status code before proceeding to _Close the WebSocket
        // Connection_."
        if self.close(error.close_code(self.version), &error.to_string()).is_err() {
            self.close_without_code(); // unless a close frame was sent before
        }
    }
}
