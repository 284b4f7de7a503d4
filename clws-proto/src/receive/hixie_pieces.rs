//! Long text frames of hixie-75 and hixie-76, delivered in pieces.

use crate::error::ProtocolError;
use crate::message::text::incomplete_len;
use crate::receive::decoded::{Decoded, PieceBytes};

/// A long text frame. Invalid UTF-8 is replaced as in a whole message, for any division into reads.
#[derive(Debug, Default)]
pub(super) struct TextPieces {
    /// The received bytes.
    len: usize,
    has_begun: bool,
    /// The first bytes of an incomplete character.
    carry: [u8; 4],
    carry_len: usize,
}

impl TextPieces {
    /// The bytes that were held while the message was short.
    pub(super) fn held(&mut self, mut bytes: Vec<u8>) -> Option<Decoded> {
        self.len = bytes.len();
        let complete = bytes.len() - incomplete_len(&bytes);
        self.keep(bytes.get(complete..).unwrap_or_default());
        bytes.truncate(complete);
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        self.piece(PieceBytes::Text(text), false)
    }

    /// The next piece in `rest`, and whether it ends the frame.
    pub(super) fn next(
        &mut self,
        rest: &[u8],
        position: &mut usize,
        max: usize,
    ) -> Result<(Option<Decoded>, bool), ProtocolError> {
        let end = memchr::memchr(0xFF, rest);
        let bytes = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        // The part of the frame that has not been counted yet.
        if bytes.len() > max.saturating_sub(self.len) {
            return Err(ProtocolError::MessageTooBig { limit: max });
        }
        let (data, count) = if self.carry_len > 0 {
            self.complete_carry(bytes, end.is_some())
        } else {
            let incomplete = if end.is_some() { 0 } else { incomplete_len(bytes) };
            let (text, carry) = bytes.split_at(bytes.len() - incomplete);
            self.keep(carry);
            let (start, end) = (*position, *position + text.len());
            let data = match simdutf8::basic::from_utf8(text) {
                Ok(_) => PieceBytes::TextInPlace { start, end },
                Err(_) => PieceBytes::Text(String::from_utf8_lossy(text).into_owned()),
            };
            (data, bytes.len())
        };
        *position += count;
        self.len += count;
        let is_last = end == Some(count) && self.carry_len == 0;
        if is_last {
            *position += 1;
        }
        Ok((self.piece(data, is_last), is_last))
    }

    /// Completes or replaces the incomplete character. Returns the number of bytes used.
    fn complete_carry(&mut self, bytes: &[u8], has_end: bool) -> (PieceBytes, usize) {
        let replacement = || PieceBytes::Text(char::REPLACEMENT_CHARACTER.to_string());
        for (count, byte) in (1..).zip(bytes) {
            let held = self.carry_len;
            // The carry has at most 3 bytes.
            if let Some(slot) = self.carry.get_mut(held) {
                *slot = *byte;
            }
            match std::str::from_utf8(self.carry.get(..=held).unwrap_or_default()) {
                Ok(character) => {
                    let character = character.to_owned();
                    self.carry_len = 0;
                    return (PieceBytes::Text(character), count);
                }
                Err(error) if error.error_len().is_none() => self.carry_len += 1,
                Err(_) => {
                    self.carry_len = 0;
                    return (replacement(), count - 1);
                }
            }
        }
        if has_end {
            self.carry_len = 0;
            return (replacement(), bytes.len());
        }
        (PieceBytes::Text(String::new()), bytes.len())
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(carry) = self.carry.get_mut(..bytes.len()) {
            carry.copy_from_slice(bytes);
            self.carry_len = bytes.len();
        }
    }

    /// The event for a piece. Only the last one may be empty.
    fn piece(&mut self, data: PieceBytes, last: bool) -> Option<Decoded> {
        if data.len() == 0 && !last {
            return None;
        }
        let first = !std::mem::replace(&mut self.has_begun, true);
        Some(Decoded::Piece { data, first, last })
    }
}
