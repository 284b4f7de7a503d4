//! The window of earlier messages.

use crate::deflate::{MAX_BITS, MIN_BITS};

/// The last bytes of a connection's messages in one direction, which the next message may refer to.
///
/// They are the whole context. Nothing is allocated before the first compressed message, and never
/// more than 1.25 windows.
#[derive(Debug)]
pub(crate) struct History {
    bytes: Vec<u8>,
    /// The window in bytes. 0 if each message is compressed on its own.
    window: usize,
}

impl History {
    /// Creates the history for a window of `bits`. 8 bits count as 9, because peers that ask for 8
    /// use 9.
    pub(crate) fn new(bits: u8, takeover: bool) -> Self {
        let window = if takeover { 1 << bits.clamp(MIN_BITS, MAX_BITS) } else { 0 };
        Self { bytes: Vec::new(), window }
    }

    /// Whether a message may refer to earlier ones.
    pub(crate) const fn is_kept(&self) -> bool {
        self.window > 0
    }

    /// The bytes that the next message may refer to.
    pub(crate) fn window(&self) -> &[u8] {
        self.bytes.get(self.bytes.len().saturating_sub(self.window)..).unwrap_or_default()
    }

    /// Memory held, in bytes.
    pub(crate) const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds a compressed message.
    pub(crate) fn push(&mut self, message: &[u8]) {
        if self.window == 0 {
            return;
        }
        let message = message.get(message.len().saturating_sub(self.window)..).unwrap_or_default();
        // A quarter more than the window, so that not every message moves bytes.
        let max = self.window + self.window / 4;
        if self.bytes.len() + message.len() > max {
            let keep = self.window - message.len();
            self.bytes.drain(..self.bytes.len() - keep);
        }
        let needed = self.bytes.len() + message.len();
        if needed > self.bytes.capacity() {
            let wanted = self.bytes.capacity().saturating_mul(2).min(max).max(needed);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(message);
    }

    /// Discards all messages.
    pub(crate) fn clear(&mut self) {
        self.bytes = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_the_last_window_of_bytes(bits in 8u8..=11, lengths in prop::collection::vec(0usize..5000, 1..40)) {
            let mut history = History::new(bits, true);
            let window = 1 << bits.max(9);
            let mut all = Vec::new();
            for (fill, len) in (0u8..).zip(lengths) {
                let message = vec![fill; len];
                history.push(&message);
                all.extend(message);
                prop_assert_eq!(history.window(), &all[all.len().saturating_sub(window)..]);
                prop_assert!(history.capacity() <= window + window / 4);
                prop_assert!(history.capacity() <= 2 * all.len());
            }
        }
    }

    #[test]
    fn keeps_nothing_without_takeover() {
        let mut history = History::new(15, false);
        history.push(&[1; 100]);
        assert!(!history.is_kept() && history.window().is_empty() && history.capacity() == 0);
    }
}
