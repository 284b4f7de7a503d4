//! Fragmented messages.

use std::num::NonZeroUsize;

use crate::frame::encode;
use crate::frame::header::{MAX_HEADER, Opcode, RSV1};
use crate::send::outbox::{CHUNK_LEN, Outbox};

/// Queues a message in frames of at most `frame_size` bytes. `key` returns the masking key of each
/// frame.
pub(crate) fn append_message(
    outbox: &mut Outbox,
    opcode: Opcode,
    payload: &[u8],
    frame_size: Option<NonZeroUsize>,
    compressed: bool,
    key: impl FnMut() -> Option<[u8; 4]>,
) {
    let size = frame_size.filter(|size| payload.len() > size.get()).unwrap_or(NonZeroUsize::MAX);
    append_fragments(outbox, opcode, payload, size, compressed, key);
}

/// Queues each fragment separately, so that a control frame can be inserted between two buffers.
#[inline(never)]
pub(crate) fn append_fragments(
    outbox: &mut Outbox,
    opcode: Opcode,
    payload: &[u8],
    size: NonZeroUsize,
    compressed: bool,
    mut key: impl FnMut() -> Option<[u8; 4]>,
) {
    let mut rest = payload.len();
    let mut first_bits = if compressed { RSV1 } else { 0 };
    encode::fragments(opcode, payload, size.get(), |fin, opcode, fragment| {
        outbox.append(|out| {
            let start = out.len();
            let following = CHUNK_LEN.saturating_sub(start).min(rest); // for later fragments
            out.reserve(MAX_HEADER + fragment.len().max(following));
            encode::frame(out, fin, opcode, fragment, key());
            // RFC 7692 §6.1: "Set the "Per-Message Compressed" bit of the first fragment to 1."
            if let Some(first) = out.get_mut(start) {
                *first |= std::mem::take(&mut first_bits);
            }
        });
        rest -= fragment.len();
    });
}
