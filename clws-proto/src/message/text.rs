use crate::buffer::pool::BufferPool;
use crate::buffer::pool::{MOST_TIMES, fitting, give_back};
use crate::error::ProtocolError;

/// Text that grows by pieces cut anywhere, valid at every moment: each octet is checked once and copied once.
#[derive(Debug, Default)]
pub(crate) struct TextBuffer {
    text: String,
    /// The first octets of a character whose last ones have not come yet.
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

    /// Makes room for octets that have come, in a text that will not be longer than `longest`.
    pub(crate) fn reserve(&mut self, coming: usize, longest: usize, buffers: &dyn BufferPool) {
        let (len, capacity, carried) = (self.text.len(), self.text.capacity(), usize::from(self.carry_len));
        let needed = len.saturating_add(coming).saturating_add(carried);
        if needed > capacity
            && let Some(mut buffer) = fitting(buffers, needed, needed.saturating_mul(MOST_TIMES))
        {
            buffer.clear();
            let mut text = String::from_utf8(buffer).unwrap_or_default(); // nothing is always text
            text.push_str(&self.text);
            return give_back(buffers, std::mem::replace(&mut self.text, text).into_bytes());
        }
        reserve_bounded(len, capacity, coming + carried, longest, |n| self.text.reserve_exact(n));
    }

    /// Appends a piece; fails at the first octet that cannot belong to UTF-8 text.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), ProtocolError> {
        while self.carry_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            let held = usize::from(self.carry_len);
            // A carry never exceeds 3 octets: with 4 it is a character or an error, either way it ends below.
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
                // RFC 6455 §8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte
                // stream is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket Connection_."
                // An error without a length is a character that is cut off, which the next piece may complete.
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

    /// The whole characters that are there.
    #[cfg(feature = "deflate")]
    pub(crate) fn octets(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The whole text; fails where its last character is cut off.
    pub(crate) fn finish(self) -> Result<String, ProtocolError> {
        if self.carry_len == 0 { Ok(self.text) } else { Err(ProtocolError::InvalidUtf8) }
    }
}

/// Grows a buffer for octets that have come: by doubling, so that growth is linear in all, but never past
/// `longest` where that suffices. What a peer declares caps the growth and never causes it.
pub(crate) fn reserve_bounded(
    len: usize,
    capacity: usize,
    coming: usize,
    longest: usize,
    reserve_exact: impl FnOnce(usize),
) {
    let needed = len.saturating_add(coming);
    if needed > capacity {
        let wanted = capacity.saturating_mul(2).min(longest).max(needed);
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

    /// How many octets it takes until the text is refused.
    fn refused_at(bytes: &[u8]) -> Option<usize> {
        let mut buffer = TextBuffer::default();
        bytes.iter().position(|byte| buffer.push(&[*byte]).is_err())
    }

    #[test]
    fn fails_at_the_first_octet_that_cannot_be() {
        assert_eq!(refused_at(b"ab\xc3\xa9"), None);
        assert_eq!(refused_at(b"a\xff"), Some(1));
        assert_eq!(refused_at(b"\xc0\x80"), Some(0)); // overlong
        assert_eq!(refused_at(b"\xe0\x80\x80"), Some(1)); // overlong, seen in its second octet
        assert_eq!(refused_at(b"\xed\xa0\x80"), Some(1)); // a surrogate
        assert_eq!(refused_at(b"\xf4\x90\x80\x80"), Some(1)); // past U+10FFFF
        assert_eq!(refused_at(b"\xf5"), Some(0));
        assert_eq!(refused_at(b"\x80"), Some(0));
        assert_eq!(refused_at(b"\xf0\x9f\x98x"), Some(3));
    }

    #[test]
    fn a_character_cut_off_is_no_text() {
        assert!(feed(&[b"\xf0\x9f\x98"]).is_err());
        assert_eq!(feed(&[b"\xf0", b"\x9f", b"", b"\x98", b"\x80!"]).unwrap(), "😀!");
    }

    proptest! {
        #[test]
        fn is_std_in_pieces(bytes in prop_oneof![any::<String>().prop_map(String::into_bytes), any::<Vec<u8>>()],
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
