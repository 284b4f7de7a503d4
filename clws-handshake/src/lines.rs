//! What heads of requests and of answers have in common: a first line, and header lines under a cap.

use std::mem::MaybeUninit;

/// So many header lines are parsed without an allocation.
const ON_STACK: usize = 128;

/// A head split behind its first line.
pub(crate) struct Lines<'a> {
    /// The request line or the status line, its line end included.
    pub(crate) first: &'a [u8],
    /// The header lines and the empty line.
    pub(crate) block: &'a [u8],
    /// How many header lines there are.
    pub(crate) count: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn split(head: &'a [u8]) -> Self {
        let end = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
        let (first, block) = head.split_at_checked(end).unwrap_or_default();
        // Every line of the block but the empty one is a header.
        let count = memchr::memchr_iter(b'\n', block).count().saturating_sub(1);
        Self { first, block, count }
    }

    /// Runs a parser with room for as many headers as have come, which the caller has capped.
    pub(crate) fn with_room<'h, T>(
        &self,
        parse: impl FnOnce(&mut [MaybeUninit<httparse::Header<'h>>]) -> T,
    ) -> T {
        if self.count <= ON_STACK {
            parse(&mut [const { MaybeUninit::uninit() }; ON_STACK])
        } else {
            let mut room = Vec::new();
            room.resize_with(self.count, MaybeUninit::uninit);
            parse(&mut room)
        }
    }
}
