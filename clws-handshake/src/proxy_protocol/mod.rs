//! The PROXY protocol, versions 1 and 2: a header before the first byte of a connection, in which a
//! proxy says whose connection it passes on.

mod v1;
mod v2;

use std::net::SocketAddr;

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
    /// The client's address. `None` if the connection is the proxy's own (`LOCAL`), as for a check
    /// of its health, or the proxy does not say (`UNKNOWN`): the specification then demands the
    /// addresses of the connection itself.
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

    /// Parses everything received so far, from the first byte of the connection on.
    ///
    /// A wrong byte is an error as soon as it is there. The extensions of version 2 (TLVs) are
    /// skipped.
    ///
    /// # Errors
    ///
    /// The bytes are no header. The specification demands that the connection is then dropped.
    pub fn parse(received: &[u8]) -> Result<Status<Self>, ProxyHeaderError> {
        // Both signatures differ in their first byte.
        match received.first() {
            None => Ok(Status::Partial),
            Some(b'P') => v1::parse(received),
            Some(b'\r') => v2::parse(received),
            Some(_) => Err(ProxyHeaderError::Missing),
        }
    }
}

/// Whether the bytes begin with a signature. `Partial` if they are a part of it.
fn begins_with(received: &[u8], signature: &[u8]) -> Result<Status<()>, ProxyHeaderError> {
    if received.starts_with(signature) {
        Ok(Status::Complete(()))
    } else if signature.starts_with(received) {
        Ok(Status::Partial)
    } else {
        Err(ProxyHeaderError::Missing)
    }
}

/// An address of IPv4 that is written as IPv6 becomes an address of IPv4.
fn canonical(address: impl Into<std::net::IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into().to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a header that arrives byte by byte, and then one with more bytes after it.
    pub(super) fn parse(header: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
        for end in 0..header.len() {
            match ProxyHeader::parse(&header[..end])? {
                Status::Partial => {}
                Status::Complete(found) => panic!("complete after {end} bytes: {found:?}"),
            }
        }
        let whole = ProxyHeader::parse(header)?;
        let Status::Complete(found) = ProxyHeader::parse(&[header, b"GET /\r\n"].concat())? else {
            panic!("{header:?} is not complete")
        };
        assert_eq!(whole, Status::Complete(found));
        assert_eq!(found.len, header.len());
        Ok(found)
    }

    #[test]
    fn other_protocols_are_refused_at_their_first_wrong_byte() {
        for bytes in [
            &b"G"[..],
            b"POST / HTTP/1.1\r\n",
            b"PR ",
            b"PROXY\t",
            b"PROXYTCP4 ",
            b"proxy ",
            b"\x16\x03\x01",
            b"\r\nP",
            b"\n",
            b"\0",
            b"\r\n\r\n\0\r\nQUIT\r",
        ] {
            assert_eq!(ProxyHeader::parse(bytes), Err(ProxyHeaderError::Missing), "{bytes:?}");
        }
        for bytes in [&b""[..], b"P", b"PROXY", b"PROXY ", b"\r", b"\r\n\r\n\0\r\nQUIT\n"] {
            assert_eq!(ProxyHeader::parse(bytes), Ok(Status::Partial), "{bytes:?}");
        }
    }
}
