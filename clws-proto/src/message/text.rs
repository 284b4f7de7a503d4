//! Text messages in progress.

use crate::buffer::pool::{BufferPool, MAX_CAPACITY_RATIO, acquire_fitting, release_to};
use crate::error::ProtocolError;

/// A text message in progress, cut anywhere and valid UTF-8 at every moment. Each byte is checked
/// once and copied once.
#[derive(Debug, Default)]
pub(crate) struct TextBuffer {
    text: String,
    /// The first bytes of an incomplete character.
    carry: [u8; 4],
    carry_len: u8,
}

impl TextBuffer {
    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len() + usize::from(self.carry_len)
    }

    /// Makes space for received bytes. The whole text has at most `max_len` bytes.
    pub(crate) fn reserve(&mut self, incoming: usize, max_len: usize, buffers: &dyn BufferPool) {
        let (len, capacity, carried) = (self.text.len(), self.text.capacity(), usize::from(self.carry_len));
        let needed = len.saturating_add(incoming).saturating_add(carried);
        if needed > capacity
            && let Some(mut buffer) =
                acquire_fitting(buffers, needed, needed.saturating_mul(MAX_CAPACITY_RATIO))
        {
            buffer.clear();
            let mut text = String::from_utf8(buffer).unwrap_or_default(); // empty text is valid
            text.push_str(&self.text);
            return release_to(buffers, std::mem::replace(&mut self.text, text).into_bytes());
        }
        reserve_bounded(len, capacity, incoming + carried, max_len, |n| self.text.reserve_exact(n));
    }

    /// Appends a piece. Fails at the first byte that cannot belong to UTF-8 text.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), ProtocolError> {
        while self.carry_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            let held = usize::from(self.carry_len);
            // The carry has at most 3 bytes: a fourth one completes the character or is an error.
            let Some(slot) = self.carry.get_mut(held) else { return Err(ProtocolError::InvalidUtf8) };
            *slot = byte;
            match std::str::from_utf8(&self.carry[..=held]) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.carry_len = 0;
                }
                Err(error) if error.error_len().is_none() => self.carry_len += 1,
                Err(_) => return Err(ProtocolError::InvalidUtf8),
            }
        }
        match simdutf8::compat::from_utf8(piece) {
            Ok(text) => self.text.push_str(text),
            Err(error) => {
                // RFC 6455 §8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds
                // that the byte stream is not, in fact, a valid UTF-8 stream, that endpoint MUST
                // _Fail the WebSocket Connection_." An error without a length is an incomplete
                // character, which the next piece may complete.
                let (valid, rest) = piece.split_at(error.valid_up_to());
                let Ok(cut @ ..=3) = u8::try_from(rest.len()) else { return Err(ProtocolError::InvalidUtf8) };
                if error.error_len().is_some() {
                    return Err(ProtocolError::InvalidUtf8);
                }
                self.text
                    .push_str(simdutf8::basic::from_utf8(valid).map_err(|_| ProtocolError::InvalidUtf8)?);
                self.carry[..rest.len()].copy_from_slice(rest);
                self.carry_len = cut;
            }
        }
        Ok(())
    }

    /// Whether the last character is incomplete.
    pub(crate) const fn is_cut(&self) -> bool {
        self.carry_len > 0
    }

    /// Takes the complete characters. An incomplete one remains.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// The number of bytes of the complete characters.
    pub(crate) const fn complete_len(&self) -> usize {
        self.text.len()
    }

    /// The complete characters.
    #[cfg(feature = "deflate")]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The whole text. Fails if its last character is incomplete.
    pub(crate) fn finish(self) -> Result<String, ProtocolError> {
        if self.carry_len == 0 { Ok(self.text) } else { Err(ProtocolError::InvalidUtf8) }
    }
}

/// The length of the incomplete character at the end, which more bytes may complete.
pub(crate) fn incomplete_len(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let tail = bytes.get(tail..).unwrap_or_default();
    // The first byte of the last character has another form than the bytes after it.
    let Some(first) = tail.iter().rposition(|byte| byte & 0xC0 != 0x80) else { return 0 };
    let character = tail.get(first..).unwrap_or_default();
    match std::str::from_utf8(character) {
        Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => character.len(),
        _ => 0,
    }
}

/// Grows a buffer for received bytes. The capacity doubles, so the total work is linear, but does
/// not exceed `max_len` where that suffices. A declared length limits the growth and never causes
/// it.
pub(crate) fn reserve_bounded(
    len: usize,
    capacity: usize,
    incoming: usize,
    max_len: usize,
    reserve_exact: impl FnOnce(usize),
) {
    let needed = len.saturating_add(incoming);
    if needed > capacity {
        let wanted = capacity.saturating_mul(2).min(max_len).max(needed);
        reserve_exact(wanted - len);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feed(pieces: &[&[u8]]) -> Result<String, ProtocolError> {
        let mut buffer = TextBuffer::default();
        for piece in pieces {
            buffer.push(piece)?;
        }
        buffer.finish()
    }

    /// The index of the byte at which the text is refused.
    fn refused_at(bytes: &[u8]) -> Option<usize> {
        let mut buffer = TextBuffer::default();
        bytes.iter().position(|byte| buffer.push(&[*byte]).is_err())
    }

    #[test]
    fn fails_at_the_first_invalid_byte() {
        assert_eq!(refused_at(b"ab\xc3\xa9"), None);
        assert_eq!(refused_at(b"a\xff"), Some(1));
        assert_eq!(refused_at(b"\xc0\x80"), Some(0)); // overlong
        assert_eq!(refused_at(b"\xe0\x80\x80"), Some(1)); // overlong, found at its second byte
        assert_eq!(refused_at(b"\xed\xa0\x80"), Some(1)); // a surrogate
        assert_eq!(refused_at(b"\xf4\x90\x80\x80"), Some(1)); // past U+10FFFF
        assert_eq!(refused_at(b"\xf5"), Some(0));
        assert_eq!(refused_at(b"\x80"), Some(0));
        assert_eq!(refused_at(b"\xf0\x9f\x98x"), Some(3));
    }

    #[test]
    fn rejects_an_incomplete_character() {
        assert!(feed(&[b"\xf0\x9f\x98"]).is_err());
        assert_eq!(feed(&[b"\xf0", b"\x9f", b"", b"\x98", b"\x80!"]).unwrap(), "😀!");
    }

    #[test]
    fn finds_the_incomplete_character_at_the_end() {
        for (bytes, expected) in [
            (&b""[..], 0),
            (b"abc", 0),
            (b"a\xc3", 1),
            (b"a\xc3\xa9", 0),
            (b"\xe2\x82", 2),
            (b"abcd\xf0\x9f\x98", 3),
            (b"\xf0\x9f\x98\x80", 0),
            (b"\xe2\x28", 0),
            (b"\xe0\x80", 0), // overlong
            (b"\xff", 0),
            (b"\x80\x80\x80", 0),
        ] {
            assert_eq!(incomplete_len(bytes), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_std_for_any_pieces(bytes in prop_oneof![any::<String>().prop_map(String::into_bytes), any::<Vec<u8>>()],
                            size in 1usize..9) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            match (feed(&pieces), std::str::from_utf8(&bytes)) {
                (Ok(ours), Ok(std)) => prop_assert_eq!(ours, std),
                (Err(_), Err(_)) => {}
                (ours, std) => prop_assert!(false, "{:?} but std says {:?}", ours, std),
            }
        }
    }
}
