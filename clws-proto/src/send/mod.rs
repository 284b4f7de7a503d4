//! The sending half of a connection.

pub(crate) mod backlog;
mod closing;
mod control;
mod encode_pending;
mod messages;
pub(crate) mod outbox;
mod output;
mod pongs;
pub(crate) mod queue;
mod react;
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
use crate::send::backlog::DropCounts;
use crate::send::backlog::policy::SlowPolicy;
use crate::send::outbox::{Outbox, OutboxBuffer};
use crate::version::{Role, Version};

/// The sending half of a connection: takes messages and produces bytes for the socket.
///
/// It is an outbox. Methods such as [`text`](Self::text) encode into it. Write the slices that
/// [`io_slices`](Self::io_slices) returns and pass the number of written bytes to
/// [`consume`](Self::consume). A `Sender` never refuses a message because it is full: its driver
/// compares [`queued`](Self::queued) with a limit.
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
    /// The queue. An empty buffer holds no state, so a driver may take it away.
    buffer: Option<Box<OutboxBuffer>>,
    /// Data that a server without extensions does not need.
    extras: Option<Box<Extras>>,
    version: Version,
    role: Role,
    close_sent: bool,
    /// Nothing more is sent, not even a pong before a queued close frame.
    sealed: bool,
    /// A number for the driver.
    mark: u32,
}

#[derive(Default)]
struct Extras {
    /// Only for clients.
    keys: Option<KeySource>,
    #[cfg(feature = "deflate")]
    deflation: Option<Deflation>,
    policy: Option<SlowPolicy>,
    drops: DropCounts,
}

impl Extras {
    fn key(&mut self) -> Option<[u8; 4]> {
        self.keys.as_mut().map(|keys| (keys.0)())
    }
}

/// The source of masking keys.
struct KeySource(Box<dyn FnMut() -> [u8; 4] + Send>);

impl Sender {
    /// Creates a server's sender. Its frames are not masked.
    #[must_use]
    pub const fn server(version: Version) -> Self {
        Self {
            buffer: None,
            extras: None,
            version,
            role: Role::Server,
            close_sent: false,
            sealed: false,
            mark: 0,
        }
    }

    /// Creates a client's sender. Each frame is masked with a new key from `keys`.
    ///
    /// RFC 6455 §5.3: "The masking key needs to be unpredictable; thus, the masking key MUST be
    /// derived from a strong source of entropy". Use a cryptographic random source. Draft 0 and
    /// hixie-75 do not mask and use no keys.
    #[must_use]
    pub fn client(version: Version, keys: impl FnMut() -> [u8; 4] + Send + 'static) -> Self {
        let mut extras = Box::<Extras>::default();
        extras.keys = Some(KeySource(Box::new(keys)));
        Self { extras: Some(extras), role: Role::Client, ..Self::server(version) }
    }

    /// Enables permessage-deflate with the negotiated parameters. Messages of the [threshold] or
    /// longer are compressed. A message that would not get smaller is sent uncompressed, unless
    /// later messages may refer to it.
    ///
    /// Each message borrows a compressor from `codecs`, which has the settings of its
    /// [`DeflateConfig`](crate::DeflateConfig). Methods that queue a message return when it is
    /// compressed. Versions other than 13 do not compress. Nothing is compressed either if this
    /// side's window has 8 bits, which zlib does not support.
    ///
    /// [threshold]: crate::DeflateConfig::threshold
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, params: DeflateParams, codecs: &CodecPool) -> Self {
        if self.version.has_extensions() {
            let deflation = Deflation::new(self.role, params, codecs);
            self.extras.get_or_insert_default().deflation = Some(deflation);
        }
        self
    }

    /// Memory that holds the end of earlier messages, in bytes. The next compressed message may
    /// refer to them.
    ///
    /// 0 without permessage-deflate or context takeover, and before the first compressed message.
    /// In addition, permessage-deflate costs a sender 80 bytes.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn context_size(&self) -> usize {
        self.deflation().map_or(0, Deflation::context_size)
    }

    /// The protocol version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The role of this endpoint.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Queues bytes that precede the first frame: the response of the opening handshake.
    ///
    /// The response and the first messages are then written together, in order.
    pub fn preface(&mut self, bytes: &[u8]) {
        self.outbox().append(|out| out.extend_from_slice(bytes));
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

    /// The outbox for a data message, which is counted.
    #[inline]
    fn message_outbox(&mut self) -> &mut Outbox {
        let buffer = self.buffer();
        buffer.messages = buffer.messages.wrapping_add(1);
        &mut buffer.outbox
    }

    #[inline]
    fn check(&self, opcode: Opcode) -> Result<(), SendError> {
        // RFC 6455 §5.5.1: "The application MUST NOT send any more data frames after sending a
        // Close frame."
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
        self.extras.as_deref()?.deflation.as_ref()
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
