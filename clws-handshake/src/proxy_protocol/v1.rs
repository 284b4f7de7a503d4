//! Version 1: one line of text.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits::Status;
use crate::proxy_protocol::header::{ProxyHeader, ProxyHeaderError, begins_with, canonical};

const SIGNATURE: &[u8] = b"PROXY ";

/// The longest line, with its CRLF: "a 108-byte buffer is always enough to store all the line and a
/// trailing zero".
const MAX_LEN: usize = 107;

pub(super) fn parse(received: &[u8]) -> Result<Status<ProxyHeader>, ProxyHeaderError> {
    if begins_with(received, SIGNATURE)?.is_partial() {
        return Ok(Status::Partial);
    }
    let line = received.get(..MAX_LEN).unwrap_or(received);
    // "the receiver must be tolerant to receive only the first part". A control character is never a
    // part of the line.
    let Some(end) = line.iter().position(|byte| !(b' '..=b'~').contains(byte)) else {
        return if line.len() < MAX_LEN { Ok(Status::Partial) } else { Err(ProxyHeaderError::Malformed) };
    };
    match line.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([b'\r']) if line.len() < MAX_LEN => return Ok(Status::Partial),
        _ => return Err(ProxyHeaderError::Malformed),
    }
    let fields = line.get(SIGNATURE.len()..end).and_then(|fields| str::from_utf8(fields).ok());
    let source = source(fields.unwrap_or_default()).ok_or(ProxyHeaderError::Malformed)?;
    Ok(Status::Complete(ProxyHeader { source, len: end + 2 }))
}

/// The source in the fields after `PROXY`. `None` if they are malformed.
fn source(fields: &str) -> Option<Option<SocketAddr>> {
    let mut fields = fields.split(' ');
    let protocol = fields.next()?;
    if protocol == "UNKNOWN" {
        return Some(None); // "the receiver must ignore anything presented before the CRLF"
    }
    let (source, destination) = (fields.next()?, fields.next()?);
    let (source_port, _) = (port(fields.next()?)?, port(fields.next()?)?);
    if fields.next().is_some() {
        return None;
    }
    let source = match protocol {
        "TCP4" => {
            let _: Ipv4Addr = destination.parse().ok()?;
            canonical(source.parse::<Ipv4Addr>().ok()?, source_port)
        }
        "TCP6" => {
            let _: Ipv6Addr = destination.parse().ok()?;
            canonical(source.parse::<Ipv6Addr>().ok()?, source_port)
        }
        _ => return None,
    };
    Some(Some(source))
}

/// A number "in the range [0..65535]" in "its canonical form", without leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_canonical = text == "0" || !text.starts_with('0');
    // `parse` also accepts a plus sign.
    (is_canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::tests::parse;

    #[test]
    fn reads_the_source() {
        for (line, source) in [
            ("PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n", Some("203.0.113.7:4711")),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Some("255.255.255.255:65535")),
            ("PROXY TCP4 1.2.3.4 1.2.3.4 0 0\r\n", Some("1.2.3.4:0")),
            ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", Some("[2001:db8::1]:1")),
            ("PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n", Some("1.2.3.4:1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN 1.2.3.4 anything ~ 1\r\n", None),
        ] {
            let source = source.map(|source| source.parse().unwrap());
            assert_eq!(parse(line.as_bytes()).map(|header| header.source), Ok(source), "{line}");
        }
        let ffff = "ffff:".repeat(7) + "ffff";
        let longest = format!("PROXY UNKNOWN {ffff} {ffff} 65535 65535\r\n");
        assert_eq!((longest.len(), parse(longest.as_bytes()).map(|header| header.len)), (107, Ok(107)));
    }

    #[test]
    fn refuses_other_lines() {
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 x\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
            "PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UNKNOWN2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx",
            "PROXY TCP4\t1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UNKNOWN \0\r\n",
            "PROXY UNKNOWN é\r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(ProxyHeaderError::Malformed), "{line}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused_at_its_limit() {
        let endless = [SIGNATURE, &[b'x'; 200]].concat();
        assert_eq!(ProxyHeader::parse(&endless[..MAX_LEN - 1]), Ok(Status::Partial));
        assert_eq!(ProxyHeader::parse(&endless[..MAX_LEN]), Err(ProxyHeaderError::Malformed));
        assert_eq!(ProxyHeader::parse(&endless), Err(ProxyHeaderError::Malformed));
        // One byte too long, and complete.
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LEN - 15));
        assert_eq!(ProxyHeader::parse(long.as_bytes()), Err(ProxyHeaderError::Malformed));
    }
}
