//! What the TLS handshake of a connection has agreed on.

use std::fmt;
use std::sync::OnceLock;

use rustls::pki_types::CertificateDer;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

/// The place where a session stores what its handshake has agreed on.
pub(crate) type TlsCell = OnceLock<std::sync::Arc<TlsInfo>>;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    Tls12,
    /// TLS 1.3, RFC 8446.
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// What the TLS handshake of a connection has agreed on: see [`Opening::tls`](crate::Opening::tls).
#[derive(Clone, Debug)]
pub struct TlsInfo {
    version: TlsVersion,
    cipher_suite: &'static str,
    server_name: Option<Box<str>>,
    alpn: Option<Box<[u8]>>,
    client_certificates: Box<[CertificateDer<'static>]>,
    resumed: bool,
}

impl TlsInfo {
    /// The version of TLS.
    #[must_use]
    pub const fn version(&self) -> TlsVersion {
        self.version
    }

    /// The name of the cipher suite, for instance `TLS13_AES_128_GCM_SHA256`.
    #[must_use]
    pub const fn cipher_suite(&self) -> &'static str {
        self.cipher_suite
    }

    /// The name of the server that the client asked for (SNI, RFC 6066 §3), in lower case.
    ///
    /// The host of the request may be different. A server with several virtual hosts should
    /// compare the two.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The application protocol (ALPN, RFC 7301), for instance `http/1.1`. `None` if the client
    /// offered none.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// The certificates of the client in DER, its own first. The server has verified them. Empty if
    /// the client sent none, or was not asked: see
    /// [`TlsBuilder::client_certificates`](crate::TlsBuilder::client_certificates).
    pub fn client_certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.client_certificates.iter().map(|certificate| certificate.as_ref())
    }

    /// Whether the client has resumed an earlier session. The client certificates then come from the
    /// earlier session.
    #[must_use]
    pub const fn resumed(&self) -> bool {
        self.resumed
    }

    /// The result of a complete handshake.
    pub(super) fn new(state: &CommonState, server_name: Option<Box<str>>) -> Self {
        Self {
            version: match state.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            },
            cipher_suite: state
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown"),
            server_name,
            alpn: state.alpn_protocol().map(Into::into),
            client_certificates: state.peer_certificates().unwrap_or_default().into(),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}
