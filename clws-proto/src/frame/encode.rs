//! Encoding of frames.

use std::num::NonZeroUsize;

#[cfg(feature = "deflate")]
use crate::frame::header::RSV1;
use crate::frame::header::{Header, MAX_HEADER, Opcode};
use crate::frame::mask::apply_mask;

/// Appends a message in frames of at most `frame_size` bytes. An empty message is one empty frame.
/// `key` returns the masking key of each frame, if frames are masked.
#[inline]
pub(crate) fn hybi(
    out: &mut Vec<u8>,
    opcode: Opcode,
    payload: &[u8],
    frame_size: Option<NonZeroUsize>,
    mut key: impl FnMut() -> Option<[u8; 4]>,
) {
    let size = frame_size.map_or(payload.len(), NonZeroUsize::get);
    if payload.len() <= size {
        out.reserve(MAX_HEADER + payload.len());
        return frame(out, true, opcode, payload, key());
    }
    out.reserve((payload.len() / size + 1).saturating_mul(MAX_HEADER).min(payload.len()) + payload.len());
    fragments(opcode, payload, size, |fin, opcode, fragment| frame(out, fin, opcode, fragment, key()));
}

/// Calls `write(fin, opcode, payload)` for each fragment of a message that is longer than `size`.
pub(crate) fn fragments(
    mut opcode: Opcode,
    payload: &[u8],
    size: usize,
    mut write: impl FnMut(bool, Opcode, &[u8]),
) {
    // RFC 6455 §5.4: "a single frame with the FIN bit clear and an opcode other than 0, followed by
    // zero or more frames with the FIN bit clear and the opcode set to 0, and terminated by a
    // single frame with the FIN bit set and an opcode of 0"
    let mut rest = payload;
    while let Some((fragment, remaining)) = rest.split_at_checked(size) {
        write(remaining.is_empty(), opcode, fragment);
        if remaining.is_empty() {
            return;
        }
        (opcode, rest) = (Opcode::Continuation, remaining);
    }
    write(true, opcode, rest);
}

/// The length of every unmasked frame of a message except the last. `None` for a single frame.
pub(crate) fn frame_len(len: usize, frame_size: Option<NonZeroUsize>) -> Option<NonZeroUsize> {
    let size = frame_size?;
    if len <= size.get() { None } else { size.checked_add(Header::unmasked_len(size.get())) }
}

/// Appends a compressed message.
#[cfg(feature = "deflate")]
pub(crate) fn compressed(
    out: &mut Vec<u8>,
    opcode: Opcode,
    bytes: &[u8],
    frame_size: Option<NonZeroUsize>,
    key: impl FnMut() -> Option<[u8; 4]>,
) {
    let start = out.len();
    hybi(out, opcode, bytes, frame_size, key);
    // RFC 7692 §6.1: "Set the "Per-Message Compressed" bit of the first fragment to 1."
    if let Some(first) = out.get_mut(start) {
        *first |= RSV1;
    }
}

/// Appends one frame.
#[inline]
pub(crate) fn frame(out: &mut Vec<u8>, fin: bool, opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) {
    Header::write(out, fin, opcode, payload.len(), key);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        apply_mask(key, 0, out.get_mut(start..).unwrap_or_default());
    }
}

/// Appends a text frame of draft 0 and hixie-75. UTF-8 never contains 0xFF, so the text cannot end
/// the frame early.
pub(crate) fn hixie_text(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(0x00);
    out.extend_from_slice(text);
    out.push(0xFF);
}
