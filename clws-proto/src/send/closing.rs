//! The closing handshake and the end of sending.

use crate::buffer::pool::{BufferPool, NoPool};
use crate::close;
use crate::close::{CloseCode, CloseFrame};
use crate::error::SendError;
use crate::frame::header::Opcode;
use crate::send::Sender;
use crate::version::Version;

impl Sender {
    /// Queues the close frame that starts or ends the closing handshake. No frame can follow it.
    ///
    /// A code that this version does not define is replaced by [the closest
    /// code](CloseCode::nearest_in). A reason of more than 123 bytes is truncated at a character
    /// boundary. Draft 0 sends `FF 00` without code and reason. Hixie-75 [has no close
    /// frame](Version::has_close_frame): nothing is queued, and the caller ends its side of the TCP
    /// connection after the queued bytes are written.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] after a close frame. [`SendError::InvalidCloseCode`] for a code that
    /// must not be sent (RFC 6455 §7.4). Nothing is queued in that case, and
    /// [`close_without_code`](Self::close_without_code) still closes.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if self.close_sent {
            return Err(SendError::Closed);
        }
        if self.version.is_hixie() {
            if !code.is_allowed_in(Version::Rfc6455) && code != CloseCode::FRAME_TOO_LARGE {
                return Err(SendError::InvalidCloseCode(code.value()));
            }
            self.queue_close(&[]);
            return Ok(());
        }
        let code = code.nearest_in(self.version);
        if !code.is_allowed_in(self.version) {
            return Err(SendError::InvalidCloseCode(code.value()));
        }
        let mut body = [0; 125];
        let len = close::write_body(&mut body, code, reason);
        self.queue_close(body.get(..len).unwrap_or_default());
        Ok(())
    }

    /// Queues a close frame without a code. Does nothing after a close frame.
    pub fn close_without_code(&mut self) {
        if !self.close_sent {
            self.queue_close(&[]);
        }
    }

    /// Answers the peer's close frame with the same code, unless a close frame is already queued.
    pub fn answer_close(&mut self, frame: Option<&CloseFrame<'_>>) {
        // RFC 6455 §5.5.1: "If an endpoint receives a Close frame and did not previously send a
        // Close frame, the endpoint MUST send a Close frame in response. (When sending a Close
        // frame in response, the endpoint typically echos the status code it received.)"
        match frame {
            Some(frame) if !self.version.is_hixie() => {
                // A received code has been checked. The caller may pass an invalid code, and the
                // peer still needs an answer.
                if self.close(frame.code, "").is_err() {
                    self.close_without_code();
                }
            }
            _ => self.close_without_code(),
        }
    }

    /// Whether a close frame was queued. Nothing more can be sent.
    #[must_use]
    pub const fn close_sent(&self) -> bool {
        self.close_sent
    }

    /// Refuses further frames without sending a close frame, for a peer that has ended its side.
    pub fn seal(&mut self) {
        (self.close_sent, self.sealed) = (true, true);
        if let Some(buffer) = &mut self.buffer {
            buffer.deferred_pong = None;
        }
        // No later message refers to earlier ones.
        #[cfg(feature = "deflate")]
        if let Some(extras) = &mut self.extras {
            extras.deflation = None;
        }
    }

    /// Refuses further frames and drops the queue, for a lost connection.
    pub fn abandon(&mut self) {
        self.abandon_with(&NoPool);
    }

    /// Like [`abandon`](Self::abandon), and returns the buffers to a pool.
    pub fn abandon_with(&mut self, buffers: &dyn BufferPool) {
        self.seal();
        if let Some(buffer) = self.buffer.take() {
            buffer.outbox.abandon(buffers);
            if let Some(backlog) = buffer.backlog {
                backlog.abandon(buffers);
            }
        }
    }

    fn queue_close(&mut self, body: &[u8]) {
        if let Some(buffer) = &mut self.buffer
            && let Some(pong) = buffer.deferred_pong.take()
        {
            self.queue_pong(pong.payload.get(..usize::from(pong.len)).unwrap_or_default());
        }
        self.close_sent = true;
        if self.is_waiting() {
            return self.let_close_wait(body);
        }
        self.append_close(body);
    }

    /// Appends the close frame to the outbox.
    pub(super) fn append_close(&mut self, body: &[u8]) {
        if !self.version.has_close_frame() {
            // In hixie-75 the end of the TCP connection replaces the close frame.
        } else if self.version.is_hixie() {
            // hybi-00 §5.3: "Send a 0xFF byte and a 0x00 byte to the client to indicate the start
            // of the closing handshake."
            self.outbox().append(|out| out.extend_from_slice(&[0xFF, 0x00]));
        } else {
            self.queue_frame(Opcode::Close, body);
        }
    }
}
