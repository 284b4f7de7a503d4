use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::encode;
use crate::header::Opcode;

/// A message for many clients, encoded at most once per framing.
///
/// A server's frames are not masked, so one encoding serves every client of drafts 7, 8 and 13, and one more
/// those of draft 0. Each is made when the first client needs it and shared from then on, between threads too (in an
/// [`Arc`](std::sync::Arc)). Give it to [`Sender::shared`](crate::Sender::shared).
///
/// ```
/// use clws_proto::{Role, Sender, SharedMessage, Version};
///
/// let message = SharedMessage::text("hello, all");
/// for _ in 0..1000 {
///     Sender::server(Version::Rfc6455).shared(&message)?;
/// }
/// assert_eq!(message.encodings(), 1);
/// # Ok::<(), clws_proto::SendError>(())
/// ```
#[derive(Debug)]
pub struct SharedMessage {
    opcode: Opcode,
    payload: Bytes,
    frame_size: Option<NonZeroUsize>,
    hybi: OnceLock<Bytes>,
    hixie: OnceLock<Bytes>,
    encodings: AtomicUsize,
}

impl SharedMessage {
    /// A text message.
    #[must_use]
    pub fn text(message: impl Into<String>) -> Self {
        Self::new(Opcode::Text, Bytes::from(message.into()))
    }

    /// A binary message; draft-0 clients cannot get it.
    #[must_use]
    pub fn binary(message: impl Into<Bytes>) -> Self {
        Self::new(Opcode::Binary, message.into())
    }

    /// The same in fragments of at most that many octets; `None` (the default) sends one frame.
    #[must_use]
    pub fn with_frame_size(self, frame_size: Option<NonZeroUsize>) -> Self {
        let mut message = Self::new(self.opcode, self.payload);
        message.frame_size = frame_size;
        message
    }

    /// How many encodings were made so far: at most one per framing.
    #[must_use]
    pub fn encodings(&self) -> usize {
        self.encodings.load(Ordering::Relaxed)
    }

    /// Octets of the payload.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Whether this is text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.opcode == Opcode::Text
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(crate) const fn opcode(&self) -> Opcode {
        self.opcode
    }

    pub(crate) const fn frame_size(&self) -> Option<NonZeroUsize> {
        self.frame_size
    }

    pub(crate) fn hybi(&self) -> &Bytes {
        self.hybi.get_or_init(|| {
            self.encode(|out| {
                encode::hybi(out, self.opcode, &self.payload, self.frame_size, || None);
            })
        })
    }

    pub(crate) fn hixie(&self) -> &Bytes {
        self.hixie.get_or_init(|| self.encode(|out| encode::hixie_text(out, &self.payload)))
    }

    fn encode(&self, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        self.encodings.fetch_add(1, Ordering::Relaxed);
        let mut out = Vec::new();
        write(&mut out);
        Bytes::from(out)
    }

    fn new(opcode: Opcode, payload: Bytes) -> Self {
        Self {
            opcode,
            payload,
            frame_size: None,
            hybi: OnceLock::new(),
            hixie: OnceLock::new(),
            encodings: AtomicUsize::new(0),
        }
    }
}
