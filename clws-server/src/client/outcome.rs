/// A message is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It goes out as fast as the client reads.
    Queued,
    /// It is queued too, but the client reads slowly: more than
    /// [`write_high_water`](crate::Config#structfield.write_high_water) octets wait. A good moment to send it less.
    AboveHighWater,
}

/// A message was not queued; nothing else is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// More than [`max_write_backlog`](crate::Config#structfield.max_write_backlog) bytes wait for the client already; or more
    /// than 64 KiB, and a quarter more memory is held for all clients than
    /// [`max_buffered`](crate::Config#structfield.max_buffered) is.
    ///
    /// Nothing was queued, and the client stays connected: it would miss the message without knowing, so close it if that
    /// matters. A message to many does that by itself.
    #[error("the client does not read what is queued for it")]
    Full,
    /// The client is gone, or its connection is being closed.
    #[error("the connection is closed")]
    Closed,
    /// The client speaks draft 0 or hixie-75, which have no binary messages and no pings.
    #[error("the client's version of the protocol has only text messages")]
    Unsupported,
    /// Octets that were to be sent as text are not UTF-8.
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
