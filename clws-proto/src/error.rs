use crate::close::CloseCode;
use crate::version::Version;

/// What a peer did wrong; the connection is to be failed with [`close_code`](Self::close_code).
///
/// After one of these the [`Receiver`](crate::Receiver) is finished: what still comes is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set and no extension was negotiated that gives it a meaning on this frame (RFC 6455 §5.2; with
    /// permessage-deflate RFC 7692 §6.1).
    #[error("a reserved bit is set")]
    ReservedBits,
    /// An opcode that the protocol reserves (RFC 6455 §5.2).
    #[error("reserved opcode {0:#x}")]
    ReservedOpcode(u8),
    /// A control frame in fragments (RFC 6455 §5.5).
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame with a payload of over 125 octets (RFC 6455 §5.5).
    #[error("a control frame has more than 125 octets")]
    ControlTooLong,
    /// A continuation frame where no message is in progress (RFC 6455 §5.4).
    #[error("a continuation frame continues nothing")]
    UnexpectedContinuation,
    /// A new message begins inside a fragmented one (RFC 6455 §5.4).
    #[error("a new message begins inside a fragmented one")]
    ExpectedContinuation,
    /// A length in more bytes than it needs (RFC 6455 §5.2).
    #[error("the payload length is not minimally encoded")]
    NonMinimalLength,
    /// A length whose top bit is set (RFC 6455 §5.2).
    #[error("the payload length is out of range")]
    LengthOverflow,
    /// A frame from a client that is not masked (RFC 6455 §5.1).
    #[error("a client's frame is not masked")]
    Unmasked,
    /// A frame from a server that is masked (RFC 6455 §5.1).
    #[error("a server's frame is masked")]
    Masked,
    /// A text message that is not UTF-8 (RFC 6455 §8.1).
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// A compressed message that does not inflate (RFC 7692 §7.2.2): its bytes are not DEFLATE blocks, refer back to before
    /// the first byte that is kept, or are cut off. Before a message, one window of the agreed size is kept, or nothing
    /// without context takeover. A reference within a message may be longer than the agreed window; that is not checked.
    #[cfg(feature = "deflate")]
    #[error("a compressed message is corrupt")]
    CorruptDeflate,
    /// A close frame with a body of one octet (RFC 6455 §5.5.1).
    #[error("a close frame has a body of one octet")]
    CloseBodyTooShort,
    /// A close code that must not be on the wire in this version (RFC 6455 §7.4).
    #[error("close code {0} is not allowed")]
    InvalidCloseCode(u16),
    /// A close reason that is not UTF-8 (RFC 6455 §5.5.1).
    #[error("a close reason is not valid UTF-8")]
    InvalidCloseReason,
    /// A frame over [`Limits::max_frame_size`](crate::Limits::max_frame_size).
    #[error("a frame is larger than the limit of {limit} octets")]
    FrameTooBig {
        /// The limit in octets.
        limit: usize,
    },
    /// A message over [`Limits::max_message_size`](crate::Limits::max_message_size), all fragments counted.
    #[error("a message is larger than the limit of {limit} octets")]
    MessageTooBig {
        /// The limit in octets.
        limit: usize,
    },
    /// A message in more fragments than [`Limits::max_fragments`](crate::Limits::max_fragments).
    #[error("a message has more than {limit} fragments")]
    TooManyFragments {
        /// The limit in frames.
        limit: u32,
    },
    /// A frame of draft 0 or hixie-75, of a type that the draft does not define, that does not end within the limits.
    #[error("a frame to be discarded is larger than the limit of {limit} octets")]
    DiscardTooBig {
        /// The limit in octets.
        limit: usize,
    },
}

impl ProtocolError {
    /// The code to close with, from that version's table (draft 0 and hixie-75 have none: close without).
    #[must_use]
    pub const fn close_code(&self, version: Version) -> CloseCode {
        let code = match self {
            // RFC 6455 §8.1: "that endpoint MUST _Fail the WebSocket Connection_"; §7.4.1 gives it 1007.
            Self::InvalidUtf8 | Self::InvalidCloseReason => CloseCode::INVALID_PAYLOAD,
            // RFC 6455 §7.4.1: 1007 is for "data within a message that was not consistent with the type of the message".
            #[cfg(feature = "deflate")]
            Self::CorruptDeflate => CloseCode::INVALID_PAYLOAD,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } | Self::DiscardTooBig { .. } => {
                CloseCode::TOO_BIG
            }
            Self::TooManyFragments { .. } => CloseCode::POLICY,
            _ => CloseCode::PROTOCOL_ERROR,
        };
        code.nearest_in(version)
    }
}

/// What this side asked for and cannot have; nothing was queued, the connection is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A close frame was queued before: RFC 6455 §5.5.1 allows nothing behind it.
    #[error("the connection is closing")]
    Closed,
    /// Draft 0 and hixie-75 have no such frame (binary, ping, pong).
    #[error("this version of the protocol has only text messages")]
    Unsupported,
    /// A ping or pong payload of over 125 octets.
    #[error("a control frame's payload is at most 125 octets")]
    ControlTooLong,
    /// A close code that must not be on the wire (RFC 6455 §7.4), such as 1005 or 1006. The connection is still open:
    /// [`Sender::close_without_code`](crate::Sender::close_without_code) closes it.
    #[error("close code {0} must not be sent")]
    InvalidCloseCode(u16),
}
