//! The results of a send.

use std::str::Utf8Error;

/// A message is queued, or was dropped for a client that reads slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is written as fast as the client reads.
    Queued,
    /// It is queued, but the client reads slowly: more than
    /// [`write_high_water`](crate::Config#structfield.write_high_water) bytes wait. A good moment
    /// to send less.
    AboveHighWater,
    /// It was dropped by its [`SlowPolicy`](crate::SlowPolicy), because the client reads slowly. The
    /// client does not learn of it. [`Resource::drained`](crate::Resource::drained) is called when
    /// no message waits any more.
    Dropped,
}

/// A message was not queued. Earlier messages are not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// More than [`max_write_backlog`](crate::Config#structfield.max_write_backlog) bytes wait for
    /// the client already; or more than 64 KiB wait, and the memory held for all clients exceeds
    /// [`max_buffered`](crate::Config#structfield.max_buffered) by a quarter.
    ///
    /// Nothing was queued, and the client stays connected. The client would miss the message
    /// without knowing, so close it if that matters. Groups, topics and `send_to` do that by
    /// themselves.
    #[error("the client does not read its queued data")]
    Full,
    /// The client has disconnected, or its connection is being closed.
    #[error("the connection is closed")]
    Closed,
    /// The client speaks draft 0 or hixie-75, which have no binary messages and no pings.
    #[error("the client's version of the protocol has only text messages")]
    Unsupported,
    /// Bytes that were to be sent as text are not UTF-8: see [`Text::try_from`](clws_proto::Text).
    #[error("not UTF-8")]
    InvalidUtf8,
    /// A ping or pong of over 125 bytes.
    #[error("too long for a control frame")]
    TooLong,
}

impl From<clws_proto::SendError> for SendError {
    fn from(error: clws_proto::SendError) -> Self {
        use clws_proto::SendError as Proto;
        match error {
            Proto::Unsupported => Self::Unsupported,
            Proto::ControlTooLong => Self::TooLong,
            _ => Self::Closed,
        }
    }
}

impl From<Utf8Error> for SendError {
    fn from(_: Utf8Error) -> Self {
        Self::InvalidUtf8
    }
}
