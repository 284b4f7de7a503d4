/// What a [`Receiver`](crate::Receiver) takes from a peer before it refuses.
///
/// The sizes bound data frames; a control frame has at most 125 octets anyway. In draft 0 and hixie-75 a frame is a
/// message, so the smaller of the two sizes holds, for the frames to be discarded too.
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
    /// Payload octets of one frame; beyond it the connection fails with 1009. Default 16 MiB.
    pub max_frame_size: usize,
    /// Payload octets of one message, the final fragment counted; beyond it 1009. Default 16 MiB.
    pub max_message_size: usize,
    /// Frames of one message; beyond it 1008. Default 131,072. A message in one frame always passes.
    ///
    /// Each fragment costs its sender at least 6 octets and its receiver a step of work, so this bounds the
    /// work that one message may cause.
    pub max_fragments: u32,
}

impl Limits {
    /// The same with that [`max_frame_size`](Self::max_frame_size).
    #[must_use]
    pub const fn max_frame_size(mut self, octets: usize) -> Self {
        self.max_frame_size = octets;
        self
    }

    /// The same with that [`max_message_size`](Self::max_message_size).
    #[must_use]
    pub const fn max_message_size(mut self, octets: usize) -> Self {
        self.max_message_size = octets;
        self
    }

    /// The same with that [`max_fragments`](Self::max_fragments).
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
