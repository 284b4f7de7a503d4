//! Accepts an opening handshake: the application's answer and the response.

use clws_proto::Version;
#[cfg(feature = "deflate")]
use clws_proto::{DeflateConfig, DeflateParams};
use thiserror::Error;

#[cfg(feature = "deflate")]
use crate::deflate;
use crate::http::expect::CONTINUE;
use crate::http::headers::Headers;
use crate::http::write::{HeaderError, check_header, push_line};
use crate::server::request::{ChallengeResponse, Request};
use crate::url::Url;
use crate::version_rules::{self, HIXIE_75, HIXIE_76, HixieResponse};
use crate::{challenge::accept_key, token};

/// An application's answer that accepts a handshake: the chosen subprotocol and additional headers.
///
/// ```
/// use clws_handshake::Acceptance;
///
/// let acceptance = Acceptance::new().subprotocol("chat").header("Set-Cookie", "id=1");
/// # let _ = acceptance;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Acceptance<'a> {
    subprotocol: Option<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
    secure: bool,
    origin: Option<&'a str>,
    location: Option<&'a str>,
    #[cfg(feature = "deflate")]
    deflate: Option<DeflateConfig>,
}

impl<'a> Acceptance<'a> {
    /// An answer without a subprotocol and additional headers, for `ws://`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            subprotocol: None,
            headers: Vec::new(),
            secure: false,
            origin: None,
            location: None,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    /// Chooses one of the offered subprotocols.
    ///
    /// [`Request::accept`] fails if the client did not offer it, because such a client would fail
    /// the connection. Clients of draft 0 and hixie-75 also fail it if their subprotocol is not
    /// chosen.
    #[must_use]
    pub const fn subprotocol(mut self, name: &'a str) -> Self {
        self.subprotocol = Some(name);
        self
    }

    /// Adds a header line.
    ///
    /// The name must be a token, and the value must not contain control characters. Headers of the
    /// handshake itself are invalid: `Upgrade`, `Connection`, `Sec-WebSocket-*`, the
    /// `WebSocket-Origin`, `-Location` and `-Protocol` of hixie-75, and headers that frame a body.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets whether the client uses TLS. Draft 0 and hixie-75 then get a `wss://` location.
    /// Default: false.
    #[must_use]
    pub const fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Draft 0 and hixie-75: sets the origin of the response. Default: the origin of the client.
    #[must_use]
    pub const fn origin(mut self, origin: &'a str) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Draft 0 and hixie-75: sets the location of the response, for a server that runs after a
    /// proxy that changes `Host` or the path. Default: the requested URL.
    #[must_use]
    pub const fn location(mut self, url: &'a str) -> Self {
        self.location = Some(url);
        self
    }

    /// Accepts permessage-deflate if the client offers it with acceptable parameters.
    /// [`Accepted::deflate`] has the agreed parameters. Default: no extension. Versions other than
    /// 13 ignore this call.
    ///
    /// The first acceptable offer wins. An offer that requires a server window of 256 bytes is not
    /// acceptable, because zlib cannot compress with it.
    ///
    /// ```
    /// use clws_handshake::{HandshakeLimits, DeflateConfig, Acceptance, Status, parse};
    ///
    /// let bytes = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    ///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    ///     Sec-WebSocket-Version: 13\r\n\
    ///     Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    /// let Status::Complete(request) = parse(bytes, &HandshakeLimits::default())? else {
    ///     panic!("incomplete")
    /// };
    /// let config = DeflateConfig::default().context_takeover(true).max_window_bits(12);
    /// let accepted = request.accept(&Acceptance::new().deflate(&config))?;
    /// let response = String::from_utf8_lossy(&accepted.response);
    /// assert!(response.contains("Extensions: permessage-deflate; client_max_window_bits=12\r\n"));
    /// assert_eq!(accepted.deflate.map(|params| params.client_max_window_bits), Some(12));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn deflate(mut self, config: &DeflateConfig) -> Self {
        self.deflate = Some(*config);
        self
    }
}

impl Acceptance<'_> {
    /// Checks origin and location. A client of draft 0 or hixie-75 requires its own origin and URL
    /// in the response (hixie-76 §4.1).
    fn check_hixie(&self) -> Result<(), AcceptError> {
        if self.origin.is_some_and(str::is_empty) {
            return Err(AcceptError::EmptyOrigin);
        }
        match self.location {
            Some(url) if token::is_field_value(url) && Url::parse(url).is_none() => {
                Err(AcceptError::InvalidLocation(url.into()))
            }
            _ => Ok(()),
        }
    }
}

/// An accepted handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the response is to be sent"]
#[non_exhaustive]
pub struct Accepted {
    /// The bytes to send, including the 16 bytes of digest of draft 0. If the client expects it,
    /// they begin with [`CONTINUE`]. Skip it if you already sent it.
    ///
    /// For an [extended CONNECT](crate::HttpRequest::extended_connect), another HTTP implementation
    /// sends [`status`](Self::status) and [`headers`](Self::headers).
    pub response: Vec<u8>,
    /// The status of the response: 101, or 200 for an extended CONNECT.
    pub status: u16,
    /// The protocol version of the connection.
    pub version: Version,
    /// The chosen subprotocol.
    pub subprotocol: Option<Box<str>>,
    /// The agreed parameters of permessage-deflate, if both sides support it.
    #[cfg(feature = "deflate")]
    pub deflate: Option<DeflateParams>,
    /// The number of received bytes in the handshake. Early frames of the client follow.
    pub consumed: usize,
}

