//! Errors of receiving and sending.

use crate::close::CloseCode;
use crate::version::Version;

/// A violation of the protocol or of a limit by the peer. Fail the connection with
/// [`close_code`](Self::close_code).
///
/// The [`Receiver`](crate::Receiver) is finished after an error and discards further input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set, and no negotiated extension defines its meaning on this frame (RFC
    /// 6455 §5.2, RFC 7692 §6.1).
    #[error("a reserved bit is set that no extension defines")]
    ReservedBits,
    /// A reserved opcode (RFC 6455 §5.2).
    #[error("a frame has the reserved opcode {0:#x}")]
    ReservedOpcode(u8),
    /// A fragmented control frame (RFC 6455 §5.5).
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame with more than 125 bytes of payload (RFC 6455 §5.5).
    #[error("a control frame has more than 125 bytes of payload")]
    ControlTooLong,
    /// A continuation frame outside of a fragmented message (RFC 6455 §5.4).
    #[error("a continuation frame belongs to no fragmented message")]
    UnexpectedContinuation,
    /// A new message inside a fragmented one (RFC 6455 §5.4).
    #[error("a new message starts before the fragmented one is complete")]
    ExpectedContinuation,
    /// A payload length that does not use the shortest encoding (RFC 6455 §5.2).
    #[error("a payload length does not use the shortest encoding")]
    NonMinimalLength,
    /// A payload length whose most significant bit is set (RFC 6455 §5.2).
    #[error("a payload length has its most significant bit set")]
    LengthOverflow,
    /// An unmasked frame from a client (RFC 6455 §5.1).
    #[error("a frame from a client is not masked")]
    Unmasked,
    /// A masked frame from a server (RFC 6455 §5.1).
    #[error("a frame from a server is masked")]
    Masked,
    /// A text message that is not UTF-8 (RFC 6455 §8.1).
    #[error("a text message is not valid UTF-8")]
    InvalidUtf8,
    /// A compressed message that cannot be inflated (RFC 7692 §7.2.2).
    ///
    /// Its bytes are not DEFLATE blocks, are truncated, or refer to data before the kept context.
    /// The context is one window of the agreed size, or nothing without context takeover. A
    /// reference within one message may exceed the agreed window: that is not checked.
    #[cfg(feature = "deflate")]
    #[error("a compressed message cannot be inflated")]
    CorruptDeflate,
    /// A close frame with a body of one byte (RFC 6455 §5.5.1).
    #[error("the body of a close frame has only one byte")]
    CloseBodyTooShort,
    /// A close code that this version forbids in a frame (RFC 6455 §7.4).
    #[error("a close frame has the code {0}, which must not be sent")]
    InvalidCloseCode(u16),
    /// A close reason that is not UTF-8 (RFC 6455 §5.5.1).
    #[error("the reason of a close frame is not valid UTF-8")]
    InvalidCloseReason,
    /// A frame longer than [`Limits::max_frame_size`](crate::Limits::max_frame_size).
    #[error("a frame is longer than the limit of {limit} bytes")]
    FrameTooBig {
        /// The limit in bytes.
        limit: usize,
    },
    /// A message longer than [`Limits::max_message_size`](crate::Limits::max_message_size), over
    /// all its fragments.
    #[error("a message is longer than the limit of {limit} bytes")]
    MessageTooBig {
        /// The limit in bytes.
        limit: usize,
    },
    /// A message with more fragments than [`Limits::max_fragments`](crate::Limits::max_fragments).
    #[error("a message has more than {limit} fragments")]
    TooManyFragments {
        /// The limit in frames.
        limit: u32,
    },
    /// A frame of draft 0 or hixie-75 whose type the draft does not define, and which exceeds the
    /// limits.
    #[error("a frame of an undefined type is longer than the limit of {limit} bytes")]
    DiscardTooBig {
        /// The limit in bytes.
        limit: usize,
    },
}

impl ProtocolError {
    /// The close code for this error in `version`. Draft 0 and hixie-75 have no codes: close
    /// without one.
    #[must_use]
    pub const fn close_code(&self, version: Version) -> CloseCode {
        let code = match self {
            // RFC 6455 §8.1: "that endpoint MUST _Fail the WebSocket Connection_"; §7.4.1 gives it
            // 1007.
            Self::InvalidUtf8 | Self::InvalidCloseReason => CloseCode::INVALID_PAYLOAD,
            // RFC 6455 §7.4.1: 1007 is for "data within a message that was not consistent with the
            // type of the message".
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

/// A frame that cannot be sent. Nothing was queued, and the connection is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A close frame is already queued. RFC 6455 §5.5.1 forbids any frame after it.
    #[error("the connection is closing")]
    Closed,
    /// Draft 0 and hixie-75 have no binary, ping and pong frames.
    #[error("this protocol version has only text messages")]
    Unsupported,
    /// A ping or pong with more than 125 bytes of payload.
    #[error("a ping or pong has more than 125 bytes of payload")]
    ControlTooLong,
    /// A close code that must not be sent (RFC 6455 §7.4), such as 1005 or 1006. The connection is
    /// still open. [`Sender::close_without_code`](crate::Sender::close_without_code) closes it.
    #[error("close code {0} must not be sent")]
    InvalidCloseCode(u16),
}
