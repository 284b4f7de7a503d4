use std::fmt;

use crate::Version;
use crate::headers::Headers;
use crate::request::Request;
use crate::request::{self, origin_header};

/// What is kept of a request while its connection lives: one exact allocation, read again whenever something
/// is asked.
///
/// The struct is a boxed slice and nothing else (16 bytes on a 64-bit machine). Its bytes hold the target,
/// the host and, if [`Request::to_head`] was told so, the header lines without their blanks. Getters walk
/// those bytes, so they cost time in the head's length, and nothing while nobody asks.
///
/// ```
/// use clws_handshake::{parse, HandshakeLimits, Status};
///
/// let bytes = b"GET /chat?room=1 HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Version: 13\r\nCookie: id=1\r\n\r\n";
/// let Status::Complete(request) = parse(bytes, &HandshakeLimits::default())? else { panic!("it is all there") };
/// let head = request.to_head(true);
/// assert_eq!((head.path(), head.query(), head.host()), ("/chat", Some("room=1"), "a.example"));
/// assert_eq!(head.header("cookie"), Some("id=1"));
/// assert_eq!(request.to_head(false).memory(), 24);
/// # Ok::<(), clws_handshake::Reject>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// A byte that names the origin's header, then lines that each end in LF: `path[?query]`, the host (empty
    /// if it is the `Host` header's), and `name:value` for each header. None of them can hold an LF.
    bytes: Box<[u8]>,
}

const NO_ORIGIN: u8 = b'-';
const ORIGIN: u8 = b'o';
const SEC_ORIGIN: u8 = b's';

/// Added to the first byte: there were more headers.
const TRUNCATED: u8 = 0x80;

impl RequestHead {
    /// Keeps headers of at most `limit` bytes.
    pub(crate) fn new(request: &Request<'_>, limit: usize) -> Self {
        let all = request.headers();
        let origin = request.origin().map(|_| origin_header(all, request.version()));
        let size = all.iter_bytes().map(line_len).sum::<usize>();
        let kept = if size <= limit { Kept::All(size) } else { Kept::within(all, origin, limit) };

        let flag = match origin.filter(|name| kept.has(name)) {
            None => NO_ORIGIN,
            Some("Origin") => ORIGIN,
            Some(_) => SEC_ORIGIN,
        };
        let truncated = if matches!(kept, Kept::All(_)) { 0 } else { TRUNCATED };
        let same_host = kept.has("Host") && all.get("Host") == Some(request.host());
        let host = if same_host { "" } else { request.host() };
        let query = request.query();
        let length = 1
            + request.path().len()
            + query.map_or(0, |query| 1 + query.len())
            + 1
            + host.len()
            + 1
            + kept.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.push(flag | truncated);
        bytes.extend_from_slice(request.path().as_bytes());
        if let Some(query) = query {
            bytes.push(b'?');
            bytes.extend_from_slice(query.as_bytes());
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(host.as_bytes());
        bytes.push(b'\n');
        for (name, value) in all.iter_bytes().filter(|(name, _)| kept.has(name)) {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        debug_assert_eq!(bytes.len(), length);
        Self { bytes: bytes.into_boxed_slice() }
    }

    /// The path, beginning with `/`, its percent-encoding untouched.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = self.parts().target;
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// What follows the `?` of the target, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.parts().target.split_once('?').map(|(_, query)| query)
    }

    /// The host that was asked for, with its port if there is one.
    #[must_use]
    pub fn host(&self) -> &str {
        let parts = self.parts();
        if parts.host.is_empty() { parts.headers.get("Host").unwrap_or_default() } else { parts.host }
    }

    /// The origin, from the header that the client's draft has for it; none if the headers were not kept.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        match self.bytes.first().map(|flag| flag & !TRUNCATED) {
            Some(ORIGIN) => self.header("Origin"),
            Some(SEC_ORIGIN) => self.header("Sec-WebSocket-Origin"),
            _ => None,
        }
    }

    /// The value of the first header with that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)
    }

    /// The headers that were kept: all of them, none, or [those that fit](Request::to_head_within).
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        self.parts().headers
    }

    /// Whether the request had headers that were not kept.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.bytes.first().is_some_and(|flag| flag & TRUNCATED != 0)
    }

    /// The subprotocols that the client of this version offered; none if the headers were not kept.
    pub fn subprotocols(&self, version: Version) -> impl Iterator<Item = &str> {
        request::subprotocols(self.headers(), version)
    }

    /// The size of the allocation in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.len()
    }

    fn parts(&self) -> Parts<'_> {
        let mut lines = self.bytes.get(1..).unwrap_or_default().splitn(3, |&byte| byte == b'\n');
        let mut text = || str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
        let (target, host) = (text(), text());
        Parts { target, host, headers: Headers::new(lines.next().unwrap_or_default()) }
    }
}

/// Bytes that a header line takes.
fn line_len((name, value): (&str, &[u8])) -> usize {
    name.len() + 1 + value.len() + 1
}

/// Which headers are kept.
enum Kept<'a> {
    /// All of them, with their bytes.
    All(usize),
    /// Those of these names, with their bytes.
    Only(Vec<&'a str>, usize),
}

impl<'a> Kept<'a> {
    fn within(all: Headers<'a>, origin: Option<&'a str>, limit: usize) -> Self {
        let (mut names, mut seen, mut len) = (Vec::new(), Vec::<&str>::new(), 0);
        if limit > 0 {
            for name in origin.into_iter().chain(all.iter_bytes().map(|(name, _)| name)) {
                if seen.iter().any(|before| before.eq_ignore_ascii_case(name)) {
                    continue;
                }
                seen.push(name);
                let same = all.iter_bytes().filter(|(found, _)| found.eq_ignore_ascii_case(name));
                let needed = same.map(line_len).sum::<usize>();
                if needed <= limit - len {
                    names.push(name);
                    len += needed;
                }
            }
        }
        Self::Only(names, len)
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::All(_) => true,
            Self::Only(names, _) => names.iter().any(|kept| kept.eq_ignore_ascii_case(name)),
        }
    }

    const fn len(&self) -> usize {
        match self {
            Self::All(len) | Self::Only(_, len) => *len,
        }
    }
}

struct Parts<'a> {
    target: &'a str,
    host: &'a str,
    headers: Headers<'a>,
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("path", &self.path())
            .field("query", &self.query())
            .field("host", &self.host())
            .field("headers", &self.headers())
            .finish()
    }
}
