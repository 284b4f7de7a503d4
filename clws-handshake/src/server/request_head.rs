//! A compact copy of a request, kept while its connection lives.

use std::fmt;

use clws_proto::Version;

use crate::http::headers::Headers;
use crate::server::fields;
use crate::server::request::Request;

/// The parts of a request to keep while its connection lives, in one exact allocation.
///
/// The struct is a boxed slice (16 bytes on a 64-bit machine). It holds the target, the host and,
/// if [`Request::to_head`] is asked to keep them, the header lines without surrounding whitespace.
/// Each getter searches these bytes, so its time is linear in the length of the head.
///
/// ```
/// use clws_handshake::{parse, HandshakeLimits, Status};
///
/// let bytes = b"GET /chat?room=1 HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Version: 13\r\nCookie: id=1\r\n\r\n";
/// let Status::Complete(request) = parse(bytes, &HandshakeLimits::default())? else {
///     panic!("incomplete")
/// };
/// let head = request.to_head(true);
/// assert_eq!((head.path(), head.query(), head.host()), ("/chat", Some("room=1"), "a.example"));
/// assert_eq!(head.header("cookie"), Some("id=1"));
/// assert_eq!(request.to_head(false).memory(), 24);
/// # Ok::<(), clws_handshake::Reject>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// A flag byte, then lines that each end in LF: `path[?query]`, the host (empty if equal to the
    /// `Host` header), and `name:value` for each header. No part can contain an LF.
    bytes: Box<[u8]>,
}

/// Flag byte: the request has no origin, or its header is not kept.
const NO_ORIGIN: u8 = b'-';
/// Flag byte: the origin is in `Origin`.
const ORIGIN: u8 = b'o';
/// Flag byte: the origin is in `Sec-WebSocket-Origin`.
const SEC_ORIGIN: u8 = b's';

/// Set in the flag byte if some headers are not kept.
const TRUNCATED: u8 = 0x80;

impl Request<'_> {
    /// A compact owned copy to keep while the connection lives.
    ///
    /// Without `keep_headers` it holds only path, query and host: a few dozen bytes for most
    /// connections.
    #[must_use]
    pub fn to_head(&self, keep_headers: bool) -> RequestHead {
        RequestHead::new(self, if keep_headers { usize::MAX } else { 0 })
    }

    /// A copy like that of [`to_head`](Self::to_head), with at most `limit` bytes of headers. A
    /// header line counts its name, its value and 2 bytes.
    ///
    /// Either all lines of a name are kept or none. The header of the origin has priority, then
    /// names in the order of their first line. A name whose lines do not fit is skipped, so a long
    /// cookie does not displace later headers. [`RequestHead::is_truncated`] reports skipped
    /// headers.
    #[must_use]
    pub fn to_head_within(&self, limit: usize) -> RequestHead {
        RequestHead::new(self, limit)
    }
}

impl RequestHead {
    fn new(request: &Request<'_>, limit: usize) -> Self {
        let all = request.headers();
        let origin = request.origin().map(|_| fields::origin_header(all, request.version()));
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

    /// The path. It begins with `/` and keeps its percent-encoding.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = self.parts().target;
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The part of the target after the `?`, if there is a `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.parts().target.split_once('?').map(|(_, query)| query)
    }

    /// The requested host, with its port if there is one.
    #[must_use]
    pub fn host(&self) -> &str {
        let parts = self.parts();
        if parts.host.is_empty() { parts.headers.get("Host").unwrap_or_default() } else { parts.host }
    }

    /// The origin, from the header that the client's version uses. `None` if its header is not
    /// kept.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        match self.bytes.first().map(|flag| flag & !TRUNCATED) {
            Some(ORIGIN) => self.header("Origin"),
            Some(SEC_ORIGIN) => self.header("Sec-WebSocket-Origin"),
            _ => None,
        }
    }

    /// The value of the first header with this name. Names are case-insensitive.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)
    }

    /// The kept headers: all of them, none, or [those within a limit](Request::to_head_within).
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        self.parts().headers
    }

    /// Whether some headers of the request are not kept.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.bytes.first().is_some_and(|flag| flag & TRUNCATED != 0)
    }

    /// The subprotocols that the client of this version offered. Empty if their header is not kept.
    pub fn subprotocols(&self, version: Version) -> impl Iterator<Item = &str> {
        fields::subprotocols(self.headers(), version)
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

/// The bytes of a kept header line, with its colon and LF.
fn line_len((name, value): (&str, &[u8])) -> usize {
    name.len() + 1 + value.len() + 1
}

/// The headers to keep, and their total length.
enum Kept<'a> {
    All(usize),
    /// Only the headers with these names.
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
