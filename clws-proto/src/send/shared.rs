//! Messages for many clients.

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::str::Utf8Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;

use crate::buffer::meter::Meter;
use crate::buffer::pool::BufferPool;
#[cfg(feature = "deflate")]
use crate::deflate::compress::Deflation;
#[cfg(feature = "deflate")]
use crate::deflate::params::DeflateParams;
#[cfg(feature = "deflate")]
use crate::deflate::pool::CodecPool;
use crate::frame::encode;
use crate::frame::header::Opcode;
#[cfg(feature = "deflate")]
use crate::version::Role;

/// A message for many clients, encoded at most once per framing.
///
/// A server's frames are not masked. One encoding serves every client of drafts 7, 8 and 13, and
/// another one every client of draft 0 and hixie-75. The first client that needs an encoding makes
/// it. The encodings are shared between threads in an [`Arc`]. Pass the message to
/// [`Sender::shared`](crate::Sender::shared).
///
/// For clients that negotiated permessage-deflate without context takeover, it is compressed once
/// per window size, with the settings of the first such client. With context takeover it is
/// compressed for each client, because the result depends on the client's earlier messages.
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
    hybi: OnceLock<Encoded>,
    hixie: OnceLock<Encoded>,
    /// The compressed encodings for windows of 9 to 15 bits. `None` for a message that does not get
    /// smaller.
    #[cfg(feature = "deflate")]
    deflated: OnceLock<Box<[OnceLock<Option<Encoded>>; 7]>>,
    encodings: AtomicUsize,
    meter: OnceLock<Arc<dyn Meter>>,
    /// The number of senders in which the message waits. Counted only if there is a meter.
    waiting: AtomicUsize,
}

/// The encoded bytes of a shared message.
#[derive(Debug)]
pub(crate) struct Encoded(Arc<Wire>);

#[derive(Debug)]
struct Wire {
    bytes: Vec<u8>,
    /// The length of every frame except the last. `None` for a single frame.
    frame_len: Option<NonZeroUsize>,
    /// The number of references in outboxes. Counted only if there is a meter.
    references: AtomicUsize,
    meter: Option<Arc<dyn Meter>>,
}

/// A reference to a shared message in an outbox.
#[derive(Debug)]
pub(crate) struct Reference(Arc<Wire>);

/// A message that waits to be encoded. Its payload is charged once for all senders.
#[derive(Debug)]
pub(crate) struct Held {
    message: SharedMessage,
    is_charged: bool,
}

impl Held {
    pub(crate) const fn message(&self) -> &SharedMessage {
        &self.message
    }

    /// Drops the message. The last owner of the payload gives it to the pool, because the drop of a
    /// payload may be code of the application.
    pub(crate) fn release(self, buffers: &dyn BufferPool) {
        let message = self.message.clone();
        drop(self);
        if let Some(inner) = Arc::into_inner(message.0) {
            buffers.discard(inner.payload);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let inner = &self.message.0;
        if self.is_charged
            && let Some(meter) = inner.meter.get()
            && inner.waiting.fetch_sub(1, Ordering::Relaxed) == 1
        {
            meter.release(inner.payload.len());
        }
    }
}

impl Encoded {
    /// Creates a reference for an outbox.
    pub(crate) fn reference(&self) -> Reference {
        let wire = &self.0;
        if let Some(meter) = &wire.meter
            && wire.references.fetch_add(1, Ordering::Relaxed) == 0
        {
            meter.charge(wire.held());
        }
        Reference(Arc::clone(wire))
    }
}

impl Wire {
    /// Memory held, in bytes, with an estimate of the allocator's overhead.
    const fn held(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>() + 4 * size_of::<usize>()
    }
}

impl Reference {
    /// Another reference to the same message.
    pub(crate) fn reference(&self) -> Self {
        Encoded(Arc::clone(&self.0)).reference()
    }

    /// The first frame boundary inside the message, at offset `from` or later.
    pub(crate) fn frame_boundary(&self, from: usize) -> Option<usize> {
        let boundary = from.max(1).checked_next_multiple_of(self.0.frame_len?.get())?;
        (boundary < self.0.bytes.len()).then_some(boundary)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let wire = &self.0;
        if let Some(meter) = &wire.meter
            && wire.references.fetch_sub(1, Ordering::Relaxed) == 1
        {
            meter.release(wire.held());
        }
    }
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Deref for Reference {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl SharedMessage {
    /// A text message.
    #[must_use]
    pub fn text(message: impl Into<ByteString>) -> Self {
        Self::new(Opcode::Text, message.into().into_bytes(), None)
    }

    /// A text message from bytes, which are checked once and not copied.
    ///
    /// # Errors
    ///
    /// The bytes are not UTF-8.
    pub fn text_from_utf8(message: impl Into<Bytes>) -> Result<Self, Utf8Error> {
        let message = message.into();
        // The fast check does not report the position of the error.
        if simdutf8::basic::from_utf8(&message).is_err() {
            std::str::from_utf8(&message)?;
        }
        Ok(Self::new(Opcode::Text, message, None))
    }

    /// A binary message. Clients of draft 0 and hixie-75 cannot receive it.
    #[must_use]
    pub fn binary(message: impl Into<Bytes>) -> Self {
        Self::new(Opcode::Binary, message.into(), None)
    }

    /// Splits the message into fragments of at most `frame_size` bytes. `None` (the default) sends
    /// one frame.
    #[must_use]
    pub fn frame_size(self, frame_size: Option<NonZeroUsize>) -> Self {
        Self::new(self.0.opcode, self.0.payload.clone(), frame_size)
    }

    /// The number of encodings made so far: at most one per framing and per window size.
    #[must_use]
    pub fn encodings(&self) -> usize {
        self.0.encodings.load(Ordering::Relaxed)
    }

    /// The length of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.payload.len()
    }

    /// Whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.payload.is_empty()
    }

