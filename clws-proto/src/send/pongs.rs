//! Control frames that overtake queued frames: answers to pings, and keepalive pings.

use crate::error::SendError;
use crate::frame::encode;
use crate::frame::header::{MAX_HEADER, Opcode};
use crate::send::Sender;
use crate::send::outbox::DeferredPong;

/// The maximum bytes of queued pongs. Above it, only the newest ping is answered.
const PONG_BUDGET: u32 = 4096;

impl Sender {
    /// Answers a received ping with its payload.
    ///
    /// The pong overtakes queued frames. It goes to the first known frame boundary: after the frame
    /// that is being written, and after at most 120 KiB of frames shorter than 60 KiB. It overtakes
    /// nothing if less than 60 KiB of small frames are queued. It never overtakes another answer to
    /// a ping or [pinned](Self::pin) bytes.
    ///
    /// Each ping gets its own pong while the peer reads. Once 4 KiB of pongs are queued, only the
    /// newest ping is stored, and answered after these pongs are written. A flood of pings
    /// therefore cannot grow memory. Nothing is sent after a close frame. While one is queued, a
    /// ping is answered if the pong can overtake a frame before the close frame.
    pub fn answer_ping(&mut self, payload: &[u8]) {
        let Ok(len @ ..=125) = u8::try_from(payload.len()) else { return };
        // RFC 6455 §5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in
        // response, unless it already received a Close frame."
        if self.version.is_hixie() || self.sealed || self.close_sent && self.queued() == 0 {
            return;
        }
        if self.buffer.as_ref().is_none_or(|buffer| buffer.pong_bytes < PONG_BUDGET) {
            self.queue_pong(payload);
        } else {
            // RFC 6455 §5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong
            // frame(s) in response to previous Ping frame(s), the endpoint MAY elect to send a Pong
            // frame for only the most recently processed Ping frame."
            let mut pong = DeferredPong { payload: [0; 125], len };
            pong.payload[..payload.len()].copy_from_slice(payload);
            self.buffer().deferred_pong = Some(Box::new(pong));
        }
    }

    /// Queues a ping that measures whether the peer is alive, with at most 125 bytes of payload.
    ///
    /// It overtakes queued frames as an [answer to a ping](Self::answer_ping) does. A
    /// [`ping`](Self::ping) keeps its place instead, so that its pong shows what the peer has read.
    /// Returns the number of queued bytes up to the end of the ping: it is written when that many
    /// bytes are written.
    ///
    /// ```
    /// use clws_proto::{Sender, Version};
    ///
    /// let mut sender = Sender::server(Version::Rfc6455);
    /// for _ in 0..100 {
    ///     sender.text(&"x".repeat(10_000), None)?;
    /// }
    /// assert!(sender.ping_early(b"?")? < sender.queued() / 2);
    /// # Ok::<(), clws_proto::SendError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`ping`](Self::ping).
    pub fn ping_early(&mut self, payload: &[u8]) -> Result<usize, SendError> {
        self.check_control(Opcode::Ping, payload)?;
        self.queue_early(Opcode::Ping, payload).ok_or(SendError::Closed)
    }

    pub(super) fn queue_pong(&mut self, payload: &[u8]) {
        self.queue_early(Opcode::Pong, payload);
    }

    /// Queues a control frame at the first known frame boundary. Returns the number of queued bytes
    /// up to its end, or `None` if it is not queued because it would follow a close frame.
    fn queue_early(&mut self, opcode: Opcode, payload: &[u8]) -> Option<usize> {
        let key = self.extras.as_mut().and_then(|extras| extras.key());
        // RFC 6455 §5.5.1: "The application MUST NOT send any more data frames after sending a
        // Close frame."
        let may_be_last = !self.close_sent || self.is_close_waiting();
        let buffer = self.buffer();
        // RFC 6455 §5.5.2: "It SHOULD respond with Pong frame as soon as is practical." And §5.4:
        // "Control frames MAY be injected in the middle of a fragmented message."
        let before = buffer.outbox.queued();
        let position = buffer.outbox.insert(buffer.floor, may_be_last, |out| {
            out.reserve(MAX_HEADER + payload.len());
            encode::frame(out, true, opcode, payload, key);
        });
        if let Some(position) = position {
            let len = u32::try_from(buffer.outbox.queued() - before).unwrap_or(u32::MAX);
            buffer.pong_bytes = buffer.pong_bytes.saturating_add(len);
            buffer.pong_mark = position;
            buffer.floor = buffer.floor.max(position);
            if let Some(backlog) = &mut buffer.backlog {
                let inserted = buffer.outbox.queued() - before;
                backlog.receipts.note_inserted(position - inserted, inserted);
            }
        }
        position
    }

    /// Keeps the next `count` bytes as they are: no pong is inserted before or between them.
    ///
    /// This is for a writer that has looked at [`io_slices`](Self::io_slices), has consumed
    /// nothing, and expects the same bytes again. TLS libraries do so when a record is encrypted
    /// but not yet sent. A socket does not.
    pub fn pin(&mut self, count: usize) {
        if let Some(buffer) = &mut self.buffer {
            buffer.floor = buffer.floor.max(count.min(buffer.outbox.queued()));
        }
    }

    /// Updates the positions after `written` bytes were written.
    #[cold]
    pub(super) fn lower_floor(&mut self, written: usize) {
        let Some(buffer) = &mut self.buffer else { return };
        buffer.floor = buffer.floor.saturating_sub(written);
        buffer.pong_mark = buffer.pong_mark.saturating_sub(written);
        if buffer.pong_mark == 0 {
            buffer.pong_bytes = 0;
            if let Some(pong) = buffer.deferred_pong.take() {
                self.answer_ping(pong.payload.get(..usize::from(pong.len)).unwrap_or_default());
            }
        }
    }
}
