//! Checks the response to a request.

use clws_proto::Version;
#[cfg(feature = "deflate")]
use clws_proto::{DeflateConfig, DeflateParams};

use crate::client::answer::{AnswerError, AnswerHead, Refusal, is_interim};
use crate::client::expected::{ExpectedResponse, check_hixie_75, check_hixie_76, require};
use crate::http::headers::{Headers, Single};
use crate::http::scan::{ScanError, find_end};
use crate::limits::{HandshakeLimits, Status};
use crate::version_rules;
#[cfg(feature = "deflate")]
use crate::{deflate, extensions};

/// A sent request whose response is still incomplete. It checks the response.
#[derive(Clone, Debug)]
pub struct Pending {
    version: Version,
    expected: ExpectedResponse,
    offered: Box<[Box<str>]>,
    #[cfg(feature = "deflate")]
    deflate: Option<DeflateConfig>,
    /// The length of the examined part of the response, from `start` on.
    looked_at: u32,
    /// The start of the response, after interim responses.
    start: usize,
}

/// The server accepted the handshake: the connection is open.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Established<'a> {
    /// The protocol version of the connection: the requested one.
    pub version: Version,
    /// The subprotocol that the server chose.
    pub subprotocol: Option<&'a str>,
    /// The agreed parameters of permessage-deflate, if it was offered and accepted.
    #[cfg(feature = "deflate")]
    pub deflate: Option<DeflateParams>,
    /// The header lines of the response.
    pub headers: Headers<'a>,
    /// The number of received bytes in the handshake, including interim responses. Frames follow.
    pub consumed: usize,
}

impl Pending {
    pub(super) const fn new(version: Version, expected: ExpectedResponse, offered: Box<[Box<str>]>) -> Self {
        Self {
            version,
            expected,
            offered,
            #[cfg(feature = "deflate")]
            deflate: None,
            looked_at: 0,
            start: 0,
        }
    }

    /// Expects a response to this offer of permessage-deflate.
    #[cfg(feature = "deflate")]
    pub(super) const fn deflate(mut self, config: Option<DeflateConfig>) -> Self {
        self.deflate = config;
        self
    }

