//! The state of a receiver between reads.

use crate::buffer::pool::NoPool;
use crate::deflate::extension::Plain;
#[cfg(feature = "deflate")]
use crate::deflate::extension::Skip;
use crate::frame::header::Opcode;
use crate::receive::decoded::Decoded;
use crate::receive::framing::Framing;
use crate::receive::input::Cursor;
use crate::receive::{Receiver, Unread};

impl Receiver {
    /// Whether nothing more will come: a close frame was read or the peer broke the protocol.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether input waits that a reader left unread.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        let is_complete = match &self.framing {
            Framing::Hybi(hybi) => hybi.is_complete(),
            Framing::Hixie(_) => false,
            #[cfg(feature = "deflate")]
            Framing::Deflate(deflate) => deflate.0.is_complete(),
        };
        is_complete || self.unread.is_some()
    }

    /// Whether all that has come was whole messages and frames, and none of it is unread: if the connection ends here, the
    /// end cuts nothing off.
    ///
    /// In hixie-75, which has no close frame, this tells an end that the peer meant from a connection that broke. Draft 0
    /// has a close frame, but there are clients that end the TCP connection instead. Ask before [`discard`](Self::discard): a
    /// receiver that [is finished](Self::is_finished) has forgotten what had begun, and says true.
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
        let has_begun = match &self.framing {
            Framing::Hybi(hybi) => hybi.has_begun(),
            Framing::Hixie(hixie) => !hixie.is_between_frames(),
            #[cfg(feature = "deflate")]
            Framing::Deflate(deflate) => deflate.0.has_begun(),
        };
        !has_begun && self.unread.is_none()
    }

    /// Whether the input that a reader left unread begins with a close frame: then no message waits before it.
    ///
    /// A reader that takes no more messages for now need not let the end of the connection wait.
    #[must_use]
    pub fn is_close_next(&self) -> bool {
        let Some(unread) = &self.unread else { return false };
        let rest = unread.octets.get(unread.position..).unwrap_or_default();
        match &self.framing {
            Framing::Hybi(hybi) => hybi.is_close(rest),
            Framing::Hixie(hixie) => hixie.is_close(rest),
            #[cfg(feature = "deflate")]
            Framing::Deflate(deflate) => deflate.0.is_close(rest),
        }
    }

    /// Whether the input that a reader left unread begins with a ping, or goes on with one: then no message waits before it.
    ///
    /// A reader that takes no more messages for now may still answer pings.
    #[must_use]
    pub fn is_ping_next(&self) -> bool {
        let Some(unread) = &self.unread else { return false };
        self.framing.is_ping(unread.octets.get(unread.position..).unwrap_or_default())
    }

    /// Whether a message has begun to come and is not complete. In draft 0 and hixie-75 it is always false.
    #[must_use]
    pub fn is_in_message(&self) -> bool {
        match &self.framing {
            Framing::Hybi(hybi) => hybi.is_in_message(),
            Framing::Hixie(_) => false,
            #[cfg(feature = "deflate")]
            Framing::Deflate(deflate) => deflate.0.is_in_message(),
        }
    }

    /// Octets of memory held for what is cut off or unread: 0 between messages. (What is kept for compressed messages to refer
    /// back to is counted apart, by `context_size`.)
    #[must_use]
    pub fn held(&self) -> usize {
        let partial = match &self.framing {
            Framing::Hybi(hybi) => hybi.held(),
            Framing::Hixie(hixie) => hixie.held(),
            #[cfg(feature = "deflate")]
            Framing::Deflate(deflate) => deflate.0.held() + deflate.1.held(),
        };
        partial + self.unread.as_ref().map_or(0, |unread| size_of::<Unread>() + unread.octets.capacity())
    }

    /// Discards all that is held, for a connection that ends: unread input, and a message in progress.
    ///
    /// Returns how many whole data messages were in it that no event has told of. Compressed ones are counted without being
    /// inflated. Nothing more can be received afterwards.
    ///
    /// ```
    /// use clws_proto::{Limits, Receiver, Role, Version};
    ///
    /// let mut receiver = Receiver::new(Version::Rfc6455, Role::Client, Limits::default());
    /// let mut read = [0x81, 0x01, b'a', 0x89, 0x00, 0x82, 0x01, b'b', 0x81, 0x05, b'c'];
    /// drop(receiver.receive(&mut read)); // a reader that stops at once
    /// assert_eq!(receiver.discard(), 2); // "a" and "b"; the ping is no data, and "c" is not complete
    /// assert_eq!(receiver.held(), 0);
    /// ```
    pub fn discard(&mut self) -> u64 {
        if self.finished {
            return 0;
        }
        let (mut held, mut position) = self.unread.take().map_or((Vec::new(), 0), |u| (u.octets, u.position));
        if let Some(hybi) = self.framing.hybi() {
            hybi.forget_payload();
        }
        let mut messages = 0;
        loop {
            let input = Cursor { buffer: &mut held, position: &mut position, min_adoptable_len: usize::MAX };
            let step = match &mut self.framing {
                Framing::Hybi(hybi) => hybi.step(input, self.role, &self.limits, &NoPool, &mut Plain),
                Framing::Hixie(hixie) => hixie.step(input.buffer, input.position, &self.limits),
                #[cfg(feature = "deflate")]
                Framing::Deflate(deflate) => {
                    deflate.0.step(input, self.role, &self.limits, &NoPool, &mut Skip)
                }
            };
            match step {
                Ok(
                    Decoded::Text(_)
                    | Decoded::Binary(_)
                    | Decoded::InPlace { opcode: Opcode::Text | Opcode::Binary | Opcode::Continuation, .. },
                ) => messages += 1,
                Ok(
                    Decoded::Control(Opcode::Ping | Opcode::Pong, _)
                    | Decoded::InPlace { opcode: Opcode::Ping | Opcode::Pong, .. },
                ) => {}
                // The end of the input, a close frame, or something that breaks the protocol.
                Ok(_) | Err(_) => break,
            }
        }
        self.finish();
        messages
    }
}
