//! Header lines, read from the received bytes.

use std::fmt;

use crate::token;

/// A borrowed, case-insensitive multimap of header lines. It reads the received bytes without a
/// copy or an index.
///
/// A lookup searches all lines, of which there are at most
/// [`HandshakeLimits::max_headers`](crate::HandshakeLimits::max_headers). Values have no
/// surrounding whitespace.
///
/// A value may contain bytes that are not UTF-8. RFC 9110 §5.5 asks to treat them as opaque data,
/// so they do not fail a handshake. The `&str` methods skip such values.
/// [`iter_bytes`](Self::iter_bytes) and [`get_bytes`](Self::get_bytes) return every value.
///
/// ```
/// use clws_handshake::{HandshakeLimits, HttpRequest};
///
/// let head = b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: id=1\r\ncookie: lang=en\r\n\r\n";
/// let request = HttpRequest::parse(head, &HandshakeLimits::default())?;
/// assert_eq!(request.headers().get("COOKIE"), Some("id=1"));
/// assert_eq!(request.headers().get_all("cookie").collect::<Vec<_>>(), ["id=1", "lang=en"]);
/// # Ok::<(), clws_handshake::Reject>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    /// Lines of `name ":" value "\n"`, with optional whitespace around the value. The last line end
    /// is optional.
    lines: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Wraps lines that a parser validated.
    pub(crate) const fn new(lines: &'a [u8]) -> Self {
        Self { lines }
    }

    /// The value of the first line with this name. Names are case-insensitive.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.get_all(name).next()
    }

    /// The values of all lines with this name, in order.
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.all_bytes(name).filter_map(|value| str::from_utf8(value).ok())
    }

    /// The first value with this name, which may not be UTF-8.
    #[must_use]
    pub fn get_bytes(&self, name: &str) -> Option<&'a [u8]> {
        self.all_bytes(name).next()
    }

    /// All lines as name and value, in order. Skips values that are not UTF-8.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.iter_bytes().filter_map(|(name, value)| Some((name, str::from_utf8(value).ok()?)))
    }

    /// All lines as name and value, in order.
    pub fn iter_bytes(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.raw_lines().filter_map(|(name, value)| Some((str::from_utf8(name).ok()?, value.trim_ascii())))
    }

    /// All lines as name and value. Values keep surrounding whitespace.
    fn raw_lines(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.lines;
        std::iter::from_fn(move || {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at_checked(end).filter(|(line, _)| !line.is_empty())?;
            rest = after;
            Some(line)
        })
        .filter_map(|line| {
            let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
            // The line end counts as whitespace after the value.
            Some((name, value.get(1..)?))
        })
    }

    /// The value of the first cookie with this name, exactly as sent. Names are case-sensitive.
    ///
    /// ```
    /// use clws_handshake::{HandshakeLimits, HttpRequest};
    ///
    /// let head = b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: id=1; lang=en\r\n\r\n";
    /// let request = HttpRequest::parse(head, &HandshakeLimits::default())?;
    /// assert_eq!(request.headers().cookie("lang"), Some("en"));
    /// # Ok::<(), clws_handshake::Reject>(())
    /// ```
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        self.cookies().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// All cookies as name and value, in order. Skips pairs without `=` and lines that are not
    /// UTF-8. Keeps quotes around a value.
    pub fn cookies(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        // RFC 6265 §4.2.1: cookie-string = cookie-pair *( ";" SP cookie-pair ). Proxies of HTTP/2
        // clients send several lines (RFC 9113 §8.2.3), and some clients omit the space.
        self.get_all("Cookie").flat_map(|line| line.split(';')).filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim_ascii(), value.trim_ascii()))
        })
    }

    /// Whether there are no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter_bytes().next().is_none()
    }

    /// The members of a comma-separated list.
    ///
    /// RFC 9110 §5.3: all lines with the same name form one list, in order.
    pub(crate) fn list<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.get_all(name).flat_map(token::list)
    }

    /// Whether a list contains this member. Members are case-insensitive.
    pub(crate) fn list_has(&self, name: &str, member: &str) -> bool {
        self.list(name).any(|found| found.eq_ignore_ascii_case(member))
    }

    /// The values of all lines with this name.
    pub(crate) fn all_bytes<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.raw_lines()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.trim_ascii())
    }

    /// The value of a header that must not be repeated.
    pub(crate) fn single(&self, name: &str) -> Single<'a> {
        let mut values = self.all_bytes(name);
        match (values.next(), values.next()) {
            (None, _) => Single::Missing,
            (Some(value), None) => str::from_utf8(value).map_or(Single::NotText, Single::One),
            (Some(_), Some(_)) => Single::Repeated,
        }
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter_bytes().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}

/// The occurrences of a header that must not be repeated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Single<'a> {
    Missing,
    One(&'a str),
    NotText,
    Repeated,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"Host: a\r\nX-Raw: \xff\xfe\r\nx-list: a, b\r\nEmpty:\r\nX-List:\tC \r\nX:a:b\r\n";

    #[test]
    fn names_are_case_insensitive_and_values_are_trimmed() {
        let headers = Headers::new(LINES);
        assert_eq!(headers.get("HOST"), Some("a"));
        assert_eq!(headers.get("empty"), Some(""));
        assert_eq!(headers.get("x"), Some("a:b"));
        assert_eq!(headers.get("hos"), None);
        assert_eq!(headers.get_all("X-List").collect::<Vec<_>>(), ["a, b", "C"]);
        assert!(headers.list_has("x-list", "c") && headers.list_has("x-list", "B"));
        assert!(!headers.list_has("x-list", "a, b"));
    }

    #[test]
    fn returns_values_that_are_not_utf8_only_as_bytes() {
        let headers = Headers::new(LINES);
        assert_eq!(headers.get("x-raw"), None);
        assert_eq!(headers.get_bytes("x-raw"), Some(&b"\xff\xfe"[..]));
        assert_eq!((headers.iter().count(), headers.iter_bytes().count()), (5, 6));
        assert_eq!(headers.single("x-raw"), Single::NotText);
        assert_eq!(headers.single("x-list"), Single::Repeated);
        assert_eq!(headers.single("host"), Single::One("a"));
        assert_eq!(headers.single("absent"), Single::Missing);
    }

    #[test]
    fn finds_cookies_by_name() {
        let headers = Headers::new(b"Cookie:a=1; b=x=y;c=\"q\" ;; d; =e; A=2\nCookie:a=3\ncookie:f=\n");
        let all = [("a", "1"), ("b", "x=y"), ("c", "\"q\""), ("", "e"), ("A", "2"), ("a", "3"), ("f", "")];
        assert_eq!(headers.cookies().collect::<Vec<_>>(), all);
        assert_eq!(
            (headers.cookie("a"), headers.cookie("f"), headers.cookie("d")),
            (Some("1"), Some(""), None)
        );
    }

    #[test]
    fn reads_lines_without_spaces_and_carriage_returns() {
        let compact = Headers::new(b"Host:a\nEmpty:\nX:a:b\n");
        assert_eq!(compact.iter().collect::<Vec<_>>(), [("Host", "a"), ("Empty", ""), ("X", "a:b")]);
        assert!(Headers::default().is_empty() && !compact.is_empty());
    }
}
