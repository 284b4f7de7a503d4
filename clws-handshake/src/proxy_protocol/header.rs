//! The result of parsing a header of the PROXY protocol, and what both versions share.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::limits::Status;

/// A header of the PROXY protocol.
///
/// ```
/// use clws_handshake::{ProxyHeader, Status};
///
/// let bytes = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\n";
/// let Status::Complete(header) = ProxyHeader::parse(bytes)? else { panic!("incomplete") };
/// assert_eq!(header.source, Some("203.0.113.7:4711".parse()?));
/// assert!(bytes[header.len..].starts_with(b"GET"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyHeader {
    /// The client's address. `None` if the connection is the proxy's own (`LOCAL`), for instance for
    /// a health check, or if the proxy does not know the client (`UNKNOWN`). The client is then the
    /// peer of the connection.
    pub source: Option<SocketAddr>,
    /// The length of the header in bytes. The client's first byte follows.
    pub len: usize,
}

/// The bytes are no header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// The connection begins with something else.
    #[error("the connection does not begin with a PROXY protocol header")]
    Missing,
    /// The header begins well, and then violates its grammar.
    #[error("the PROXY protocol header is malformed")]
    Malformed,
    /// The header is longer than [`ProxyHeader::MAX_LEN`].
    #[error("the PROXY protocol header is longer than {} bytes", ProxyHeader::MAX_LEN)]
    TooLong,
}

impl ProxyHeader {
    /// The longest header in bytes that [`parse`](Self::parse) accepts. Version 1 has at most 107.
    /// Version 2 has at most 232 without extensions (TLVs), and may declare up to 65,551.
    pub const MAX_LEN: usize = 4096;
}

/// Whether the bytes begin with a signature. `Partial` if they are a part of it.
pub(super) fn begins_with(received: &[u8], signature: &[u8]) -> Result<Status<()>, ProxyHeaderError> {
    if received.starts_with(signature) {
        Ok(Status::Complete(()))
    } else if signature.starts_with(received) {
        Ok(Status::Partial)
    } else {
        Err(ProxyHeaderError::Missing)
    }
}

/// An address of IPv4 that is written as IPv6 becomes an address of IPv4.
pub(super) fn canonical(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into().to_canonical(), port)
}
