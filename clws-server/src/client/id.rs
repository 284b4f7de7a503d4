//! The number of a client.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Identifies a client among all clients of this process, connected or disconnected. No number is
/// used twice.
///
/// A later client has a greater number. It is displayed as that number: `17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

impl ClientId {
    /// The next number.
    pub(super) fn next() -> Self {
        // A lock, because not every processor has 64-bit atomics. Each connection takes it once.
        static LAST: Mutex<u64> = Mutex::new(0);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        Self(*last)
    }

    /// The number itself.
    #[cfg(feature = "capture")]
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
