//! Responses that refuse an opening handshake.

use std::borrow::Cow;
use std::fmt;

use crate::http::head_lines::skip_empty_lines;
use crate::http::response::{HttpResponse, reason};
use crate::http::write::{HeaderError, check_header};
use crate::{token, version_rules};

/// A refused opening handshake: the HTTP response to send before closing the connection.
///
/// The parsers return it for invalid requests, and an application for requests that it refuses. No
/// constructor allocates for a text known at compile time.
///
/// [`response`](Self::response) is a complete response: status line, `Connection: close`,
/// `Content-Type: text/plain`, `Content-Length`, and a short body that names the error.
///
/// ```
/// use clws_handshake::Reject;
///
/// let reject = Reject::forbidden("this origin is not welcome here");
/// assert_eq!(reject.to_string(), "403 Forbidden: this origin is not welcome here");
/// assert_eq!(
///     String::from_utf8_lossy(&reject.response()),
///     "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
///      Content-Length: 31\r\n\r\nthis origin is not welcome here"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    status: u16,
    body: Cow<'static, str>,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

impl Reject {
    /// 400: the request violates the rule that `why` describes.
    #[must_use]
    pub fn bad_request(why: impl Into<Cow<'static, str>>) -> Self {
        Self::custom(400, why)
    }

    /// 401: authentication is required. The challenge, for example `Bearer` or
    /// `Basic realm="chat"`, becomes the `WWW-Authenticate` header. An invalid header value becomes
    /// `Bearer`.
    #[must_use]
    pub fn unauthorized(challenge: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Self {
        // RFC 9110 §15.5.2: "The server generating a 401 response MUST send a WWW-Authenticate
        // header field"
        let challenge = challenge.into();
        let fits = !challenge.is_empty() && token::is_field_value(&challenge);
        Self::custom(401, why).and("WWW-Authenticate", if fits { challenge } else { "Bearer".into() })
    }

    /// 403: the request is valid, but this client is not allowed, for example because of its origin
    /// (RFC 6455 §4.2.2).
    #[must_use]
    pub fn forbidden(why: impl Into<Cow<'static, str>>) -> Self {
        Self::custom(403, why)
    }

    /// 404: no resource has this path.
    #[must_use]
    pub fn not_found() -> Self {
        Self::custom(404, "there is nothing at this path")
    }

    /// 405 with `Allow: GET`: an opening handshake must use GET.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405
        // response"
        Self::custom(405, "a WebSocket handshake must use GET").and("Allow", "GET")
    }

    /// 426: the request does not ask for WebSocket.
    #[must_use]
    pub fn upgrade_required() -> Self {
        Self::custom(426, "this resource requires WebSocket: send Upgrade: websocket and Connection: Upgrade")
    }

    /// 426: the version is unsupported. `Sec-WebSocket-Version` lists the supported ones
    /// (RFC 6455 §4.4).
    #[must_use]
    pub fn unsupported_version() -> Self {
        Self::custom(
            426,
            format!("unsupported WebSocket version; supported versions: {}", version_rules::supported()),
        )
    }

    /// 414: the request line alone exceeds
    /// [`max_head_bytes`](crate::HandshakeLimits::max_head_bytes).
    #[must_use]
    pub fn target_too_long() -> Self {
        // RFC 9112 §3: "A server that receives a request-target longer than any URI it wishes to
        // parse MUST respond with a 414 (URI Too Long) status code."
        Self::custom(414, "the request target is too long")
    }

    /// 417: the client expects something other than `100-continue`.
    #[must_use]
    pub fn expectation_failed() -> Self {
        Self::custom(417, "the only supported expectation is 100-continue")
    }

    /// 431: the head exceeds the [`HandshakeLimits`](crate::HandshakeLimits).
    #[must_use]
    pub fn head_too_large() -> Self {
        Self::custom(431, "the request head is too large")
    }

    /// 503: the server has no capacity. `retry_after` is in seconds and becomes a `Retry-After`
    /// header.
    #[must_use]
    pub fn unavailable(retry_after: Option<u32>) -> Self {
        let reject = Self::custom(503, "the server is full");
        match retry_after {
            Some(seconds) => reject.and("Retry-After", seconds.to_string()),
            None => reject,
        }
    }

    /// 505: the major version of HTTP is not 1.
    #[must_use]
    pub fn http_version_not_supported() -> Self {
        Self::custom(505, "only HTTP/1.x is supported")
    }

    /// A final response with a plain-text body. A status outside 200..=599, or without a body (204,
    /// 205 and 304), becomes 500. The statuses 401, 405 and 407 require a header: add it with
    /// [`append_header`](Self::append_header).
    #[must_use]
    pub fn custom(status: u16, body: impl Into<Cow<'static, str>>) -> Self {
        let status =
            if matches!(status, 200..=599) && !matches!(status, 204 | 205 | 304) { status } else { 500 };
        Self { status, body: body.into(), headers: Vec::new() }
    }

    /// Adds a header, for example `WWW-Authenticate` or `Location`.
    ///
    /// # Errors
    /// The name is not a token, the value is invalid, or [`response`](Self::response) writes this
    /// header itself.
    pub fn append_header(
        self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Result<Self, HeaderError> {
        let (name, value) = (name.into(), value.into());
        check_header(&name, &value)?;
        Ok(self.and(name, value))
    }

    /// The HTTP status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason, which is the body of the response.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The value of the first header with this name, without regard to case. Only headers that a
    /// constructor or [`append_header`](Self::append_header) has added are found.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The bytes to send. Then close the connection.
    #[must_use]
    pub fn response(&self) -> Vec<u8> {
        self.to_http().write(false)
    }

    /// The bytes to send to a client that sent `received`, which may be incomplete or invalid. If
    /// it is a `HEAD`, the response has no body. Then close the connection.
    ///
    /// ```
    /// use clws_handshake::Reject;
    ///
    /// let response = Reject::not_found().response_to(b"HEAD / HTTP/1.1\r\nHost: a.exam");
    /// assert!(response.ends_with(b"Content-Length: 29\r\n\r\n"));
    /// ```
    #[must_use]
    pub fn response_to(&self, received: &[u8]) -> Vec<u8> {
        // RFC 9110 §9.3.2: "the server MUST NOT send content in the response". A client that sent
        // HEAD ends the response at its empty line, even if the request was invalid.
        let is_head = skip_empty_lines(received).starts_with(b"HEAD ");
        self.to_http().write(is_head)
    }

    /// The refusal as a plain HTTP response.
    #[must_use]
    pub fn to_http(&self) -> HttpResponse {
        let response = HttpResponse::text(self.status, self.body.clone());
        self.headers
            .iter()
            .fold(response, |response, (name, value)| response.and(name.clone(), value.clone()))
    }

    fn and(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, reason(self.status), self.body)
    }
}

impl std::error::Error for Reject {}

/// 500: an invalid header is an error of the application.
impl From<HeaderError> for Reject {
    fn from(_: HeaderError) -> Self {
        Self::custom(500, "the resource failed")
    }
}

/// The refusal as a plain HTTP response.
impl From<Reject> for HttpResponse {
    fn from(reject: Reject) -> Self {
        reject.to_http()
    }
}
