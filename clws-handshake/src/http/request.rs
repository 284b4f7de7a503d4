//! HTTP requests.

use std::borrow::Cow;

use crate::authority::Authority;
use crate::http::head_lines::{Lines, LinesError, skip_empty_lines};
use crate::http::headers::{Headers, Single};
use crate::http::reject::Reject;
use crate::http::request_line::{RequestLine, Target};
use crate::http::response::HttpResponse;
use crate::http::scan::HeadScanner;
use crate::http::{expect, framing};
use crate::limits::{HandshakeLimits, Status};

/// A well-formed HTTP/1.x request head, borrowed from the received bytes. It may ask for WebSocket
/// or not.
///
/// A server that also answers plain HTTP requests checks [`wants_upgrade`](Self::wants_upgrade)
/// before it calls [`upgrade`](Self::upgrade).
///
/// ```
/// use clws_handshake::{HandshakeLimits, HttpRequest};
///
/// let head = b"GET /status?full HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// let request = HttpRequest::parse(head, &HandshakeLimits::default())?;
/// assert_eq!((request.method(), request.path()), ("GET", "/status"));
/// assert_eq!(request.query(), Some("full"));
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
    minor: u8,
    expects_continue: bool,
}

impl<'a> HttpRequest<'a> {
    /// Parses a complete head, as [`HeadScanner`] found it. Ignores bytes after its empty line.
    ///
    /// Treats a minor version above 1 as HTTP/1.1 (RFC 9110 §6.2). HTTP/1.0 does not require
    /// `Host`.
    ///
    /// # Errors
    /// - 400: the head is incomplete or malformed, or it does not have exactly one valid `Host`.
    ///   Folded header lines and whitespace before a colon are malformed.
    /// - 414 or 431: the head exceeds the [`HandshakeLimits`].
    /// - 417: the client expects something other than `100-continue`.
    /// - 505: the major version of HTTP is not 1.
    pub fn parse(head: &'a [u8], limits: &HandshakeLimits) -> Result<Self, Reject> {
        let Status::Complete(head_len) = HeadScanner::new().scan(head, limits)? else {
            return Err(Reject::bad_request("the request head is incomplete"));
        };
        let lines = Lines::split(skip_empty_lines(head.get(..head_len).unwrap_or(head)));
        let RequestLine { method, target, minor } = RequestLine::parse(lines.first)?;
        let headers = lines.headers(limits.max_headers).map_err(|error| match error {
            LinesError::TooMany => Reject::head_too_large(),
            LinesError::Malformed => Reject::bad_request("a header line is malformed"),
        })?;
        let header_host = host(headers, minor)?;
        let expects_continue = expect::expects_continue(headers, minor)?;
        Ok(Self {
            method,
            // RFC 9112 §3.2.2: "When an origin server receives a request with an absolute-form of
            // request-target, the origin server MUST ignore the received Host header field (if any)
            // and instead replace it with the host information of the request-target."
            host: target.authority.unwrap_or(header_host),
            target,
            headers,
            head_len,
            minor,
            expects_continue,
        })
    }

    /// The method. It is `GET` for a handshake. Methods are case-sensitive.
    #[must_use]
    pub const fn method(&self) -> &'a str {
        self.method
    }

    /// The request target as sent: `/chat?room=1`, `ws://host/chat`, or `*`.
    #[must_use]
    pub const fn target(&self) -> &'a str {
        self.target.raw
    }

    /// The path. It begins with `/` and keeps its percent-encoding. For `OPTIONS *` and `CONNECT`
    /// it is the whole target.
    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.target.path
    }

    /// The part of the target after the `?`, if there is a `?`. May be empty.
    #[must_use]
    pub const fn query(&self) -> Option<&'a str> {
        self.target.query
    }

    /// The requested host, with its port if there is one. An absolute target takes precedence over
    /// the `Host` header. Empty for an HTTP/1.0 request without a host.
    #[must_use]
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// The header lines.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// The length of the head in bytes, including its final empty line and empty lines before the
    /// request line.
    #[must_use]
    pub const fn head_len(&self) -> usize {
        self.head_len
    }

    /// Whether the client asks for WebSocket: `Upgrade` lists `websocket` and `Connection` lists
    /// `Upgrade`.
    #[must_use]
    pub fn wants_upgrade(&self) -> bool {
        // RFC 6455 §4.2.1: "An |Upgrade| header field containing the value "websocket", treated as
        // an ASCII case-insensitive value." and "A |Connection| header field that includes the
        // token "Upgrade", treated as an ASCII case-insensitive value."
        self.headers.list_has("Upgrade", "websocket") && self.headers.list_has("Connection", "upgrade")
    }

    /// The minor version of HTTP: 1 for HTTP/1.1. The major version is always 1.
    #[must_use]
    pub const fn minor_version(&self) -> u8 {
        self.minor
    }

    /// Whether the client may wait for [`CONTINUE`](crate::CONTINUE) before it sends a body
    /// (RFC 9110 §10.1.1). A final response also ends this wait. Always false for HTTP/1.0.
    #[must_use]
    pub const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether the client expects that the connection stays open after the response (RFC 9112
    /// §9.3).
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        // RFC 9112 §9.3: "If the close connection option is present, the connection will not
        // persist after the current response; else, If the received protocol is HTTP/1.1 (or
        // later), the connection will persist after the current response; else, If the received
        // protocol is HTTP/1.0, the keep-alive connection option is present, ..."
        let has = |option| self.headers.list_has("Connection", option);
        !has("close") && (self.minor > 0 || has("keep-alive"))
    }

    /// Whether a body follows the head (RFC 9112 §6.3). A server that does not read the body must
    /// close the connection after its response.
    ///
    /// # Errors
    /// - 400: the end of the body is ambiguous. `Content-Length` is not a number, is repeated with
    ///   another value, or appears together with `Transfer-Encoding`; or the last transfer coding
    ///   is not `chunked`.
    /// - 501: a transfer coding other than `chunked` precedes it.
    pub fn has_body(&self) -> Result<bool, Reject> {
        framing::has_body(self.headers, self.minor)
    }

    /// The path and query as sent, without scheme and host.
    pub(crate) const fn path_and_query(&self) -> &'a str {
        self.target.path_and_query
    }
}

impl HttpResponse {
    /// The response to this request. It has no body for `HEAD` and for the statuses 204, 205 and
    /// 304. Close the connection after sending it, unless it is to be [kept
    /// alive](Self::keep_alive).
    #[must_use]
    pub fn to_bytes(&self, request: &HttpRequest<'_>) -> Vec<u8> {
        self.write(request.method() == "HEAD")
    }

    /// Like [`to_bytes`](Self::to_bytes), but splits head and body, so that a shared body is not
    /// copied for each response.
    #[must_use]
    pub fn into_parts(self, request: &HttpRequest<'_>) -> (Vec<u8>, Cow<'static, [u8]>) {
        self.split(request.method() == "HEAD")
    }
}

/// The value of the `Host` header.
fn host(headers: Headers<'_>, minor: u8) -> Result<&str, Reject> {
    // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1
    // request message that lacks a Host header field and to any request message that contains more
    // than one Host header field line or a Host header field with an invalid field value."
    match headers.single("Host") {
        Single::One(host) if Authority::parse(host).is_some() => Ok(host),
        Single::One(_) | Single::NotText => Err(Reject::bad_request("the Host header is malformed")),
        Single::Missing if minor == 0 => Ok(""),
        Single::Missing => Err(Reject::bad_request("the Host header is missing")),
        Single::Repeated => Err(Reject::bad_request("the Host header appears twice")),
    }
}
