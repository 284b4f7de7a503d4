//! Limits on messages and frames.

/// The limits on messages and frames that a [`Receiver`](crate::Receiver) accepts.
///
/// The sizes apply to data frames. A control frame has at most 125 bytes. In draft 0 and hixie-75 a
/// frame is a message, so the smaller of the two sizes applies. It also applies to discarded
/// frames.
///
/// ```
/// use clws_proto::Limits;
///
/// let limits = Limits::default().max_message_size(64 * 1024).max_frame_size(16 * 1024);
/// assert_eq!(limits.max_fragments, 131_072);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum payload of one frame in bytes. A longer frame fails the connection with 1009.
    /// Default 16 MiB.
    pub max_frame_size: usize,
    /// The maximum payload of one message in bytes, including the final fragment. A longer message
    /// fails the connection with 1009. Default 16 MiB.
    pub max_message_size: usize,
    /// The maximum number of frames in one message. More frames fail the connection with 1008.
    /// Default 131,072. A message in one frame is always accepted.
    ///
    /// Each fragment costs its sender at least 6 bytes and its receiver some work. This limits the
    /// work that one message can cause.
    pub max_fragments: u32,
}

impl Limits {
    /// Sets [`max_frame_size`](field@Self::max_frame_size).
    #[must_use]
    pub const fn max_frame_size(mut self, bytes: usize) -> Self {
        self.max_frame_size = bytes;
        self
    }

    /// Sets [`max_message_size`](field@Self::max_message_size).
    #[must_use]
    pub const fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Sets [`max_fragments`](field@Self::max_fragments).
    #[must_use]
    pub const fn max_fragments(mut self, frames: u32) -> Self {
        self.max_fragments = frames;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_frame_size: 16 << 20, max_message_size: 16 << 20, max_fragments: 131_072 }
    }
}