    /// Whether this is a text message.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.0.opcode == Opcode::Text
    }

    /// Sets the meter that counts the message's encodings while outboxes hold them. Each encoding
    /// counts once, for any number of outboxes. Only the first meter is used, and only for
    /// encodings made after this call.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// use clws_proto::buffer::Meter;
    /// use clws_proto::{Sender, SharedMessage, Version};
    ///
    /// #[derive(Debug, Default)]
    /// struct Count(AtomicUsize);
    ///
    /// impl Meter for Count {
    ///     fn charge(&self, bytes: usize) {
    ///         self.0.fetch_add(bytes, Ordering::Relaxed);
    ///     }
    ///
    ///     fn release(&self, bytes: usize) {
    ///         self.0.fetch_sub(bytes, Ordering::Relaxed);
    ///     }
    /// }
    ///
    /// let count = Arc::new(Count::default());
    /// let message = SharedMessage::binary(vec![0; 10_000]);
    /// message.set_meter(&(count.clone() as _));
    /// let mut senders = [(); 100].map(|()| Sender::server(Version::Rfc6455));
    /// for sender in &mut senders {
    ///     sender.shared(&message)?;
    /// }
    /// assert!((10_000..11_000).contains(&count.0.load(Ordering::Relaxed)));
    /// drop(senders);
    /// assert_eq!(count.0.load(Ordering::Relaxed), 0);
    /// # Ok::<(), clws_proto::SendError>(())
    /// ```
    pub fn set_meter(&self, meter: &Arc<dyn Meter>) {
        self.0.meter.get_or_init(|| Arc::clone(meter));
    }

    /// Compresses the message in advance for a server's clients with these parameters.
    /// [`Sender::shared`](crate::Sender::shared) then need not compress it, for example under a
    /// lock. It is compressed only once. With context takeover, or for a message under the
    /// threshold, this does nothing.
    #[cfg(feature = "deflate")]
    pub fn prepare(&self, params: DeflateParams, codecs: &CodecPool) {
        if params.server_no_context_takeover {
            let deflation = Deflation::new(Role::Server, params, codecs);
            if deflation.should_compress(self.len()) {
                self.deflated(&deflation);
            }
        }
    }

    /// Another reference, for a sender in which the message waits.
    pub(crate) fn hold(&self) -> Held {
        let meter = self.0.meter.get();
        if let Some(meter) = meter
            && self.0.waiting.fetch_add(1, Ordering::Relaxed) == 0
        {
            meter.charge(self.len());
        }
        Held { message: self.clone(), is_charged: meter.is_some() }
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    pub(crate) fn opcode(&self) -> Opcode {
        self.0.opcode
    }

    pub(crate) fn max_frame_size(&self) -> Option<NonZeroUsize> {
        self.0.frame_size
    }

    pub(crate) fn hybi(&self) -> &Encoded {
        self.0.hybi.get_or_init(|| {
            let Inner { opcode, payload, frame_size, .. } = &*self.0;
            self.encode(encode::frame_len(payload.len(), *frame_size), |out| {
                encode::hybi(out, *opcode, payload, *frame_size, || None);
            })
        })
    }

    pub(crate) fn hixie(&self) -> &Encoded {
        self.0.hixie.get_or_init(|| self.encode(None, |out| encode::hixie_text(out, &self.0.payload)))
    }

    /// The encoding for clients with this window and no context. `None` if it does not get smaller.
    #[cfg(feature = "deflate")]
    pub(crate) fn deflated(&self, deflation: &Deflation) -> Option<&Encoded> {
        let classes = self.0.deflated.get_or_init(Box::default);
        let class = classes.get(usize::from(deflation.bits()).checked_sub(9)?)?;
        let encoded = class.get_or_init(|| {
            let Inner { opcode, payload, frame_size, .. } = &*self.0;
            deflation.compress_shared(payload, |compressed| {
                self.encode(encode::frame_len(compressed.len(), *frame_size), |out| {
                    encode::compressed(out, *opcode, compressed, *frame_size, || None);
                })
            })
        });
        encoded.as_ref()
    }

    fn encode(&self, frame_len: Option<NonZeroUsize>, write: impl FnOnce(&mut Vec<u8>)) -> Encoded {
        self.0.encodings.fetch_add(1, Ordering::Relaxed);
        let mut bytes = Vec::new();
        write(&mut bytes);
        let (references, meter) = (AtomicUsize::new(0), self.0.meter.get().cloned());
        Encoded(Arc::new(Wire { bytes, frame_len, references, meter }))
    }

    fn new(opcode: Opcode, payload: Bytes, frame_size: Option<NonZeroUsize>) -> Self {
        Self(Arc::new(Inner {
            opcode,
            payload,
            frame_size,
            hybi: OnceLock::new(),
            hixie: OnceLock::new(),
            #[cfg(feature = "deflate")]
            deflated: OnceLock::new(),
            encodings: AtomicUsize::new(0),
            meter: OnceLock::new(),
            waiting: AtomicUsize::new(0),
        }))
    }
}
