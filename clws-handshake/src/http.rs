use crate::headers::Single;
use crate::lines::Lines;
use crate::{Caps, HeadScanner, Headers, Reject, Status};

/// A well-formed HTTP/1.1 request head, borrowed from the bytes it came in; it need not ask for WebSocket.
///
/// A server that also answers plain HTTP requests looks at [`wants_upgrade`](Self::wants_upgrade) before it
/// goes on with [`upgrade`](Self::upgrade).
///
/// ```
/// use clws_handshake::{Caps, HttpRequest};
///
/// let head = b"GET /status?full HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// let request = HttpRequest::parse(head, &Caps::default())?;
/// assert_eq!((request.method(), request.path(), request.query()), ("GET", "/status", Some("full")));
/// assert!(!request.wants_upgrade());
/// # Ok::<(), clws_handshake::Reject>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    method: &'a str,
    target: Target<'a>,
    host: &'a str,
    headers: Headers<'a>,
    head_len: usize,
}

impl<'a> HttpRequest<'a> {
    /// Parses a whole head, as [`HeadScanner`] found it. Bytes behind its empty line are ignored.
    ///
    /// # Errors
    /// 400 for a head that is cut short or malformed, lacks a valid `Host`, or has more than one; 431 over
    /// the [`Caps`]; 505 for a version of HTTP other than 1.1. Folded header lines and blanks before a colon
    /// are malformed.
    pub fn parse(head: &'a [u8], caps: &Caps) -> Result<Self, Reject> {
        let Status::Complete(head_len) = HeadScanner::new().scan(head, caps)? else {
            return Err(Reject::bad_request("the request head is cut short"));
        };
        let head = head.get(..head_len).unwrap_or(head);
        let parsed = Parsed::new(head, caps.max_headers)?;
        let target = Target::parse(parsed.method, parsed.target)?;
        let header_host = host(parsed.headers)?;
        Ok(Self {
            method: parsed.method,
            // RFC 9112 §3.2.2: "When an origin server receives a request with an absolute-form of
            // request-target, the origin server MUST ignore the received Host header field (if any) and
            // instead replace it with the host information of the request-target."
            host: target.authority.unwrap_or(header_host),
            target,
            headers: parsed.headers,
            head_len,
        })
    }

    /// The method, `GET` for a handshake; methods are case-sensitive.
    #[must_use]
    pub const fn method(&self) -> &'a str {
        self.method
    }

    /// The request target as it came: `/chat?room=1`, `ws://host/chat`, or `*`.
    #[must_use]
    pub const fn target(&self) -> &'a str {
        self.target.raw
    }

    /// The path, beginning with `/`, its percent-encoding untouched; the whole target for `OPTIONS *` and
    /// `CONNECT`.
    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.target.path
    }

    /// What follows the `?`, if there is one; may be empty.
    #[must_use]
    pub const fn query(&self) -> Option<&'a str> {
        self.target.query
    }

    /// The host that was asked for, with its port if there is one: of an absolute target, else of the `Host`
    /// header.
    #[must_use]
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// The header lines.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// The length of the head in bytes, its closing empty line included.
    #[must_use]
    pub const fn head_len(&self) -> usize {
        self.head_len
    }

    /// Whether the client asks for WebSocket: `Upgrade` lists `websocket` and `Connection` lists `Upgrade`.
    #[must_use]
    pub fn wants_upgrade(&self) -> bool {
        // RFC 6455 §4.2.1: "An |Upgrade| header field containing the value "websocket", treated as an ASCII
        // case-insensitive value." and "A |Connection| header field that includes the token "Upgrade",
        // treated as an ASCII case-insensitive value."
        self.headers.list_has("Upgrade", "websocket") && self.headers.list_has("Connection", "upgrade")
    }

    /// The path and query as the client asked for them, without scheme and host.
    pub(crate) const fn path_and_query(&self) -> &'a str {
        self.target.path_and_query
    }
}

/// The request line and the header lines, checked for their grammar only.
struct Parsed<'a> {
    method: &'a str,
    target: &'a str,
    headers: Headers<'a>,
}

