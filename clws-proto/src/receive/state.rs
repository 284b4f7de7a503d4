//! The state of a receiver between reads.

use crate::buffer::pool::NoPool;
use crate::deflate::extension::Plain;
#[cfg(feature = "deflate")]
use crate::deflate::extension::Skip;
use crate::frame::header::Opcode;
use crate::limits::Limits;
use crate::receive::decoded::Decoded;
use crate::receive::framing::{Framing, Status};
use crate::receive::input::{Cursor, Unread};
use crate::receive::{Events, Receiver};
use crate::version::Version;

impl Receiver {
    /// The protocol version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.framing.status().version
    }

    /// The limits on messages and frames.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A number that the driver may store here, such as the time of the last read. It takes no extra
    /// memory and is initially 0.
    #[must_use]
    pub const fn mark(&self) -> u32 {
        u32::from_ne_bytes(self.framing.status().mark)
    }

    /// Sets the number that [`mark`](Self::mark) returns.
    pub const fn set_mark(&mut self, mark: u32) {
        self.framing.status_mut().mark = mark.to_ne_bytes();
    }

    /// Whether no event will follow: a close frame was received or the peer violated the protocol.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.framing.status().finished
    }

    /// Whether there is input whose events were not taken.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        let has_complete_frame = match &self.framing {
            Framing::Hybi(_, hybi) => hybi.has_complete_frame(),
            Framing::Hixie(_, _) => false,
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => deflate.0.has_complete_frame(),
            Framing::Stream(_, stream) => stream.has_complete_frame(),
        };
        has_complete_frame || self.unread.is_some()
    }

    /// Whether all received messages and frames are complete and their events were taken. If the
    /// connection ends now, nothing is truncated.
    ///
    /// In hixie-75, which has no close frame, this distinguishes an intended end from a broken
    /// connection. Draft 0 has a close frame, but some clients end the TCP connection instead. Call
    /// it before [`discard`](Self::discard): a [finished](Self::is_finished) receiver has dropped
    /// incomplete messages and returns true.
    ///
    /// ```
    /// use clws_proto::{Limits, Receiver, Role, Version};
    ///
    /// let mut receiver = Receiver::new(Version::Hixie75, Role::Server, Limits::default());
    /// assert!(receiver.is_between_messages());
    /// assert!(receiver.receive(&mut b"\0half of a".to_owned()).next()?.is_none());
    /// assert!(!receiver.is_between_messages());
    /// # Ok::<(), clws_proto::ProtocolError>(())
    /// ```
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        let is_in_progress = match &self.framing {
            Framing::Hybi(_, hybi) => hybi.is_in_progress(),
            Framing::Hixie(_, hixie) => !hixie.is_between_frames(),
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => deflate.0.is_in_progress(),
            Framing::Stream(_, stream) => stream.hybi.is_in_progress(),
        };
        !is_in_progress && self.unread.is_none()
    }

    /// Whether the unread input starts with a close frame. No message precedes it.
    ///
    /// A caller that takes no more messages for now can still process the end of the connection.
    #[must_use]
    pub fn is_close_next(&self) -> bool {
        let Some(unread) = &self.unread else { return false };
        let rest = unread.bytes.get(unread.position..).unwrap_or_default();
        match &self.framing {
            Framing::Hybi(_, hybi) => hybi.is_close(rest),
            Framing::Hixie(_, hixie) => hixie.is_close(rest),
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => deflate.0.is_close(rest),
            Framing::Stream(_, stream) => stream.hybi.is_close(rest),
        }
    }

    /// Whether the unread input starts with a ping or continues one. No message precedes it.
    ///
    /// A caller that takes no more messages for now can still answer pings.
    #[must_use]
    pub fn is_ping_next(&self) -> bool {
        let Some(unread) = &self.unread else { return false };
        self.framing.is_ping(unread.bytes.get(unread.position..).unwrap_or_default())
    }

    /// Whether a message is incomplete. Always false in draft 0 and hixie-75.
    #[must_use]
    pub fn is_in_message(&self) -> bool {
        match &self.framing {
            Framing::Hybi(_, hybi) => hybi.is_in_message(),
            Framing::Hixie(_, _) => false,
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => deflate.0.is_in_message(),
            Framing::Stream(_, stream) => stream.hybi.is_in_message(),
        }
    }

    /// Memory held for incomplete and unread input, in bytes. 0 between messages. The context of
    /// compressed messages is counted by `context_size` instead.
    #[must_use]
    pub fn held(&self) -> usize {
        let partial = match &self.framing {
            Framing::Hybi(_, hybi) => hybi.held(),
            Framing::Hixie(_, hixie) => hixie.held(),
            #[cfg(feature = "deflate")]
            Framing::Deflate(_, deflate) => deflate.0.held() + deflate.1.held(),
            Framing::Stream(_, stream) => stream.held(),
        };
        partial + self.unread.as_ref().map_or(0, |unread| size_of::<Unread>() + unread.bytes.capacity())
    }

    /// Discards unread input and an incomplete message when a connection ends.
    ///
    /// Returns the number of complete data messages that were discarded. Compressed messages are
    /// counted without inflating them. A message in pieces counts if it was received completely and
    /// its last piece was not pulled. Nothing more can be received.
    ///
    /// ```
    /// use clws_proto::{Limits, Receiver, Role, Version};
    ///
    /// let mut receiver = Receiver::new(Version::Rfc6455, Role::Client, Limits::default());
    /// let mut read = [0x81, 0x01, b'a', 0x89, 0x00, 0x82, 0x01, b'b', 0x81, 0x05, b'c'];
    /// drop(receiver.receive(&mut read)); // takes no event
    /// // "a" and "b": the ping is not a message, and "c" is incomplete.
    /// assert_eq!(receiver.discard(), 2);
    /// assert_eq!(receiver.held(), 0);
    /// ```
    pub fn discard(&mut self) -> u64 {
        let Status { role, finished, .. } = self.framing.status();
        if finished {
            return 0;
        }
        let (mut held, mut position) = self.unread.take().map_or((Vec::new(), 0), |u| (u.bytes, u.position));
        if let Some(hybi) = self.framing.hybi() {
            hybi.drop_payload();
        }
        let mut messages = 0;
        loop {
            let input = Cursor {
                buffer: &mut held,
                position: &mut position,
                min_adoptable_len: usize::MAX,
                max_frames: u64::MAX,
            };
            let step = match &mut self.framing {
                Framing::Hybi(_, hybi) => hybi.step(input, role, &self.limits, &NoPool, &mut Plain),
                Framing::Hixie(_, hixie) => hixie.step(input, &self.limits),
                #[cfg(feature = "deflate")]
                Framing::Deflate(_, deflate) => deflate.0.step(input, role, &self.limits, &NoPool, &mut Skip),
                Framing::Stream(_, stream) => stream.skip(input, role, &self.limits),
            };
            match step {
                Ok(
                    Decoded::Text(_)
                    | Decoded::Binary(_)
                    | Decoded::Piece { last: true, .. }
                    | Decoded::InPlace { opcode: Opcode::Text | Opcode::Binary | Opcode::Continuation, .. },
                ) => messages += 1,
                Ok(
                    Decoded::Control(Opcode::Ping | Opcode::Pong, _)
                    | Decoded::InPlace { opcode: Opcode::Ping | Opcode::Pong, .. }
                    | Decoded::Piece { last: false, .. },
                ) => {}
                // The end of the input, a close frame, or a protocol error.
                Ok(_) | Err(_) => break,
            }
        }
        self.finish();
        messages
    }
}

impl Events<'_> {
    /// Whether input is left that was not decoded, for example after
    /// [`next_within`](Self::next_within).
    #[must_use]
    pub fn has_input(&mut self) -> bool {
        let len = if self.held.is_empty() { self.input.bytes().len() } else { self.held.len() };
        self.position < len && !self.receiver.is_finished()
    }

    /// Whether the next event is a ping, as far as the input shows. See [`Receiver::is_ping_next`].
    #[must_use]
    pub fn is_ping_next(&mut self) -> bool {
        let is_input = self.held.is_empty();
        let input = if is_input { self.input.bytes() } else { &mut self.held };
        let rest = input.get(self.position..).unwrap_or_default();
        !self.receiver.is_finished() && !rest.is_empty() && self.receiver.framing.is_ping(rest)
    }
}
