//! The common structure of request and response heads: a first line and header lines.

use crate::http::headers::Headers;

/// The bytes after leading empty lines.
pub(crate) fn skip_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

/// The number of header lines that are parsed without an allocation.
const ON_STACK: usize = 128;

/// A head, split after its first line.
pub(crate) struct Lines<'a> {
    /// The request line or the status line, without its line end.
    pub(crate) first: &'a [u8],
    /// The header lines and the empty line.
    block: &'a [u8],
}

/// The reason why header lines are invalid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LinesError {
    /// There are more lines than the limit.
    TooMany,
    /// A line violates the grammar.
    Malformed,
}

impl<'a> Lines<'a> {
    /// Splits a head in which the scanner found only CRLF line ends.
    pub(crate) fn split(head: &'a [u8]) -> Self {
        let end = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
        let (first, block) = head.split_at_checked(end).unwrap_or_default();
        Self { first: first.strip_suffix(b"\r\n").unwrap_or(first), block }
    }

    /// The header lines. Checks their number and their grammar.
    ///
    /// Rejects whitespace before a colon. RFC 9112 §5.1: "A server MUST reject, with a response
    /// status code of 400 (Bad Request), any received request message that contains whitespace
    /// between a header field name and colon". Also rejects a line that begins with whitespace: the
    /// obsolete line folding of §5.2.
    pub(crate) fn headers(&self, max_headers: usize) -> Result<Headers<'a>, LinesError> {
        // All lines of the block except the final empty one are headers.
        let count = memchr::memchr_iter(b'\n', self.block).count().saturating_sub(1);
        if count > max_headers {
            return Err(LinesError::TooMany);
        }
        let parsed = if count <= ON_STACK {
            httparse::parse_headers(self.block, &mut [httparse::EMPTY_HEADER; ON_STACK]).map(end_of)
        } else {
            httparse::parse_headers(self.block, &mut vec![httparse::EMPTY_HEADER; count]).map(end_of)
        };
        match parsed {
            Ok(Some(end)) if end == self.block.len() => Ok(Headers::new(self.block)),
            _ => Err(LinesError::Malformed),
        }
    }
}

/// The length of the parsed block. [`Headers`] reads the lines from the block itself.
const fn end_of(parsed: httparse::Status<(usize, &[httparse::Header<'_>])>) -> Option<usize> {
    match parsed {
        httparse::Status::Complete((end, _)) => Some(end),
        httparse::Status::Partial => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_field_line(line: &[u8]) -> bool {
        let head = [b"first\r\n", line, b"\r\n\r\n"].concat();
        Lines::split(&head).headers(1).is_ok()
    }

    #[test]
    fn a_field_line_has_a_name_a_colon_and_any_text() {
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
    fn the_limit_on_lines_is_exact() {
        let lines = Lines::split(b"first\r\na: b\r\nc: d\r\n\r\n");
        assert_eq!(lines.first, b"first");
        assert_eq!(lines.headers(2).unwrap().iter().count(), 2);
        assert_eq!(lines.headers(1).err(), Some(LinesError::TooMany));
        assert_eq!(Lines::split(b"f\r\na\r\n\r\n").headers(9).err(), Some(LinesError::Malformed));
    }
}