impl<'a> Parsed<'a> {
    fn new(head: &'a [u8], max_headers: usize) -> Result<Self, Reject> {
        let lines = Lines::split(head);
        if lines.count > max_headers {
            return Err(Reject::head_too_large());
        }
        let (result, method, target, version) = lines.with_room(|room| {
            let mut request = httparse::Request::new(&mut []);
            let result = request.parse_with_uninit_headers(head, room);
            (result, request.method, request.path, request.version)
        });
        if result.map_err(|error| refuse(error, lines.first))?.is_partial() {
            return Err(Reject::bad_request("the request head is cut short"));
        }
        let (Some(method), Some(target), Some(version)) = (method, target, version) else {
            return Err(Reject::bad_request("the request line is malformed"));
        };
        // RFC 6455 §4.2.1: "An HTTP/1.1 or higher GET request"
        if version != 1 {
            return Err(Reject::http_version_not_supported());
        }
        Ok(Self { method, target, headers: Headers::new(lines.block) })
    }
}

/// The request target taken apart.
#[derive(Clone, Copy, Debug)]
struct Target<'a> {
    raw: &'a str,
    /// The host of an absolute target.
    authority: Option<&'a str>,
    path_and_query: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn parse(method: &str, raw: &'a str) -> Result<Self, Reject> {
        // hixie-76 §5.1: the resource name "will only include characters in the range U+0021 to U+007E"; RFC
        // 3986 §2 knows no others either.
        if !raw.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Reject::bad_request("the request target is not printable ASCII"));
        }
        // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be
        // used on these URIs."
        if raw.contains('#') {
            return Err(Reject::bad_request("the request target has a fragment"));
        }
        if (method == "OPTIONS" && raw == "*") || method == "CONNECT" {
            return Ok(Self { raw, authority: None, path_and_query: raw, path: raw, query: None });
        }
        let (authority, path_and_query) = if raw.starts_with('/') {
            (None, raw)
        } else {
            let (authority, rest) = absolute(raw)
                .ok_or_else(|| Reject::bad_request("the request target is neither a path nor a ws:// URL"))?;
            (Some(authority), rest)
        };
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        // RFC 6455 §3: "/" is the resource name's path when the path component is empty.
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { raw, authority, path_and_query, path, query })
    }
}

/// Splits `ws://host:port/path` behind the authority, if it is one of the four schemes that lead here.
fn absolute(raw: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = raw.split_once("://")?;
    ["ws", "wss", "http", "https"].iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    is_host(authority).then_some((authority, path))
}

/// The value of the one `Host` header.
fn host(headers: Headers<'_>) -> Result<&str, Reject> {
    // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request
    // message that lacks a Host header field and to any request message that contains more than one Host
    // header field line or a Host header field with an invalid field value."
    match headers.single("Host") {
        Single::One(host) if is_host(host) => Ok(host),
        Single::One(_) | Single::NotText => Err(Reject::bad_request("the Host header is malformed")),
        Single::Missing => Err(Reject::bad_request("the Host header is missing")),
        Single::Repeated => Err(Reject::bad_request("the Host header is there twice")),
    }
}

/// Whether a text has only the characters of RFC 3986's `host [ ":" port ]`, and is not empty. User
/// information, which RFC 9110 §4.2.4 asks to treat as an error, has an `@` and is out.
pub(crate) fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%[]:".contains(&byte))
}

fn refuse(error: httparse::Error, line: &[u8]) -> Reject {
    use httparse::Error;
    match error {
        Error::Version if names_http(line) => Reject::http_version_not_supported(),
        Error::TooManyHeaders => Reject::head_too_large(),
        Error::HeaderName | Error::HeaderValue => Reject::bad_request("a header line is malformed"),
        _ => Reject::bad_request("the request line is malformed"),
    }
}

/// Whether the third word of the request line is `HTTP/d.d`, which is a version, be it spoken here or not.
fn names_http(line: &[u8]) -> bool {
    let version = line.split(|&byte| byte == b' ').nth(2).unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n']
        if major.is_ascii_digit() && minor.is_ascii_digit())
}