/// The application's answer is invalid. Respond with 500, because this is not an error of the
/// client.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The client did not offer this subprotocol, so the server must not choose it
    /// (RFC 6455 §4.2.2).
    #[error("the client did not offer the subprotocol {0:?}")]
    NotOffered(Box<str>),
    /// Draft 0 and hixie-75: the origin of the response is empty.
    #[error("the origin of the response is empty")]
    EmptyOrigin,
    /// Draft 0 and hixie-75: the location of the response is not a `ws://` or `wss://` URL.
    #[error("the location {0:?} is not a ws:// or wss:// URL")]
    InvalidLocation(Box<str>),
    /// A header is invalid.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl Accepted {
    /// The header lines of the response, for an HTTP implementation that writes it itself.
    ///
    /// ```
    /// use clws_handshake::{Acceptance, HandshakeLimits, Status, parse};
    ///
    /// let bytes = b"GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
    ///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    ///     Sec-WebSocket-Version: 13\r\n\r\n";
    /// let Status::Complete(request) = parse(bytes, &HandshakeLimits::default())? else {
    ///     panic!("incomplete")
    /// };
    /// let accepted = request.accept(&Acceptance::new())?;
    /// assert_eq!(accepted.status, 101);
    /// let accept = accepted.headers().get("Sec-WebSocket-Accept");
    /// assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        let head = self.response.strip_prefix(CONTINUE).unwrap_or(&self.response);
        let begin = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
        let end = memchr::memmem::find(head, b"\r\n\r\n").unwrap_or(head.len());
        Headers::new(head.get(begin..end).unwrap_or_default())
    }
}

impl Request<'_> {
    /// Writes the response that opens the connection.
    ///
    /// # Errors
    /// The subprotocol was not offered, or a header is invalid. In draft 0 and hixie-75, also if
    /// origin or location is invalid.
    pub fn accept(self, acceptance: &Acceptance<'_>) -> Result<Accepted, AcceptError> {
        // RFC 6455 §4.2.2: "The value chosen MUST be derived from the client's handshake,
        // specifically by selecting one of the values from the |Sec-WebSocket-Protocol| field that
        // the server is willing to use for this connection (if any)."
        if let Some(name) = acceptance.subprotocol
            && !self.subprotocols().any(|offered| offered == name)
        {
            return Err(AcceptError::NotOffered(name.into()));
        }
        for (name, value) in &acceptance.headers {
            check_header(name, value)?;
        }
        if self.version.is_hixie() {
            acceptance.check_hixie()?;
        }
        let mut response = Vec::with_capacity(256);
        let is_connect = matches!(self.challenge_response, ChallengeResponse::ExtendedConnect);
        if self.http.expects_continue() && !is_connect {
            // RFC 9110 §7.8: "If a server receives both an Upgrade and an Expect header field with
            // the "100-continue" expectation (Section 10.1.1), the server MUST send a 100
            // (Continue) response before sending a 101 (Switching Protocols) response."
            response.extend_from_slice(CONTINUE);
        }
        match self.challenge_response {
            ChallengeResponse::AcceptKey(key) => {
                response.extend_from_slice(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
                );
                push_line(&mut response, "Sec-WebSocket-Accept", &[&accept_key::accept_key(key)]);
            }
            ChallengeResponse::Digest(_) => self.hixie_head(HIXIE_76, acceptance, &mut response)?,
            ChallengeResponse::None => self.hixie_head(HIXIE_75, acceptance, &mut response)?,
            // RFC 8441 §5: "If the server supports the protocol, ... it responds with a 200".
            ChallengeResponse::ExtendedConnect => response.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        }
        if let Some(name) = acceptance.subprotocol {
            push_line(&mut response, version_rules::subprotocol_header(self.version), &[name]);
        }
        #[cfg(feature = "deflate")]
        let deflate = match &acceptance.deflate {
            Some(config) if self.version.has_extensions() => deflate::accept(self.extensions(), config),
            _ => None,
        };
        #[cfg(feature = "deflate")]
        if let Some((_, value)) = &deflate {
            push_line(&mut response, "Sec-WebSocket-Extensions", &[value]);
        }
        for (name, value) in &acceptance.headers {
            push_line(&mut response, name, &[value]);
        }
        response.extend_from_slice(b"\r\n");
        if let ChallengeResponse::Digest(digest) = self.challenge_response {
            response.extend_from_slice(&digest);
        }
        Ok(Accepted {
            response,
            status: if is_connect { 200 } else { 101 },
            version: self.version,
            subprotocol: acceptance.subprotocol.map(Box::from),
            #[cfg(feature = "deflate")]
            deflate: deflate.map(|(params, _)| params),
            consumed: self.consumed(),
        })
    }

    fn hixie_head(
        &self,
        HixieResponse { start, origin, location }: HixieResponse,
        acceptance: &Acceptance<'_>,
        response: &mut Vec<u8>,
    ) -> Result<(), HeaderError> {
        for (name, value) in [(origin, acceptance.origin), (location, acceptance.location)] {
            if !value.is_none_or(token::is_field_value) {
                return Err(HeaderError::Value(name.into()));
            }
        }
        response.extend_from_slice(start.as_bytes());
        push_line(response, origin, &[acceptance.origin.or(self.origin).unwrap_or_default()]);
        let scheme = if acceptance.secure { "wss://" } else { "ws://" };
        let requested = match self.http.path_and_query() {
            "" => [scheme, self.host(), "/"],
            path => [scheme, self.host(), path],
        };
        match acceptance.location {
            Some(url) => push_line(response, location, &[url]),
            None => push_line(response, location, &requested),
        }
        Ok(())
    }
}
