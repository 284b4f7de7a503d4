use crate::deflate::{MAX_BITS, MIN_BITS};

/// The last octets of a connection's messages in one direction, which the next message may refer back to.
///
/// It is the whole of a context: nothing is allocated before the first compressed message, and never more than a window
/// and a quarter.
#[derive(Debug)]
pub(crate) struct History {
    octets: Vec<u8>,
    /// Octets of the window; 0 where each message stands for itself.
    window: usize,
}

impl History {
    /// For a window of so many bits. One of 8 bits counts as 9, which is what those who ask for it have.
    pub(crate) fn new(bits: u8, takeover: bool) -> Self {
        let window = if takeover { 1 << bits.clamp(MIN_BITS, MAX_BITS) } else { 0 };
        Self { octets: Vec::new(), window }
    }

    /// Whether a message may refer back to earlier ones.
    pub(crate) const fn is_kept(&self) -> bool {
        self.window > 0
    }

    /// The octets that the next message may refer back to.
    pub(crate) fn window(&self) -> &[u8] {
        self.octets.get(self.octets.len().saturating_sub(self.window)..).unwrap_or_default()
    }

    /// Octets of memory that are held.
    pub(crate) const fn capacity(&self) -> usize {
        self.octets.capacity()
    }

    /// Takes note of a message that was compressed.
    pub(crate) fn push(&mut self, message: &[u8]) {
        if self.window == 0 {
            return;
        }
        let message = message.get(message.len().saturating_sub(self.window)..).unwrap_or_default();
        // A quarter more than the window: so octets are moved for every few messages and not for each.
        let most = self.window + self.window / 4;
        if self.octets.len() + message.len() > most {
            let keep = self.window - message.len();
            self.octets.drain(..self.octets.len() - keep);
        }
        let needed = self.octets.len() + message.len();
        if needed > self.octets.capacity() {
            let wanted = self.octets.capacity().saturating_mul(2).min(most).max(needed);
            self.octets.reserve_exact(wanted - self.octets.len());
        }
        self.octets.extend_from_slice(message);
    }

    /// Forgets all messages.
    pub(crate) fn clear(&mut self) {
        self.octets = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_end_of_all_that_came(bits in 8u8..=11, lengths in prop::collection::vec(0usize..5000, 1..40)) {
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
    fn without_takeover_nothing_is_kept() {
        let mut history = History::new(15, false);
        history.push(&[1; 100]);
        assert!(!history.is_kept() && history.window().is_empty() && history.capacity() == 0);
    }
}
