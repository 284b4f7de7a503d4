//! The progress of a message that is delivered in pieces.

/// Which messages are delivered in pieces, and the progress of the current message.
#[derive(Debug)]
pub(crate) struct StreamState {
    /// Messages with more bytes are delivered in pieces.
    above: usize,
    /// The current message is longer.
    pub(crate) is_active: bool,
    /// A piece of the current message was delivered.
    has_begun: bool,
    /// The bytes of the current message that were delivered.
    delivered: usize,
    /// The decompressor has output although its input is consumed.
    pub(crate) has_output: bool,
    /// The decompressor can be returned, because all input of the message is kept.
    #[cfg(feature = "deflate")]
    pub(crate) can_replay: bool,
}

impl StreamState {
    pub(crate) const fn new(above: usize) -> Self {
        Self {
            above,
            is_active: false,
            has_begun: false,
            delivered: 0,
            has_output: false,
            #[cfg(feature = "deflate")]
            can_replay: true,
        }
    }

    /// Prepares for the next message.
    pub(crate) const fn reset(&mut self) {
        *self = Self::new(self.above);
    }

    /// Whether a message of this length is delivered in pieces.
    pub(crate) const fn is_long(&self, len: usize) -> bool {
        len > self.above
    }

    /// The bytes of the current message that were delivered.
    pub(crate) const fn delivered(&self) -> usize {
        self.delivered
    }

    /// Records the delivery of a piece. Returns whether it is the first one.
    pub(crate) const fn deliver(&mut self, len: usize) -> bool {
        self.delivered = self.delivered.saturating_add(len);
        !std::mem::replace(&mut self.has_begun, true)
    }
}
