//! Messages in several frames.

use std::num::NonZeroUsize;

use crate::frame::encode;
use crate::frame::header::{MAX_HEADER, Opcode, RSV1};
use crate::send::outbox::{CUT, Outbox};

/// Queues a message in frames of at most `frame_size` bytes, each with its key.
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

/// Queues each fragment of a message by itself: a control frame may be put between any two buffers of them.
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
            let room = CUT.saturating_sub(start).min(rest); // for others
            out.reserve(MAX_HEADER + fragment.len().max(room));
            encode::frame(out, fin, opcode, fragment, key());
            // RFC 7692 §6.1: "Set the "Per-Message Compressed" bit of the first fragment to 1."
            if let Some(first) = out.get_mut(start) {
                *first |= std::mem::take(&mut first_bits);
            }
        });
        rest -= fragment.len();
    });
}
