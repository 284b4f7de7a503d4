use std::borrow::Cow;
use std::fmt;

use crate::http::head_lines::skip_empty_lines;
use crate::http::response::{HttpResponse, reason};
use crate::http::write::{HeaderError, check_header};
use crate::{token, version_rules};

/// A refused opening handshake: the HTTP answer to send before the connection is closed.
///
/// It is made by the parsers for what a client did wrong, and by an application for what it does not want. It
/// is cheap to make: no constructor here allocates for a text known at compile time.
///
/// [`response`](Self::response) is a whole answer: status line, `Connection: close`, `Content-Type:
/// text/plain`, `Content-Length`, and a short body that names what was wrong.
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
    /// 400: the request breaks the rule that `why` names.
    #[must_use]
    pub fn bad_request(why: impl Into<Cow<'static, str>>) -> Self {
        Self::custom(400, why)
    }

    /// 401: who is it? The challenge says how to tell, `Bearer` or `Basic realm="chat"` for instance, and becomes the
    /// `WWW-Authenticate` header; one that cannot stand in a header line becomes `Bearer`.
    #[must_use]
    pub fn unauthorized(challenge: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Self {
        // RFC 9110 §15.5.2: "The server generating a 401 response MUST send a WWW-Authenticate header field"
        let challenge = challenge.into();
        let fits = !challenge.is_empty() && token::is_field_value(&challenge);
        Self::custom(401, why).and("WWW-Authenticate", if fits { challenge } else { "Bearer".into() })
    }

    /// 403: the request is well-formed, but this client (its origin, say) is not welcome (RFC 6455 §4.2.2).
    #[must_use]
    pub fn forbidden(why: impl Into<Cow<'static, str>>) -> Self {
        Self::custom(403, why)
    }

    /// 404: there is no such resource.
    #[must_use]
    pub fn not_found() -> Self {
        Self::custom(404, "there is nothing at this path")
    }

    /// 405 with `Allow: GET`: an opening handshake is a GET.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response"
        Self::custom(405, "a WebSocket handshake must use GET").and("Allow", "GET")
    }

    /// 426 for a request that does not ask for WebSocket at all.
    #[must_use]
    pub fn upgrade_required() -> Self {
        Self::custom(426, "this resource requires WebSocket: send Upgrade: websocket and Connection: Upgrade")
    }

    /// 426 for a version that is not spoken: `Sec-WebSocket-Version` says which ones are (RFC 6455 §4.4).
    #[must_use]
    pub fn unsupported_version() -> Self {
        Self::custom(
            426,
            format!("unsupported WebSocket version; supported versions: {}", version_rules::supported()),
        )
    }

    /// 414: the request line alone is longer than the [`HandshakeLimits`](crate::HandshakeLimits) allow a head to be.
    #[must_use]
    pub fn target_too_long() -> Self {
        // RFC 9112 §3: "A server that receives a request-target longer than any URI it wishes to parse MUST respond
        // with a 414 (URI Too Long) status code."
        Self::custom(414, "the request target is too long")
    }

    /// 417: the client expects something other than `100-continue`.
    #[must_use]
    pub fn expectation_failed() -> Self {
        Self::custom(417, "the only supported expectation is 100-continue")
    }

    /// 431: the head is longer, or has more lines, than the [`HandshakeLimits`](crate::HandshakeLimits) allow.
    #[must_use]
    pub fn head_too_large() -> Self {
        Self::custom(431, "the request head is too large")
    }

    /// 503: no room now. `retry_after` is in seconds and becomes a `Retry-After` header.
    #[must_use]
    pub fn unavailable(retry_after: Option<u32>) -> Self {
        let reject = Self::custom(503, "the server is full");
        match retry_after {
            Some(seconds) => reject.and("Retry-After", seconds.to_string()),
            None => reject,
        }
    }

    /// 505: a major version of HTTP other than 1.
    #[must_use]
    pub fn http_version_not_supported() -> Self {
        Self::custom(505, "only HTTP/1.x is supported")
    }

    /// Any final answer with a plain-text body. A status that is none (outside 200..=599, or 204, 205 and
    /// 304, which have no body) becomes 500. The statuses 401, 405 and 407 oblige to a header, which
    /// [`append_header`](Self::append_header) adds.
    #[must_use]
    pub fn custom(status: u16, body: impl Into<Cow<'static, str>>) -> Self {
        let status =
            if matches!(status, 200..=599) && !matches!(status, 204 | 205 | 304) { status } else { 500 };
        Self { status, body: body.into(), headers: Vec::new() }
    }

    /// This answer with one more header, `WWW-Authenticate` or `Location` for instance.
    ///
    /// # Errors
    /// The name is not a token, the value would break its line, or the header is one that
    /// [`response`](Self::response) writes itself.
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

    /// The reason: the body of the answer, one short sentence.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The value of the first header with that name that was added, here or by [`append_header`](Self::append_header), in any
    /// case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The bytes to send. Close the connection once they are out.
    #[must_use]
    pub fn response(&self) -> Vec<u8> {
        self.to_http().write(false)
    }

    /// The bytes to send to a client that has sent `received` so far, be that a request or not: without the body if
    /// the request is a `HEAD`. Close the connection once they are out.
    ///
    /// ```
    /// use clws_handshake::Reject;
    ///
    /// let answer = Reject::not_found().response_to(b"HEAD / HTTP/1.1\r\nHost: a.exam");
    /// assert!(answer.ends_with(b"Content-Length: 29\r\n\r\n"));
    /// ```
    #[must_use]
    pub fn response_to(&self, received: &[u8]) -> Vec<u8> {
        // RFC 9110 §9.3.2: "the server MUST NOT send content in the response". A client that asked by HEAD ends the
        // answer at its empty line, whatever was wrong with the request.
        let is_head = skip_empty_lines(received).starts_with(b"HEAD ");
        self.to_http().write(is_head)
    }

    /// The refusal as an HTTP answer, for a hook that answers plain requests in the same words.
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

/// A header that cannot be sent is the application's fault: 500.
impl From<HeaderError> for Reject {
    fn from(_: HeaderError) -> Self {
        Self::custom(500, "the resource failed")
    }
}

/// The refusal as an answer, for a hook that wants to say no in the same words.
impl From<Reject> for HttpResponse {
    fn from(reject: Reject) -> Self {
        reject.to_http()
    }
}
