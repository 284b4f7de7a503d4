//! Version 2: a binary header.

use std::net::SocketAddr;

use crate::limits::Status;
use crate::proxy_protocol::header::{ProxyHeader, ProxyHeaderError, begins_with, canonical};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

// Address family and transport protocol.
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

/// The length of the two paths of a Unix socket.
const UNIX_LEN: usize = 216;

pub(super) fn parse(received: &[u8]) -> Result<Status<ProxyHeader>, ProxyHeaderError> {
    if begins_with(received, SIGNATURE)?.is_partial() {
        return Ok(Status::Partial);
    }
    let rest = received.get(SIGNATURE.len()..).unwrap_or_default();
    let Some((&command, rest)) = rest.split_first() else { return Ok(Status::Partial) };
    if !matches!(command, LOCAL | PROXY) {
        return Err(ProxyHeaderError::Malformed);
    }
    let Some((&family, rest)) = rest.split_first() else { return Ok(Status::Partial) };
    let least = match family {
        // "The receiver [...] must use the real connection endpoints and discard the protocol block
        // including the family which is ignored."
        _ if command == LOCAL => 0,
        UNSPECIFIED => 0,
        TCP_OVER_IPV4 => 2 * (4 + 2),
        TCP_OVER_IPV6 => 2 * (16 + 2),
        UNIX_STREAM => UNIX_LEN,
        _ => return Err(ProxyHeaderError::Malformed), // a datagram is no connection
    };
    let Some((&[high, low], rest)) = rest.split_first_chunk() else { return Ok(Status::Partial) };
    let declared = usize::from(u16::from_be_bytes([high, low]));
    let len = SIGNATURE.len() + 4 + declared;
    if len > ProxyHeader::MAX_LEN {
        return Err(ProxyHeaderError::TooLong);
    }
    if declared < least {
        return Err(ProxyHeaderError::Malformed);
    }
    let Some(block) = rest.get(..declared) else { return Ok(Status::Partial) };
    let source = if command == PROXY { source(family, block) } else { None };
    Ok(Status::Complete(ProxyHeader { source, len }))
}

/// The source in the address block: source address, destination address, source port.
fn source(family: u8, block: &[u8]) -> Option<SocketAddr> {
    match family {
        TCP_OVER_IPV4 => {
            let (source, rest) = block.split_first_chunk::<4>()?;
            let port = rest.get(4..)?.first_chunk()?;
            Some(canonical(*source, u16::from_be_bytes(*port)))
        }
        TCP_OVER_IPV6 => {
            let (source, rest) = block.split_first_chunk::<16>()?;
            let port = rest.get(16..)?.first_chunk()?;
            Some(canonical(*source, u16::from_be_bytes(*port)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::proxy_protocol::tests::parse;

    fn header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let len = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, block].concat()
    }

    const V4: [u8; 12] = [203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb];

    fn v6(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        [&source.octets()[..], &[1; 16], &[0x12, 0x67, 0, 1]].concat()
    }

    #[test]
    fn reads_the_source() {
        let tlvs = |block: &[u8]| [block, &[0x02, 0, 1, b'a', 0x20, 0xff]].concat(); // the last is cut off
        for (bytes, source) in [
            (header(PROXY, TCP_OVER_IPV4, &V4), Some("203.0.113.7:4711")),
            (header(PROXY, TCP_OVER_IPV4, &tlvs(&V4)), Some("203.0.113.7:4711")),
            (header(PROXY, TCP_OVER_IPV6, &v6("2001:db8::7")), Some("[2001:db8::7]:4711")),
            (header(PROXY, TCP_OVER_IPV6, &tlvs(&v6("::ffff:1.2.3.4"))), Some("1.2.3.4:4711")),
            (header(PROXY, UNIX_STREAM, &[b'a'; UNIX_LEN]), None),
            (header(PROXY, UNSPECIFIED, &[]), None),
            (header(PROXY, UNSPECIFIED, &[7; 300]), None),
            (header(LOCAL, UNSPECIFIED, &[]), None),
            (header(LOCAL, TCP_OVER_IPV4, &V4), None),
            (header(LOCAL, 0xff, &[7; 3]), None),
        ] {
            let source = source.map(|source| source.parse().unwrap());
            assert_eq!(parse(&bytes).map(|header| header.source), Ok(source), "{bytes:?}");
        }
    }

    #[test]
    fn refuses_what_no_proxy_of_a_tcp_connection_sends() {
        for bytes in [
            header(0x22, TCP_OVER_IPV4, &V4),
            header(0x11, TCP_OVER_IPV4, &V4),
            header(0x31, TCP_OVER_IPV4, &V4),
            header(PROXY, 0x12, &V4),
            header(PROXY, 0x13, &V4),
            header(PROXY, 0x01, &V4),
            header(PROXY, 0x41, &V4),
            header(PROXY, TCP_OVER_IPV4, &V4[..11]),
            header(PROXY, TCP_OVER_IPV6, &v6("::1")[..35]),
            header(PROXY, UNIX_STREAM, &[0; UNIX_LEN - 1]),
        ] {
            assert_eq!(parse(&bytes), Err(ProxyHeaderError::Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn a_declared_length_above_the_limit_is_refused_before_it_arrives() {
        let longest = header(LOCAL, 0, &vec![0; ProxyHeader::MAX_LEN - 16]);
        assert_eq!(parse(&longest).map(|header| header.len), Ok(ProxyHeader::MAX_LEN));
        let long = header(LOCAL, 0, &vec![0; ProxyHeader::MAX_LEN - 15]);
        assert_eq!(ProxyHeader::parse(&long[..16]), Err(ProxyHeaderError::TooLong));
        assert_eq!(
            ProxyHeader::parse(&header(PROXY, TCP_OVER_IPV4, &[0; 65_535])),
            Err(ProxyHeaderError::TooLong)
        );
    }
}
