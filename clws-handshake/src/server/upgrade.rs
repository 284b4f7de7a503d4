//! Reads an HTTP request as an opening handshake.

use clws_proto::Version;

use crate::http::framing;
use crate::http::headers::{Headers, Single};
use crate::http::reject::Reject;
use crate::http::request::HttpRequest;
use crate::http::scan::HeadScanner;
use crate::limits::{HandshakeLimits, Status};
use crate::server::fields::{check_extensions, check_subprotocols, origin, required};
use crate::server::hixie::{may_be_hixie_75, upgrade_hixie_75, upgrade_hixie_76};
use crate::server::request::{ChallengeResponse, Request};
use crate::version_rules;

/// Reads an opening handshake from everything received so far.
///
/// Combines [`HeadScanner`], [`HttpRequest::parse`] and [`HttpRequest::upgrade`]. Each call starts
/// at the first byte. For a head that arrives in pieces, use a [`HeadScanner`]: its cost is linear.
///
/// ```
/// use clws_handshake::{parse, HandshakeLimits, Status, Version};
///
/// let bytes = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Version: 13\r\n\r\n";
/// let Status::Complete(request) = parse(bytes, &HandshakeLimits::default())? else {
///     panic!("incomplete")
/// };
/// assert_eq!((request.version(), request.path()), (Version::Rfc6455, "/chat"));
/// # Ok::<(), clws_handshake::Reject>(())
/// ```
///
/// # Errors
/// A [`Reject`] to send if the bytes are not a valid handshake.
pub fn parse<'a>(received: &'a [u8], limits: &HandshakeLimits) -> Result<Status<Request<'a>>, Reject> {
    match HeadScanner::new().scan(received, limits)? {
        Status::Partial => Ok(Status::Partial),
        Status::Complete(head_len) => {
            let (head, body) = received.split_at_checked(head_len).unwrap_or((received, &[]));
            HttpRequest::parse(head, limits)?.upgrade(body, limits)
        }
    }
}

