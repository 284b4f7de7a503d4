//! A valid opening handshake, as the server reads it.

use clws_proto::Version;

use crate::extensions::{self, Extension};
use crate::http::headers::Headers;
use crate::http::request::HttpRequest;
use crate::server::fields;

/// A valid opening handshake of any version, borrowed from the received bytes.
///
/// The application decides whether it has the resource, whether it allows the
/// [`origin`](Self::origin), and which of the [`subprotocols`](Self::subprotocols) it chooses. Then
/// [`accept`](Self::accept) writes the response, or a [`Reject`](crate::Reject) refuses the
/// handshake.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub(super) http: HttpRequest<'a>,
    pub(super) version: Version,
    pub(super) challenge_response: ChallengeResponse<'a>,
    pub(super) origin: Option<&'a str>,
    pub(super) consumed: usize,
}

/// Data in the response that proves that the server read the handshake.
#[derive(Clone, Copy, Debug)]
pub(super) enum ChallengeResponse<'a> {
    /// `Sec-WebSocket-Accept`, computed from this `Sec-WebSocket-Key` when the response is written.
    AcceptKey(&'a str),
    /// The digest of hixie-76.
    Digest([u8; 16]),
    /// hixie-75 has no challenge.
    None,
    /// An extended CONNECT. RFC 8441 §5: the processing of `Sec-WebSocket-Key` and
    /// `Sec-WebSocket-Accept` "has been superseded by the :protocol pseudo-header field".
    ExtendedConnect,
}

impl<'a> Request<'a> {
    /// The protocol version of the connection.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The path. It begins with `/` and keeps its percent-encoding.
    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.http.path()
    }

    /// The part of the target after the `?`, if there is a `?`.
    #[must_use]
    pub const fn query(&self) -> Option<&'a str> {
        self.http.query()
    }

    /// The requested host, with its port if there is one. Never empty.
    #[must_use]
    pub const fn host(&self) -> &'a str {
        self.http.host()
    }

    /// The origin of the page that connects. Clients other than browsers may omit it.
    ///
    /// It is the `Origin` header in hixie-75, draft 0 and version 13. In versions 7 and 8 it is
    /// `Sec-WebSocket-Origin`, or `Origin` if that is absent.
    #[must_use]
    pub const fn origin(&self) -> Option<&'a str> {
        self.origin
    }

    /// The header lines.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        self.http.headers()
    }

    /// The offered subprotocols, in the client's order of preference.
    ///
    /// A client of draft 0 or hixie-75 offers at most one. The whole value of the header is its
    /// name.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        fields::subprotocols(self.headers(), self.version)
    }

    /// The offered extensions, in the client's order of preference. Draft 0 and hixie-75 have none.
    ///
    /// This crate can accept only permessage-deflate. That needs the feature `deflate` and a
    /// configuration in the [`Acceptance`](crate::Acceptance).
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'a>> + use<'a> {
        let headers = if self.version.is_hixie() { Headers::default() } else { self.headers() };
        headers.get_all("Sec-WebSocket-Extensions").flat_map(extensions::members).flatten()
    }

    /// The number of received bytes in the handshake: the head, and the 8 bytes of draft 0. Frames
    /// follow.
    #[must_use]
    pub const fn consumed(&self) -> usize {
        self.consumed
    }

    /// The underlying HTTP request.
    #[must_use]
    pub const fn http(&self) -> &HttpRequest<'a> {
        &self.http
    }
}
