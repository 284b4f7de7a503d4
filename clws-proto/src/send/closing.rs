//! The closing handshake, and the end of sending.

use crate::buffer::pool::{BufferPool, NoPool};
use crate::close;
use crate::close::{CloseCode, CloseFrame};
use crate::error::SendError;
use crate::frame::header::Opcode;
use crate::send::Sender;
use crate::version::Version;

impl Sender {
    /// Queues the close frame: the beginning of the closing handshake, or its end. Nothing can follow it.
    ///
    /// A code that this version's table lacks is sent as [the nearest it has](CloseCode::nearest_in). A reason of over
    /// 123 bytes is cut off at the end of a character. Draft 0 sends its `FF 00`, which has neither code nor reason.
    /// Hixie-75 [has no close frame](Version::has_close_frame): nothing is queued, and when all that was queued before is
    /// written, the caller ends its side of the TCP connection.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] the second time. [`SendError::InvalidCloseCode`] for a code that must not be on the wire
    /// (RFC 6455 §7.4): nothing is queued, and [`close_without_code`](Self::close_without_code) still closes.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if self.close_sent {
            return Err(SendError::Closed);
        }
        if self.version.is_hixie() {
            if !code.is_allowed_in(Version::Rfc6455) && code != CloseCode::FRAME_TOO_LARGE {
                return Err(SendError::InvalidCloseCode(code.value()));
            }
            self.close_with(&[]);
            return Ok(());
        }
        let code = code.nearest_in(self.version);
        if !code.is_allowed_in(self.version) {
            return Err(SendError::InvalidCloseCode(code.value()));
        }
        let mut body = [0; 125];
        let len = close::write_body(&mut body, code, reason);
        self.close_with(body.get(..len).unwrap_or_default());
        Ok(())
    }

    /// Queues a close frame without a code. A second one is ignored.
    pub fn close_without_code(&mut self) {
        if !self.close_sent {
            self.close_with(&[]);
        }
    }

    /// Answers the peer's close frame with its own code, unless a close frame was sent before.
    pub fn answer_close(&mut self, frame: Option<&CloseFrame<'_>>) {
        // RFC 6455 §5.5.1: "If an endpoint receives a Close frame and did not previously send a Close frame, the
        // endpoint MUST send a Close frame in response. (When sending a Close frame in response, the endpoint
        // typically echos the status code it received.)"
        match frame {
            Some(frame) if !self.version.is_hixie() => {
                // The receiver has checked the code against the table; one made by hand may be wrong, and an answer
                // is due nevertheless.
                if self.close(frame.code, "").is_err() {
                    self.close_without_code();
                }
            }
            _ => self.close_without_code(),
        }
    }

    /// Whether a close frame was queued: nothing more can be sent.
    #[must_use]
    pub const fn close_sent(&self) -> bool {
        self.close_sent
    }

    /// Takes nothing more, as behind a close frame, without sending one: for a peer that has ended its side.
    pub fn seal(&mut self) {
        (self.close_sent, self.sealed) = (true, true);
        if let Some(buffer) = &mut self.buffer {
            buffer.deferred_pong = None;
        }
        // No message will refer back to earlier ones any more.
        #[cfg(feature = "deflate")]
        if let Some(special) = &mut self.special {
            special.deflation = None;
        }
    }

    /// Takes nothing more and drops all that is queued: for a connection that is lost.
    pub fn abandon(&mut self) {
        self.abandon_with(&NoPool);
    }

    /// The same, with a pool that the buffers go to.
    pub fn abandon_with(&mut self, buffers: &dyn BufferPool) {
        self.seal();
        if let Some(buffer) = self.buffer.take() {
            buffer.outbox.abandon(buffers);
        }
    }

    fn close_with(&mut self, body: &[u8]) {
        if let Some(buffer) = &mut self.buffer
            && let Some(pong) = buffer.deferred_pong.take()
        {
            self.queue_pong(pong.payload.get(..usize::from(pong.len)).unwrap_or_default());
        }
        self.close_sent = true;
        if !self.version.has_close_frame() {
            // hixie-75 has no closing handshake: the end of the TCP connection is the end of the conversation.
        } else if self.version.is_hixie() {
            // hybi-00 §5.3: "Send a 0xFF byte and a 0x00 byte to the client to indicate the start of the closing
            // handshake."
            self.outbox().append(|out| out.extend_from_slice(&[0xFF, 0x00]));
        } else {
            self.frame(Opcode::Close, body);
        }
    }
}
