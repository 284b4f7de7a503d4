//! Finds the end of a head while it arrives.

use crate::http::head_lines::skip_empty_lines;
use crate::http::reject::Reject;
use crate::limits::{HandshakeLimits, Status};
use crate::token;

/// Finds the end of a request head while it arrives. Examines each byte once.
///
/// Call [`scan`](Self::scan) with everything received so far, each time more bytes arrive. It
/// remembers its position, so a head that arrives byte by byte takes linear time. It rejects input
/// early: bytes that cannot begin a request line (a TLS hello, binary data), and a head longer than
/// [`HandshakeLimits::max_head_bytes`].
///
/// Lines must end in CRLF: a bare LF is rejected with 400. RFC 9112 §2.2 allows leniency ("MAY
/// recognize a single LF as a line terminator"). But recipients that disagree on the end of a head
/// make request smuggling possible, and every WebSocket client sends CRLF.
///
/// Empty lines before the request line belong to the head and are ignored. RFC 9112 §2.2: a server
/// "SHOULD ignore at least one empty line (CRLF) received prior to the request-line". Only
/// [`HandshakeLimits::max_head_bytes`] bounds their number.
///
/// ```
/// use clws_handshake::{HandshakeLimits, HeadScanner, Status};
///
/// let (limits, mut scanner) = (HandshakeLimits::default(), HeadScanner::new());
/// assert_eq!(scanner.scan(b"GET / HTTP/1.1\r\nHost: a\r\n", &limits)?, Status::Partial);
/// let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x81\x80";
/// assert_eq!(scanner.scan(bytes, &limits)?, Status::Complete(27));
/// assert_eq!(HeadScanner::new().scan(b"\x16\x03\x01", &limits).unwrap_err().status(), 400); // TLS
/// # Ok::<(), clws_handshake::Reject>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct HeadScanner {
    /// The number of examined bytes. Until the method is complete, only the leading empty lines
    /// count.
    looked_at: u32,
    /// Whether the method of the request line is complete.
    past_method: bool,
}

/// The longest registered method is `UPDATEREDIRECTREF`, with 17 letters.
const LONGEST_METHOD: usize = 24;

impl HeadScanner {
    /// A scanner for a new connection.
    #[must_use]
    pub const fn new() -> Self {
        Self { looked_at: 0, past_method: false }
    }

    /// Examines the new bytes in `received`, which holds everything received on this connection.
    ///
    /// `Complete(n)` means that the head is `received[..n]`, including its final empty line.
    ///
    /// # Errors
    /// - 400: the input cannot become an HTTP request, or a line does not end in CRLF.
    /// - 414: the request line exceeds the limit.
    /// - 431: the head exceeds the limit.
    pub fn scan(&mut self, received: &[u8], limits: &HandshakeLimits) -> Result<Status<usize>, Reject> {
        let window = window(received, limits);
        if !self.past_method {
            let rest = skip_empty_lines(window.get(self.looked_at as usize..).unwrap_or_default());
            self.looked_at = u32::try_from(window.len() - rest.len()).unwrap_or(u32::MAX);
            self.past_method = starts_like_http(rest)?;
        }
        if !self.past_method {
            return if window.len() == max_len(limits) { Err(too_long(window)) } else { Ok(Status::Partial) };
        }
        match find_end(window, &mut self.looked_at, limits) {
            Ok(status) => Ok(status),
            Err(ScanError::BareLf) => {
                Err(Reject::bad_request("a line of the request head does not end in CRLF"))
            }
            Err(ScanError::TooLong) => Err(too_long(window)),
        }
    }
}

/// Refuses a head that reaches the limit. RFC 9112 §3 defines a separate status for a long target.
fn too_long(window: &[u8]) -> Reject {
    let head = skip_empty_lines(window);
    if !matches!(head, b"" | b"\r") && memchr::memchr(b'\n', head).is_none() {
        Reject::target_too_long()
    } else {
        Reject::head_too_large()
    }
}

/// The reason why the bytes cannot become a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ScanError {
    BareLf,
    TooLong,
}

/// The bytes within the limit. Later bytes are ignored, so that the result does not depend on how
/// the input is split.
fn window<'a>(received: &'a [u8], limits: &HandshakeLimits) -> &'a [u8] {
    received.get(..max_len(limits)).unwrap_or(received)
}

fn max_len(limits: &HandshakeLimits) -> usize {
    limits.max_head_bytes.min(u32::MAX as usize)
}

/// Finds the empty line at the end of a request or response head, from `looked_at` on.
pub(crate) fn find_end(
    received: &[u8],
    looked_at: &mut u32,
    limits: &HandshakeLimits,
) -> Result<Status<usize>, ScanError> {
    let window = window(received, limits);
    let mut from = *looked_at as usize;
    while let Some(found) = window.get(from..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        from += found + 1;
        let line = window.get(..from).unwrap_or_default();
        if line.ends_with(b"\r\n\r\n") {
            return Ok(Status::Complete(from));
        }
        if !line.ends_with(b"\r\n") {
            return Err(ScanError::BareLf);
        }
    }
    if window.len() == max_len(limits) {
        return Err(ScanError::TooLong);
    }
    *looked_at = u32::try_from(window.len()).unwrap_or(u32::MAX);
    Ok(Status::Partial)
}

/// Whether the method is complete. Examines at most [`LONGEST_METHOD`] bytes and one more.
fn starts_like_http(start: &[u8]) -> Result<bool, Reject> {
    if start == b"\r" {
        return Ok(false); // may become another empty line
    }
    let method = start.iter().take(LONGEST_METHOD + 1).take_while(|&&byte| token::is_tchar(byte)).count();
    match start.get(method) {
        None if method <= LONGEST_METHOD => Ok(false),
        Some(b' ') if method > 0 && method <= LONGEST_METHOD => Ok(true),
        _ => Err(Reject::bad_request("this is not an HTTP request")),
    }
}
