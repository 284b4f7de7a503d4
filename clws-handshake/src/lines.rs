//! What heads of requests and of answers have in common: a first line, and header lines under a cap.

use crate::{Headers, token};

/// A head split behind its first line.
pub(crate) struct Lines<'a> {
    /// The request line or the status line, without its line end.
    pub(crate) first: &'a [u8],
    /// The header lines and the empty line.
    block: &'a [u8],
}

/// Why header lines are refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LinesError {
    /// There are more of them than the cap allows.
    TooMany,
    /// One of them breaks the grammar.
    Malformed,
}

impl<'a> Lines<'a> {
    /// Splits a head whose lines all end in CRLF, as the scanner has found.
    pub(crate) fn split(head: &'a [u8]) -> Self {
        let end = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
        let (first, block) = head.split_at_checked(end).unwrap_or_default();
        Self { first: first.strip_suffix(b"\r\n").unwrap_or(first), block }
    }

    /// The header lines, once their number and their grammar are checked.
    pub(crate) fn headers(&self, max_headers: usize) -> Result<Headers<'a>, LinesError> {
        // Every line of the block but the empty one is a header.
        if memchr::memchr_iter(b'\n', self.block).count().saturating_sub(1) > max_headers {
            return Err(LinesError::TooMany);
        }
        let mut lines = self.block.split_inclusive(|&byte| byte == b'\n');
        let all_good = lines.all(|line| match line.strip_suffix(b"\r\n") {
            Some(b"") => true, // the scanner ends a head at the first empty line
            Some(line) => is_field_line(line),
            None => false,
        });
        if all_good { Ok(Headers::new(self.block)) } else { Err(LinesError::Malformed) }
    }
}

/// RFC 9112 §5: `field-line = field-name ":" OWS field-value OWS`.
///
/// A line that starts with a blank, which once continued the line before it, has no name, so it is refused (RFC 9112
/// §5.2). So is whitespace before the colon: "A server MUST reject, with a response status code of 400 (Bad Request),
/// any received request message that contains whitespace between a header field name and colon" (§5.1).
fn is_field_line(line: &[u8]) -> bool {
    let Some((name, value)) = memchr::memchr(b':', line).and_then(|colon| line.split_at_checked(colon))
    else {
        return false;
    };
    !name.is_empty() && name.iter().copied().all(token::is_tchar) && value.iter().copied().all(is_field_byte)
}

/// RFC 9110 §5.5: visible characters, bytes over 0x7F, spaces and tabs; "Field values containing CR, LF, or NUL
/// characters are invalid and dangerous", and so is a CR that ends no line (RFC 9112 §2.2).
const fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_lines_have_a_name_a_colon_and_any_text() {
        for good in [&b"a:"[..], b"a:b", b"a: b:c ", b"!#$%&'*+-.^_`|~09azAZ:\t\xff\x80 ", b"X-Y::"] {
            assert!(is_field_line(good), "{good:?}");
        }
        for bad in [
            &b"a"[..],
            b":",
            b": b",
            b" a: b",
            b"\ta: b",
            b"a : b",
            b"a\t: b",
            b"a b: c",
            b"a(: b",
            b"a\x00: b",
            b"a: \x00",
            b"a: \x7f",
            b"a: b\rc",
            b"a: b\r",
            b"a: \x0b",
            b"a: \x1b[0m",
            b"\xe4: b",
            b" ",
            b"\xff",
        ] {
            assert!(!is_field_line(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_cap_on_lines_is_exact() {
        let lines = Lines::split(b"first\r\na: b\r\nc: d\r\n\r\n");
        assert_eq!(lines.first, b"first");
        assert_eq!(lines.headers(2).unwrap().iter().count(), 2);
        assert_eq!(lines.headers(1).err(), Some(LinesError::TooMany));
        assert_eq!(Lines::split(b"f\r\na\r\n\r\n").headers(9).err(), Some(LinesError::Malformed));
    }
}
