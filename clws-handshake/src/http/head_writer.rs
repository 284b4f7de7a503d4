//! Request heads of requests that another HTTP implementation has parsed.

use crate::http::reject::Reject;
use crate::limits::HandshakeLimits;
use crate::token;

/// Writes the head of a request that another HTTP implementation has parsed.
///
/// Such an implementation gives the parts of a request, and not the received bytes. This type
/// writes the parts as a head of HTTP/1.1, so that [`HttpRequest::parse`](crate::HttpRequest::parse)
/// applies the same rules to every request. The order of the header lines and the bytes of their
/// values are kept.
///
/// A request of HTTP/2 has an `:authority` instead of `Host`: write it as `Host`. For an extended
/// CONNECT (RFC 8441), write `GET` and `:path`, and call
/// [`HttpRequest::extended_connect`](crate::HttpRequest::extended_connect).
///
/// ```
/// use clws_handshake::{HandshakeLimits, HeadWriter, HttpRequest};
///
/// let limits = HandshakeLimits::default();
/// let mut head = HeadWriter::new("GET", "/chat?room=1", &limits)?;
/// head.header("host", b"a.example")?;
/// head.header("x-name", b"J\xF6rg")?;
/// let head = head.finish();
/// let request = HttpRequest::parse(&head, &limits)?;
/// assert_eq!((request.path(), request.host()), ("/chat", "a.example"));
/// assert_eq!(request.headers().get_bytes("X-Name"), Some(&b"J\xF6rg"[..]));
/// # Ok::<(), clws_handshake::Reject>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeadWriter {
    head: Vec<u8>,
    max_len: usize,
}

const LINE_END: &[u8] = b"\r\n";

impl HeadWriter {
    /// Begins the head of an HTTP/1.1 request.
    ///
    /// # Errors
    /// - 400: the method is not a token, or the target contains a space or a line break.
    /// - 414: the request line exceeds the limit.
    pub fn new(method: &str, target: &str, limits: &HandshakeLimits) -> Result<Self, Reject> {
        Self::with_version(method, target, b" HTTP/1.1\r\n", limits)
    }

    /// Begins the head of an HTTP/1.0 request.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn http_1_0(method: &str, target: &str, limits: &HandshakeLimits) -> Result<Self, Reject> {
        Self::with_version(method, target, b" HTTP/1.0\r\n", limits)
    }

    fn with_version(
        method: &str,
        target: &str,
        version: &[u8],
        limits: &HandshakeLimits,
    ) -> Result<Self, Reject> {
        // Another space or line break would end the target early.
        if !token::is_token(method) || target.contains([' ', '\r', '\n']) {
            return Err(Reject::bad_request("the request line is malformed"));
        }
        let mut writer = Self { head: Vec::new(), max_len: limits.max_head_bytes };
        writer
            .push(&[method.as_bytes(), b" ", target.as_bytes(), version])
            .map_err(|_| Reject::target_too_long())?;
        Ok(writer)
    }

    /// Adds a header line.
    ///
    /// # Errors
    /// - 400: the name is not a token, or the value contains a line break.
    /// - 431: the head exceeds the limit.
    pub fn header(&mut self, name: &str, value: &[u8]) -> Result<(), Reject> {
        // A line break would begin another header line.
        if !token::is_token(name) || value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return Err(Reject::bad_request("a header line is malformed"));
        }
        self.push(&[name.as_bytes(), b": ", value, LINE_END])
    }

    /// The complete head. It does not exceed
    /// [`HandshakeLimits::max_head_bytes`](crate::HandshakeLimits::max_head_bytes).
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.head.extend_from_slice(LINE_END);
        self.head
    }

    /// Appends the parts, if the whole head stays within the limit. The parser refuses a head that
    /// reaches the limit without its end.
    fn push(&mut self, parts: &[&[u8]]) -> Result<(), Reject> {
        let len = parts.iter().fold(LINE_END.len(), |len, part| len.saturating_add(part.len()));
        if self.head.len().saturating_add(len) > self.max_len {
            return Err(Reject::head_too_large());
        }
        parts.iter().for_each(|part| self.head.extend_from_slice(part));
        Ok(())
    }
}
