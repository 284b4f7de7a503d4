use crate::http::head_lines::skip_empty_lines;
use crate::http::reject::Reject;
use crate::limits::{HandshakeLimits, Status};
use crate::token;

/// Finds the end of a request head in bytes that are still arriving, looking at each byte once.
///
/// Give it everything received so far each time more has come; it remembers how far it looked, so a head that
/// comes byte by byte costs linear time. It refuses at once what cannot become a request line (a TLS hello,
/// binary data), and a head that grows over [`HandshakeLimits::max_head_bytes`].
///
/// Line ends are CRLF and nothing else: a bare LF is 400. RFC 9112 §2.2 allows a server to be lenient here
/// ("MAY recognize a single LF as a line terminator"), but two readers that disagree on where a head ends are
/// how requests get smuggled, and every WebSocket client sends CRLF.
///
/// Empty lines before the request line are part of the head and otherwise ignored (RFC 9112 §2.2: a server "SHOULD
/// ignore at least one empty line (CRLF) received prior to the request-line"). There may be as many as fit in
/// [`HandshakeLimits::max_head_bytes`].
///
/// ```
/// use clws_handshake::{HandshakeLimits, HeadScanner, Status};
///
/// let (limits, mut scanner) = (HandshakeLimits::default(), HeadScanner::new());
/// assert_eq!(scanner.scan(b"GET / HTTP/1.1\r\nHost: a\r\n", &limits)?, Status::Partial);
/// assert_eq!(scanner.scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x81\x80", &limits)?, Status::Complete(27));
/// assert_eq!(HeadScanner::new().scan(b"\x16\x03\x01", &limits).unwrap_err().status(), 400); // TLS
/// # Ok::<(), clws_handshake::Reject>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct HeadScanner {
    /// How many bytes have been looked at; before the method has ended, the empty lines.
    looked_at: u32,
    /// Whether the request line's method has ended.
    past_method: bool,
}

/// The longest registered method, `UPDATEREDIRECTREF`, has 17 letters.
const LONGEST_METHOD: usize = 24;

impl HeadScanner {
    /// A scanner for a new connection.
    #[must_use]
    pub const fn new() -> Self {
        Self { looked_at: 0, past_method: false }
    }

    /// Looks at the bytes that are new in `received`, which is everything that came on this connection so
    /// far.
    ///
    /// `Complete(n)`: the head is `received[..n]`, its closing empty line included; what follows is not the
    /// head's.
    ///
    /// # Errors
    /// 400 for what cannot become an HTTP request or has a line end other than CRLF; 414 for a request line over the
    /// cap, and 431 for a head over it.
    pub fn scan(&mut self, received: &[u8], limits: &HandshakeLimits) -> Result<Status<usize>, Reject> {
        let window = window(received, limits);
        if !self.past_method {
            let rest = skip_empty_lines(window.get(self.looked_at as usize..).unwrap_or_default());
            self.looked_at = u32::try_from(window.len() - rest.len()).unwrap_or(u32::MAX);
            self.past_method = starts_like_http(rest)?;
        }
        if !self.past_method {
            return if window.len() == cap(limits) { Err(too_long(window)) } else { Ok(Status::Partial) };
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

/// The refusal of a head that fills the cap: RFC 9112 §3 has a status of its own for a target that is too long.
fn too_long(window: &[u8]) -> Reject {
    let head = skip_empty_lines(window);
    if !matches!(head, b"" | b"\r") && memchr::memchr(b'\n', head).is_none() {
        Reject::target_too_long()
    } else {
        Reject::head_too_large()
    }
}

/// Why no head can come of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ScanError {
    BareLf,
    TooLong,
}

/// The bytes within the cap. What lies behind is never looked at, so no answer depends on how the bytes were
/// split.
fn window<'a>(received: &'a [u8], limits: &HandshakeLimits) -> &'a [u8] {
    received.get(..cap(limits)).unwrap_or(received)
}

fn cap(limits: &HandshakeLimits) -> usize {
    limits.max_head_bytes.min(u32::MAX as usize)
}

/// Looks for an empty line behind the bytes that were looked at already, in a request or in an answer.
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
    if window.len() == cap(limits) {
        return Err(ScanError::TooLong);
    }
    *looked_at = u32::try_from(window.len()).unwrap_or(u32::MAX);
    Ok(Status::Partial)
}

/// Whether the method has ended: only its few bytes are looked at.
fn starts_like_http(start: &[u8]) -> Result<bool, Reject> {
    if start == b"\r" {
        return Ok(false); // it may become another empty line
    }
    let method = start.iter().take(LONGEST_METHOD + 1).take_while(|&&byte| token::is_tchar(byte)).count();
    match start.get(method) {
        None if method <= LONGEST_METHOD => Ok(false),
        Some(b' ') if method > 0 && method <= LONGEST_METHOD => Ok(true),
        _ => Err(Reject::bad_request("this is not an HTTP request")),
    }
}
