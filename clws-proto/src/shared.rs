use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

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
#[derive(Clone, Debug)]
pub struct SharedMessage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
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
        Self::new(Opcode::Text, Bytes::from(message.into()), None)
    }

    /// A binary message; draft-0 clients cannot get it.
    #[must_use]
    pub fn binary(message: impl Into<Bytes>) -> Self {
        Self::new(Opcode::Binary, message.into(), None)
    }

    /// The same in fragments of at most that many octets; `None` (the default) sends one frame.
    #[must_use]
    pub fn with_frame_size(self, frame_size: Option<NonZeroUsize>) -> Self {
        Self::new(self.0.opcode, self.0.payload.clone(), frame_size)
    }

    /// How many encodings were made so far: at most one per framing.
    #[must_use]
    pub fn encodings(&self) -> usize {
        self.0.encodings.load(Ordering::Relaxed)
    }

    /// Octets of the payload.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.payload.len()
    }

    /// Whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.payload.is_empty()
    }

    /// Whether this is text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.0.opcode == Opcode::Text
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    pub(crate) fn opcode(&self) -> Opcode {
        self.0.opcode
    }

    pub(crate) fn frame_size(&self) -> Option<NonZeroUsize> {
        self.0.frame_size
    }

    pub(crate) fn hybi(&self) -> &Bytes {
        self.0.hybi.get_or_init(|| {
            self.encode(|out| {
                encode::hybi(out, self.0.opcode, &self.0.payload, self.0.frame_size, || None);
            })
        })
    }

    pub(crate) fn hixie(&self) -> &Bytes {
        self.0.hixie.get_or_init(|| self.encode(|out| encode::hixie_text(out, &self.0.payload)))
    }

    fn encode(&self, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        self.0.encodings.fetch_add(1, Ordering::Relaxed);
        let mut out = Vec::new();
        write(&mut out);
        Bytes::from(out)
    }

    fn new(opcode: Opcode, payload: Bytes, frame_size: Option<NonZeroUsize>) -> Self {
        let (hybi, hixie, encodings) = (OnceLock::new(), OnceLock::new(), AtomicUsize::new(0));
        Self(Arc::new(Inner { opcode, payload, frame_size, hybi, hixie, encodings }))
    }
}
