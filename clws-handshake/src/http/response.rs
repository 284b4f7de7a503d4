//! Responses to plain HTTP requests.

use std::borrow::Cow;

use crate::http::write::{HeaderError, check_header, push_line};
use crate::{token, version_rules};

/// A complete response to a plain HTTP request: a page, a file or a status.
///
/// [`to_bytes`](Self::to_bytes) writes `Content-Length`, and `Connection: close` unless
/// [`keep_alive`](Self::keep_alive) was called.
///
/// ```
/// use clws_handshake::{HandshakeLimits, HttpRequest, HttpResponse};
///
/// let head = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// let request = HttpRequest::parse(head, &HandshakeLimits::default())?;
/// let response = match (request.method(), request.path()) {
///     ("GET" | "HEAD", "/") => HttpResponse::html("<!doctype html><title>Hello</title>"),
///     _ => HttpResponse::not_found(),
/// };
/// let bytes = response.append_header("Cache-Control", "no-store")?.to_bytes(&request);
/// assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html"));
/// # Ok::<(), clws_handshake::Reject>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    status: u16,
    content_type: Cow<'static, str>,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
    keeps_alive: bool,
}

const NOTHING: &[u8] = &[];

/// The content that a status allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Content with a `Content-Length`.
    Any,
    /// No content, and a length of 0. RFC 9110 §15.3.6: "a server MUST NOT generate content in a
    /// 205 response". In HTTP/1.1 a 205 does not end at its empty line by itself.
    Empty,
    /// No content and no length. RFC 9110 §8.6: "A server MUST NOT send a Content-Length header
    /// field in any response with a status code of 1xx (Informational) or 204 (No Content)." 304
    /// has no content either (§15.4.5).
    NoLength,
}