    /// Checks the response, given everything received so far. `Partial` means that more bytes are
    /// needed. A response that arrives byte by byte takes linear time.
    ///
    /// Skips interim responses (100, 103 and other 1xx). Together they may have up to
    /// [`HandshakeLimits::max_head_bytes`] bytes.
    ///
    /// # Errors
    /// The server refused the handshake, or the response is invalid (RFC 6455 §4.1). Close the
    /// connection.
    pub fn check<'a>(
        &mut self,
        received: &'a [u8],
        limits: &HandshakeLimits,
    ) -> Result<Status<Established<'a>>, AnswerError> {
        let Status::Complete((headers, end)) = self.final_head(received, limits)? else {
            return Ok(Status::Partial);
        };
        let (head, rest) = received.split_at_checked(end).unwrap_or((received, &[]));
        let consumed = match &self.expected {
            ExpectedResponse::AcceptKey(accept) => {
                self.check_hybi(headers, accept)?;
                end
            }
            ExpectedResponse::Digest { digest, origin, location } => {
                check_hixie_76(headers, origin, location)?;
                let Some(received_digest) = rest.first_chunk::<16>() else { return Ok(Status::Partial) };
                // hixie-76 §4.1: "if /reply/ does not exactly equal /expected/, then fail the
                // WebSocket connection"
                if received_digest != digest {
                    return Err(AnswerError::Digest);
                }
                end + received_digest.len()
            }
            ExpectedResponse::Echo { origin, location } => {
                check_hixie_75(head.get(self.start..).unwrap_or_default(), headers, origin, location)?;
                end
            }
        };
        let subprotocol = self.subprotocol(headers)?;
        Ok(Status::Complete(Established {
            version: self.version,
            subprotocol,
            #[cfg(feature = "deflate")]
            deflate: self.agreed_deflate(headers)?,
            headers,
            consumed,
        }))
    }

    /// The refusal that [`check`](Self::check) reported as [`AnswerError::Refused`]. `received`
    /// must begin with the bytes that were checked and may have more.
    ///
    /// ```
    /// use clws_handshake::client::ClientRequest;
    /// use clws_handshake::{HandshakeLimits, Version};
    ///
    /// let mut random = |bytes: &mut [u8]| bytes.fill(7); // use unpredictable bytes
    /// let request = ClientRequest::new(Version::Rfc6455, "ws://server.example/");
    /// let (_, mut pending) = request.build(&mut random)?;
    /// let response = b"HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 5\r\n\r\nmoved";
    /// assert!(pending.check(response, &HandshakeLimits::default()).is_err());
    /// let refusal = pending.refusal(response).unwrap();
    /// assert_eq!((refusal.status, refusal.headers.get("Location")), (302, Some("/new")));
    /// assert_eq!(refusal.body, b"moved");
    /// # Ok::<(), clws_handshake::client::RequestError>(())
    /// ```
    #[must_use]
    pub fn refusal<'a>(&self, received: &'a [u8]) -> Option<Refusal<'a>> {
        let received = received.get(self.start..)?;
        let end = memchr::memmem::find(received, b"\r\n\r\n")? + 4;
        let (head, body) = received.split_at_checked(end)?;
        let AnswerHead { status, headers, .. } = AnswerHead::parse(head, usize::MAX).ok()?;
        (status != 101 && !is_interim(status)).then_some(Refusal { status, headers, body })
    }

    /// Finds the head of the final response. Returns its header lines and its end.
    fn final_head<'a>(
        &mut self,
        received: &'a [u8],
        limits: &HandshakeLimits,
    ) -> Result<Status<(Headers<'a>, usize)>, AnswerError> {
        loop {
            let response = received.get(self.start..).unwrap_or_default();
            if !response.iter().zip(b"HTTP/1.").all(|(a, b)| a == b) {
                return Err(AnswerError::Malformed("the status line"));
            }
            let end = match find_end(response, &mut self.looked_at, limits) {
                Ok(Status::Complete(end)) => end,
                Ok(Status::Partial) => return Ok(Status::Partial),
                Err(ScanError::BareLf) => return Err(AnswerError::Malformed("a line end other than CRLF")),
                Err(ScanError::TooLong) => return Err(AnswerError::TooLarge),
            };
            let AnswerHead { status, reason, headers } =
                AnswerHead::parse(response.get(..end).unwrap_or(response), limits.max_headers)?;
            if status == 101 {
                return Ok(Status::Complete((headers, self.start + end)));
            }
            // RFC 6455 §4.1: "If the status code received from the server is not 101, the client
            // handles the response per HTTP [RFC2616] procedures."
            if !is_interim(status) {
                let reason = String::from_utf8_lossy(reason).into();
                return Err(AnswerError::Refused { status, reason });
            }
            // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses received
            // prior to a final response, even if the client does not expect one."
            if self.start + end > limits.max_head_bytes {
                return Err(AnswerError::TooLarge);
            }
            self.start += end;
            self.looked_at = 0;
        }
    }

    fn check_hybi(&self, headers: Headers<'_>, accept: &str) -> Result<(), AnswerError> {
        // RFC 6455 §4.1: "If the response lacks an |Upgrade| header field or the |Upgrade| header
        // field contains a value that is not an ASCII case-insensitive match for the value
        // "websocket", the client MUST _Fail the WebSocket Connection_."
        require(headers, "Upgrade", |value| value.eq_ignore_ascii_case("websocket"))?;
        // RFC 6455 §4.1: "If the response lacks a |Connection| header field or the |Connection|
        // header field doesn't contain a token that is an ASCII case-insensitive match for the
        // value "Upgrade", the client MUST _Fail the WebSocket Connection_."
        if !headers.list_has("Connection", "upgrade") {
            return Err(AnswerError::Header("Connection"));
        }
        require(headers, "Sec-WebSocket-Accept", |value| value == accept)?;
        // RFC 6455 §4.1: "If the response includes a |Sec-WebSocket-Extensions| header field and
        // this header field indicates the use of an extension that was not present in the client's
        // handshake ..., the client MUST _Fail the WebSocket Connection_."
        #[cfg(feature = "deflate")]
        if self.deflate.is_some() {
            return Ok(()); // checked by `agreed_deflate`
        }
        // RFC 9110 §5.6.1.2: empty list members are ignored, so they use no extension.
        let is_blank = |byte: &u8| matches!(byte, b',' | b' ' | b'\t');
        if !headers.all_bytes("Sec-WebSocket-Extensions").all(|value| value.iter().all(is_blank)) {
            return Err(AnswerError::Extension);
        }
        Ok(())
    }

    /// The agreed parameters of permessage-deflate.
    #[cfg(feature = "deflate")]
    fn agreed_deflate(&self, headers: Headers<'_>) -> Result<Option<DeflateParams>, AnswerError> {
        let Some(config) = &self.deflate else { return Ok(None) };
        let mut members = Vec::new();
        for value in headers.all_bytes("Sec-WebSocket-Extensions") {
            let value = str::from_utf8(value).map_err(|_| AnswerError::Extension)?;
            members.extend(extensions::members(value));
        }
        match members.as_slice() {
            [] => Ok(None),
            [Some(response)] => {
                deflate::check_response(*response, config).ok_or(AnswerError::Extension).map(Some)
            }
            // Several members were not offered, and a malformed member is invalid.
            _ => Err(AnswerError::Extension),
        }
    }

    fn subprotocol<'a>(&self, headers: Headers<'a>) -> Result<Option<&'a str>, AnswerError> {
        // RFC 6455 §4.1: "If the response includes a |Sec-WebSocket-Protocol| header field and this
        // header field indicates the use of a subprotocol that was not present in the client's
        // handshake ..., the client MUST _Fail the WebSocket Connection_."
        match headers.single(version_rules::subprotocol_header(self.version)) {
            // hixie-75 and hixie-76 §4.1: a client that requested a subprotocol fails the
            // connection unless the response names it exactly once.
            Single::Missing if self.version.is_hixie() && !self.offered.is_empty() => {
                Err(AnswerError::Subprotocol)
            }
            Single::Missing => Ok(None),
            Single::One(name) if self.offered.iter().any(|offered| **offered == *name) => Ok(Some(name)),
            _ => Err(AnswerError::Subprotocol),
        }
    }
}
