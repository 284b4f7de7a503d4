mod closing;
mod control;
mod messages;
pub(crate) mod outbox;
mod output;
mod pongs;
pub(crate) mod shared;

use std::fmt;

#[cfg(feature = "deflate")]
use crate::deflate::compress::Deflation;
#[cfg(feature = "deflate")]
use crate::deflate::params::DeflateParams;
#[cfg(feature = "deflate")]
use crate::deflate::pool::CodecPool;
use crate::error::SendError;
use crate::frame::header::Opcode;
use crate::send::outbox::{Outbox, OutboxBuffer};
use crate::version::{Role, Version};

/// The sending half of a connection: messages in, octets for the socket out.
///
/// It is an outbox. Commands encode into it; then write what [`io_slices`](Self::io_slices) shows and tell
/// [`consume`](Self::consume) how much of it went. A `Sender` never refuses for fullness: whoever drives it compares
/// [`queued`](Self::queued) with a bound of its own.
///
/// ```
/// use clws_proto::{Sender, Version};
///
/// let mut sender = Sender::server(Version::Rfc6455);
/// sender.text("Hello", None)?;
///
/// let mut socket = Vec::new(); // anything that implements Write
/// sender.write_to(&mut socket)?;
/// // RFC 6455 §5.7: "A single-frame unmasked text message"
/// assert_eq!(socket, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sender {
    /// What is queued. Nothing in it is of use when it is empty: it may be taken away then, and is when idle.
    buffer: Option<Box<OutboxBuffer>>,
    /// What a server without extensions has not.
    special: Option<Box<Special>>,
    version: Version,
    role: Role,
    close_sent: bool,
    /// Nothing can be sent any more, not even in front of a close frame that is queued.
    sealed: bool,
    /// The driver's own.
    mark: u32,
}

#[derive(Default)]
struct Special {
    /// With the client's role only.
    keys: Option<KeySource>,
    #[cfg(feature = "deflate")]
    deflation: Option<Deflation>,
}

impl Special {
    fn key(&mut self) -> Option<[u8; 4]> {
        self.keys.as_mut().map(|keys| (keys.0)())
    }
}

/// Where masking keys come from.
struct KeySource(Box<dyn FnMut() -> [u8; 4] + Send>);

impl Sender {
    /// The server's half: its frames are not masked.
    #[must_use]
    pub const fn server(version: Version) -> Self {
        Self {
            buffer: None,
            special: None,
            version,
            role: Role::Server,
            close_sent: false,
            sealed: false,
            mark: 0,
        }
    }

    /// The client's half: each frame is masked with a fresh key from `keys`.
    ///
    /// RFC 6455 §5.3: "The masking key needs to be unpredictable; thus, the masking key MUST be derived from a strong
    /// source of entropy" — give it a cryptographic random source. Draft 0 and hixie-75 do not mask and ask for no
    /// key.
    #[must_use]
    pub fn client(version: Version, keys: impl FnMut() -> [u8; 4] + Send + 'static) -> Self {
        let mut special = Box::<Special>::default();
        special.keys = Some(KeySource(Box::new(keys)));
        Self { special: Some(special), role: Role::Client, ..Self::server(version) }
    }

    /// The same with permessage-deflate as it was agreed on: messages from the [threshold] on are compressed, unless they
    /// would not get smaller and no later one may refer back to them.
    ///
    /// Each borrows a compressor from the `codecs`, whose [`DeflateConfig`](crate::DeflateConfig) says how. What it costs
    /// in time is the caller's: `text` and the others return when the message is compressed. Where the agreed window of
    /// this side has 8 bits, which no zlib can do, and for versions other than 13, nothing is compressed.
    ///
    /// [threshold]: crate::DeflateConfig::threshold
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, params: DeflateParams, codecs: &CodecPool) -> Self {
        if self.version == Version::Rfc6455 {
            let deflation = Deflation::new(self.role, params, codecs);
            self.special.get_or_insert_default().deflation = Some(deflation);
        }
        self
    }

    /// Octets of memory that hold the end of earlier messages, which the next compressed one may refer back to.
    ///
    /// 0 where permessage-deflate or context takeover was not agreed on, and before the first compressed message. Beside
    /// it, permessage-deflate costs a sender 80 octets.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn context_size(&self) -> usize {
        self.deflation().map_or(0, Deflation::context_size)
    }

    /// The version that is spoken.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Which half this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Queues octets that come before the first frame: the answer to the opening handshake.
    ///
    /// So the answer and the first messages go out in one write, in order.
    pub fn preface(&mut self, octets: &[u8]) {
        self.outbox().append(|out| out.extend_from_slice(octets));
        self.pin(self.queued());
    }

    #[inline]
    fn buffer(&mut self) -> &mut OutboxBuffer {
        self.buffer.get_or_insert_default()
    }

    #[inline]
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.buffer().outbox
    }

    #[inline]
    fn check(&self, opcode: Opcode) -> Result<(), SendError> {
        // RFC 6455 §5.5.1: "The application MUST NOT send any more data frames after sending a Close frame."
        if self.close_sent {
            return Err(SendError::Closed);
        }
        if self.version.is_hixie() && opcode != Opcode::Text {
            return Err(SendError::Unsupported);
        }
        Ok(())
    }

    #[cfg(feature = "deflate")]
    fn deflation(&self) -> Option<&Deflation> {
        self.special.as_deref()?.deflation.as_ref()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("version", &self.version)
            .field("role", &self.role())
            .field("queued", &self.queued())
            .field("close_sent", &self.close_sent)
            .finish_non_exhaustive()
    }
}
