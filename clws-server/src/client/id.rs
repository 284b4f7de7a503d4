//! The number of a client.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Tells a client from every other client of this process, connected or gone: no number is given
/// twice.
///
/// A later client has a greater number. It is displayed as that number: `17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

impl ClientId {
    /// The next number.
    pub(super) fn next() -> Self {
        // Not every processor has a 64-bit atomic. A connection asks once.
        static LAST: Mutex<u64> = Mutex::new(0);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        Self(*last)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