impl<'a> HttpRequest<'a> {
    /// Reads the request as an opening handshake.
    ///
    /// `body` holds the bytes received after the head. Draft 0 has a body of 8 bytes, and the
    /// result is `Partial` until all of them are in `body`. For every other version the bytes after
    /// the head are frames, which this method ignores.
    ///
    /// # Errors
    /// - 405: the method is not GET.
    /// - 426: the request does not ask for WebSocket, or its version is unsupported. Draft 0 is
    ///   unsupported without [`HandshakeLimits::hixie`].
    /// - 400: the handshake uses HTTP/1.0, violates the rules of its version, or is hixie-75
    ///   without [`HandshakeLimits::hixie_75`].
    pub fn upgrade(self, body: &'a [u8], limits: &HandshakeLimits) -> Result<Status<Request<'a>>, Reject> {
        let headers = self.headers();
        let has_upgrade = headers.list_has("Upgrade", "websocket");
        // RFC 6455 §4.2.1: "An HTTP/1.1 or higher GET request". A HEAD without Upgrade gets the
        // response that a GET would get.
        if self.method() != "GET" && (has_upgrade || self.method() != "HEAD") {
            return Err(Reject::method_not_allowed());
        }
        if !has_upgrade {
            return Err(Reject::upgrade_required());
        }
        // RFC 9110 §7.8 requires a server to ignore Upgrade in HTTP/1.0. Most such requests come
        // from a proxy that defaults to HTTP/1.0, and this error helps more than the page at that
        // path.
        if self.minor_version() == 0 {
            return Err(Reject::bad_request(
                "a WebSocket handshake requires HTTP/1.1 or higher, but this request uses HTTP/1.0",
            ));
        }
        // RFC 6455 §4.2.1: "A |Connection| header field that includes the token "Upgrade", treated
        // as an ASCII case-insensitive value."
        if !headers.list_has("Connection", "upgrade") {
            return Err(Reject::bad_request("the Connection header does not list Upgrade"));
        }
        let version = version(headers, limits)?;
        if version == Version::Hybi00 && !limits.hixie {
            return Err(Reject::unsupported_version());
        }
        let origin = origin(headers, version)?;
        if version == Version::Hybi00 {
            return upgrade_hixie_76(self, body, origin);
        }
        framing::require_no_body(headers)?;
        if version == Version::Hixie75 {
            return upgrade_hixie_75(self, origin).map(Status::Complete);
        }
        let key = required(headers, "Sec-WebSocket-Key")?;
        if !version_rules::is_key(version, key) {
            return Err(Reject::bad_request("the Sec-WebSocket-Key is not base64 of 16 bytes"));
        }
        check_subprotocols(headers)?;
        check_extensions(headers)?;
        Ok(Status::Complete(Request {
            http: self,
            version,
            challenge_response: ChallengeResponse::AcceptKey(key),
            origin,
            consumed: self.head_len(),
        }))
    }
}

impl<'a> HttpRequest<'a> {
    /// Reads the request as an opening handshake of WebSocket over HTTP/2 or HTTP/3 (RFC 8441,
    /// RFC 9220).
    ///
    /// Such a request is an extended CONNECT. The caller has checked that its method is CONNECT and
    /// its `:protocol` is `websocket`, and has written its other parts as a `GET` of HTTP/1.1: see
    /// [`HeadWriter`](crate::HeadWriter). The response is 200 without `Sec-WebSocket-Accept`.
    ///
    /// # Errors
    /// - 426: the version is not supported.
    /// - 400: the handshake violates the rules of RFC 6455, or has a version before 13. Drafts do
    ///   not exist over HTTP/2.
    pub fn extended_connect(self) -> Result<Request<'a>, Reject> {
        let headers = self.headers();
        // RFC 8441 §5: "The Origin, Sec-WebSocket-Version, Sec-WebSocket-Protocol, and
        // Sec-WebSocket-Extensions header fields are used in the CONNECT request and response header
        // fields as they are defined in [RFC6455]."
        let version = version(headers, &HandshakeLimits::default())?;
        if version != Version::Rfc6455 {
            return Err(Reject::bad_request("WebSocket over HTTP/2 requires version 13"));
        }
        let origin = origin(headers, version)?;
        framing::require_no_body(headers)?;
        check_subprotocols(headers)?;
        check_extensions(headers)?;
        Ok(Request {
            http: self,
            version,
            challenge_response: ChallengeResponse::ExtendedConnect,
            origin,
            consumed: self.head_len(),
        })
    }
}

/// The version that the client asks for.
///
/// Draft 0 has no version header and is recognised by its two keys. hixie-75 has neither.
fn version(headers: Headers<'_>, limits: &HandshakeLimits) -> Result<Version, Reject> {
    match headers.single("Sec-WebSocket-Version") {
        // RFC 6455 §4.2.2: "If this version does not match a version understood by the server, the
        // server MUST abort the WebSocket handshake described in this section and instead send an
        // appropriate HTTP error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version|
        // header field"
        Single::One(number) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            version_rules::by_number(number).ok_or_else(Reject::unsupported_version)
        }
        Single::One(_) | Single::NotText => {
            Err(Reject::bad_request("the Sec-WebSocket-Version is not a number"))
        }
        // RFC 6455 §11.3.5: "The |Sec-WebSocket-Version| header field MUST NOT appear more than
        // once in an HTTP request."
        Single::Repeated => Err(Reject::bad_request("the Sec-WebSocket-Version header appears twice")),
        Single::Missing
            if headers.get_bytes("Sec-WebSocket-Key1").is_some()
                || headers.get_bytes("Sec-WebSocket-Key2").is_some() =>
        {
            Ok(Version::Hybi00)
        }
        Single::Missing if limits.hixie_75 && may_be_hixie_75(headers) => Ok(Version::Hixie75),
        // RFC 6455 §4.2.1: to a handshake that does not match its description, "including but not
        // limited to any violations of the ABNF grammar", the server must "return an HTTP response
        // with an appropriate error code (such as 400 Bad Request)".
        Single::Missing => Err(Reject::bad_request("the Sec-WebSocket-Version header is missing")),
    }
}
