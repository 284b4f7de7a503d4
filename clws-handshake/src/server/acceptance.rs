use clws_proto::Version;
#[cfg(feature = "deflate")]
use clws_proto::{DeflateConfig, DeflateParams};
use thiserror::Error;

#[cfg(feature = "deflate")]
use crate::deflate;
use crate::http::expect::CONTINUE;
use crate::http::write::{HeaderError, check_header, push_line};
use crate::server::request::{ChallengeResponse, Request};
use crate::url::Url;
use crate::version_rules::{self, HIXIE_75, HIXIE_76, HixieResponse};
use crate::{challenge::accept_key, token};

/// What an application answers to a handshake that it takes: the subprotocol it chose and headers of its own.
///
/// ```
/// use clws_handshake::Acceptance;
///
/// let offer = Acceptance::new().subprotocol("chat").header("Set-Cookie", "id=1");
/// # let _ = offer;
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
    /// The plain answer: no subprotocol, no headers, over `ws://`.
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

    /// Chooses one of the subprotocols that the client offered. Clients of draft 0 and hixie-75 give up when
    /// theirs is not taken, and every client gives up on one that it did not ask for, which [`Request::accept`] therefore
    /// refuses to send.
    #[must_use]
    pub const fn subprotocol(mut self, name: &'a str) -> Self {
        self.subprotocol = Some(name);
        self
    }

    /// Adds a header line. Its name must be a token, its value must not break the line, and it must not be
    /// one that the handshake itself writes: `Upgrade`, `Connection`, `Sec-WebSocket-*`, hixie-75's
    /// `WebSocket-Origin`, `-Location` and `-Protocol`, and what says where a body ends.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says that the client came through TLS, which draft 0 and hixie-75 are told as a `wss://` location. Default: it did
    /// not.
    #[must_use]
    pub const fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Draft 0 and hixie-75: the origin to answer, in place of the one that the client sent.
    #[must_use]
    pub const fn origin(mut self, origin: &'a str) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Draft 0 and hixie-75: the location to answer, in place of the URL that was asked for; for a server behind a proxy
    /// that changes `Host` or path.
    #[must_use]
    pub const fn location(mut self, url: &'a str) -> Self {
        self.location = Some(url);
        self
    }

    /// Takes up permessage-deflate if the client offers it in a way that this configuration can agree to; what
    /// was agreed on is in [`Accepted::deflate`]. Default: no extension. Only version 13 has it.
    ///
    /// Of several offers the first one counts that can be taken. A client that demands a window of 256 octets
    /// from the server cannot have it, as no zlib compresses so; what it demands apart from that it gets.
    ///
    /// ```
    /// use clws_handshake::{HandshakeLimits, DeflateConfig, Acceptance, Status, parse};
    ///
    /// let bytes = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    ///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    ///     Sec-WebSocket-Version: 13\r\n\
    ///     Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    /// let Status::Complete(request) = parse(bytes, &HandshakeLimits::default())? else { panic!("it is all there") };
    /// let config = DeflateConfig::default().with_context_takeover(true).with_max_window_bits(12);
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
    /// Whether a client of draft 0 or hixie-75 could find its own origin and URL in the answer, which it requires
    /// (hixie-76 §4.1).
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
    /// The bytes to send, draft 0's 16 bytes of digest included. They begin with [`CONTINUE`] if the client expects
    /// that; whoever has sent it already leaves it out.
    pub response: Vec<u8>,
    /// The version that the connection speaks from now on.
    pub version: Version,
    /// The subprotocol that it speaks.
    pub subprotocol: Option<Box<str>>,
    /// What it agreed on for permessage-deflate, if both sides want that.
    #[cfg(feature = "deflate")]
    pub deflate: Option<DeflateParams>,
    /// How many of the received bytes were the handshake. What follows are frames that the client sent early.
    pub consumed: usize,
}

/// The application's answer cannot be sent. This is the caller's fault, never the client's: 500 is the answer
/// to give.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The client did not offer this subprotocol, so it must not be chosen (RFC 6455 §4.2.2).
    #[error("the client did not offer the subprotocol {0:?}")]
    NotOffered(Box<str>),
    /// Draft 0 and hixie-75: the origin to answer is empty.
    #[error("the origin to answer is empty")]
    EmptyOrigin,
    /// Draft 0 and hixie-75: the location to answer is not a URL that a client can have asked for.
    #[error("the location {0:?} is not a ws:// or wss:// URL")]
    InvalidLocation(Box<str>),
    /// A header that cannot be sent.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl Request<'_> {
    /// Writes the answer that opens the connection.
    ///
    /// # Errors
    /// The subprotocol was not offered, a header cannot be sent, or, in draft 0 and hixie-75, no client can have asked for
    /// the location. Nothing of such an answer is made.
    pub fn accept(self, acceptance: &Acceptance<'_>) -> Result<Accepted, AcceptError> {
        // RFC 6455 §4.2.2: "The value chosen MUST be derived from the client's handshake, specifically by
        // selecting one of the values from the |Sec-WebSocket-Protocol| field that the server is willing to
        // use for this connection (if any)."
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
        if self.http.expects_continue() {
            // RFC 9110 §7.8: "If a server receives both an Upgrade and an Expect header field with the "100-continue"
            // expectation (Section 10.1.1), the server MUST send a 100 (Continue) response before sending a 101
            // (Switching Protocols) response."
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
        }
        if let Some(name) = acceptance.subprotocol {
            push_line(&mut response, version_rules::subprotocol_header(self.version), &[name]);
        }
        #[cfg(feature = "deflate")]
        let deflate = match &acceptance.deflate {
            Some(config) if self.version == Version::Rfc6455 => deflate::accept(self.extensions(), config),
            _ => None,
        };
        #[cfg(feature = "deflate")]
        if let Some((_, answer)) = &deflate {
            push_line(&mut response, "Sec-WebSocket-Extensions", &[answer]);
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
        let asked = match self.http.path_and_query() {
            "" => [scheme, self.host(), "/"],
            path => [scheme, self.host(), path],
        };
        match acceptance.location {
            Some(url) => push_line(response, location, &[url]),
            None => push_line(response, location, &asked),
        }
        Ok(())
    }
}