impl HttpResponse {
    /// A response with this status and no body. A status outside 200..=599 is not final and becomes
    /// 500.
    ///
    /// Some statuses require a header: 401 `WWW-Authenticate`
    /// ([`Reject::unauthorized`](crate::Reject::unauthorized)), 405 `Allow`
    /// ([`method_not_allowed`](Self::method_not_allowed)), 407 `Proxy-Authenticate`. The headers of
    /// 426 are added automatically.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        let status = if matches!(status, 200..=599) { status } else { 500 };
        let (content_type, body) = (Cow::Borrowed(""), Cow::Borrowed(NOTHING));
        Self { status, content_type, headers: Vec::new(), body, keeps_alive: false }
    }

    /// Sets the body and its type, for example `image/png`. An invalid type becomes
    /// `application/octet-stream`. The statuses 204, 205 and 304 omit the body.
    #[must_use]
    pub fn body(
        mut self,
        content_type: impl Into<Cow<'static, str>>,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        let content_type = content_type.into();
        let fits = token::is_field_value(&content_type);
        self.content_type = if fits { content_type } else { "application/octet-stream".into() };
        self.body = body.into();
        self
    }

    /// Adds a header, for example `Location` or `Content-Security-Policy`.
    ///
    /// # Errors
    /// The name is not a token, the value is invalid, or the response writes this header itself.
    pub fn append_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Result<Self, HeaderError> {
        let (name, value) = (name.into(), value.into());
        check_header(&name, &value)?;
        self.headers.push((name, value));
        Ok(self)
    }

    /// A plain-text response.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status).body("text/plain; charset=utf-8", bytes_of(body.into()))
    }

    /// An HTML page with status 200.
    #[must_use]
    pub fn html(body: impl Into<Cow<'static, str>>) -> Self {
        Self::new(200).body("text/html; charset=utf-8", bytes_of(body.into()))
    }

    /// 405 in plain text. `methods`, for example `GET, HEAD`, become the `Allow` header. If they
    /// are not a valid header value, `Allow` is empty.
    #[must_use]
    pub fn method_not_allowed(methods: impl Into<Cow<'static, str>>) -> Self {
        // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405
        // response". An empty one is valid (§10.2.1).
        let methods = methods.into();
        let fits = token::is_field_value(&methods);
        Self::text(405, "this method is not allowed here")
            .and("Allow", if fits { methods } else { "".into() })
    }

    /// 404 in plain text.
    #[must_use]
    pub fn not_found() -> Self {
        Self::text(404, "there is nothing at this path")
    }

    /// Writes `Connection: keep-alive` instead of `Connection: close`: the caller reads another
    /// request after this response. Call it only if [`HttpRequest::keeps_alive`] is true.
    ///
    /// [`HttpRequest::keeps_alive`]: crate::HttpRequest::keeps_alive
    #[must_use]
    pub const fn keep_alive(mut self) -> Self {
        self.keeps_alive = true;
        self
    }

    /// The HTTP status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The value of the first header with this name that [`append_header`](Self::append_header)
    /// added, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The header lines for an HTTP implementation that writes the response itself: all lines of
    /// [`to_bytes`](Self::to_bytes) except `Connection` and `Content-Length`.
    ///
    /// ```
    /// let response = clws_handshake::Reject::method_not_allowed().to_http();
    /// let headers = [("Content-Type", "text/plain; charset=utf-8"), ("Allow", "GET")];
    /// assert!(response.headers().eq(headers.map(|(name, value)| (name, value.into()))));
    /// assert_eq!(response.content(), b"a WebSocket handshake must use GET");
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let content_type = (self.allowed() == Content::Any && !self.content_type.is_empty())
            .then(|| ("Content-Type", Cow::Borrowed(&*self.content_type)));
        let own = self.headers.iter().map(|(name, value)| (&**name, Cow::Borrowed(&**value)));
        content_type.into_iter().chain(self.versions()).chain(own)
    }

    /// The body, as the response to a `GET` has it.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        if self.has_content(false) { &self.body } else { NOTHING }
    }

    /// The headers that a 426 response must have.
    fn versions(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        // RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426 response to
        // indicate the required protocol(s)" RFC 6455 §4.2.2: "... send an appropriate HTTP
        // error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field
        // indicating the version(s) the server is capable of understanding."
        let headers = (self.status == 426).then(|| {
            [("Upgrade", "websocket".into()), ("Sec-WebSocket-Version", version_rules::supported().into())]
        });
        headers.into_iter().flatten()
    }

    /// The bytes of the response. A response to `HEAD` has no body.
    pub(super) fn write(&self, is_head: bool) -> Vec<u8> {
        let mut out = self.head();
        if self.has_content(is_head) {
            out.extend_from_slice(&self.body);
        }
        out
    }

    /// The head and the body of the response. A response to `HEAD` has an empty body.
    pub(super) fn split(self, is_head: bool) -> (Vec<u8>, Cow<'static, [u8]>) {
        let head = self.head();
        let has_content = self.has_content(is_head);
        (head, if has_content { self.body } else { Cow::Borrowed(NOTHING) })
    }

    fn has_content(&self, is_head: bool) -> bool {
        // RFC 9110 §9.3.2: "The HEAD method is identical to GET except that the server MUST NOT
        // send content in the response."
        !is_head && self.allowed() == Content::Any
    }

    /// The content that the status allows.
    const fn allowed(&self) -> Content {
        match self.status {
            204 | 304 => Content::NoLength,
            205 => Content::Empty,
            _ => Content::Any,
        }
    }

    /// The head with its final empty line.
    fn head(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(self.status.to_string().as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        // RFC 9110 §7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option in the
        // Connection header"
        let upgrade = if self.status == 426 { "Upgrade, " } else { "" };
        let option = if self.keeps_alive { "keep-alive" } else { "close" };
        push_line(&mut out, "Connection", &[upgrade, option]);
        // RFC 9110 §5.3: "it is good practice to send header fields that contain additional control
        // data first, such as Host on requests and Date on responses".
        let is_date = |name: &str| name.eq_ignore_ascii_case("Date");
        for (name, value) in self.headers.iter().filter(|(name, _)| is_date(name)) {
            push_line(&mut out, name, &[value]);
        }
        match self.allowed() {
            Content::Any => {
                if !self.content_type.is_empty() {
                    push_line(&mut out, "Content-Type", &[&self.content_type]);
                }
                push_line(&mut out, "Content-Length", &[&self.body.len().to_string()]);
            }
            Content::Empty => push_line(&mut out, "Content-Length", &["0"]),
            Content::NoLength => {}
        }
        for (name, value) in self.versions() {
            push_line(&mut out, name, &[&value]);
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| !is_date(name)) {
            push_line(&mut out, name, &[value]);
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// The 304 response in place of this one.
    pub(super) fn into_not_modified(self) -> Self {
        // RFC 9110 §15.4.5: a 304 has the header fields of the 200 "Content-Location, Date, ETag,
        // and Vary" and "Cache-Control and Expires". Others describe content that the client has;
        // headers such as `Content-Security-Policy` update its copy.
        let describes = |name: &str| {
            name.get(.."Content-".len()).is_some_and(|start| start.eq_ignore_ascii_case("Content-"))
                && !["Content-Location", "Content-Security-Policy"]
                    .iter()
                    .any(|kept| name.eq_ignore_ascii_case(kept))
        };
        let headers = self.headers.into_iter().filter(|(name, _)| !describes(name)).collect();
        Self { status: 304, headers, content_type: "".into(), body: NOTHING.into(), ..self }
    }

    /// Adds a header without checking it.
    pub(crate) fn and(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

fn bytes_of(text: Cow<'static, str>) -> Cow<'static, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The reason phrase of a status. RFC 9112 §4 allows an empty one.
pub(crate) const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        511 => "Network Authentication Required",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::HttpRequest;
    use crate::limits::HandshakeLimits;

    fn bytes(response: &HttpResponse, method: &str) -> String {
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let request = HttpRequest::parse(head.as_bytes(), &HandshakeLimits::default()).unwrap();
        let whole = response.to_bytes(&request);
        let (head, body) = response.clone().into_parts(&request);
        assert_eq!([&head[..], &*body].concat(), whole);
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn sends_a_body_with_its_type_and_length() {
        let response = HttpResponse::new(200).body("image/svg+xml", &b"<svg/>"[..]);
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: image/svg+xml\r\nContent-Length: 6\r\n\r\n";
        assert_eq!(bytes(&response, "GET"), format!("{head}<svg/>"));
        assert_eq!(bytes(&response, "HEAD"), head);
    }

    #[test]
    fn omits_the_body_when_the_status_has_none() {
        let gone = HttpResponse::new(410);
        assert_eq!(
            bytes(&gone, "GET"),
            "HTTP/1.1 410 Gone\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        for status in [204, 304] {
            let text = bytes(&HttpResponse::text(status, "unseen"), "GET");
            assert!(text.ends_with("\r\nConnection: close\r\n\r\n"), "{text}");
        }
        assert_eq!(HttpResponse::new(101).status(), 500);
        assert_eq!(HttpResponse::new(600).status(), 500);
    }

    #[test]
    fn rejects_headers_that_would_break_the_response() {
        let response = HttpResponse::new(302).append_header("Location", "/chat").unwrap();
        assert!(bytes(&response, "GET").contains("\r\nLocation: /chat\r\n"));
        for (name, value) in
            [("X\r\n", "a"), ("X", "a\r\nb"), ("Content-Length", "1"), ("Connection", "keep-alive")]
        {
            assert!(HttpResponse::new(200).append_header(name, value).is_err(), "{name}");
        }
        let odd = HttpResponse::new(200).body("text/html\r\nX: y", Vec::new());
        assert!(bytes(&odd, "GET").contains("\r\nContent-Type: application/octet-stream\r\n"));
    }
}
