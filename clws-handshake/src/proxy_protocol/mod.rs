//! The PROXY protocol, versions 1 and 2: a header before the first byte of a connection, in which a
//! proxy says whose connection it passes on.

pub(crate) mod header;
mod v1;
mod v2;

use crate::limits::Status;
use crate::proxy_protocol::header::{ProxyHeader, ProxyHeaderError};

impl ProxyHeader {
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
