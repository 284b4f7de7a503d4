//! IP and TCP headers around recorded bytes, so that Wireshark can follow the connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most payload bytes of one packet. The length field of IP has 16 bits.
pub(super) const MAX_PAYLOAD: usize = 32 * 1024;

/// The bytes of the longest headers: IPv6 and TCP.
pub(super) const MAX_HEADERS: usize = 40 + TCP_HEADER;

const TCP_HEADER: usize = 20;

/// The protocol number of TCP in IP headers.
const TCP: u8 = 6;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

/// A TCP segment without options, and the addresses of its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    pub(super) flags: u8,
    pub(super) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Appends the packet. Both addresses must be of one family, and the payload must have at most
    /// [`MAX_PAYLOAD`] bytes.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        let length = TCP_HEADER + self.payload.len();
        let sum = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => write_ipv4(into, from, to, length),
            (from, to) => write_ipv6(into, mapped(from), mapped(to), length),
        };
        let start = into.len();
        into.extend_from_slice(&self.from.port().to_be_bytes());
        into.extend_from_slice(&self.to.port().to_be_bytes());
        into.extend_from_slice(&self.sequence.to_be_bytes());
        into.extend_from_slice(&self.acknowledgment.to_be_bytes());
        into.extend_from_slice(&[5 << 4, self.flags, 0xFF, 0xFF, 0, 0, 0, 0]); // the length of the header, the window
        into.extend_from_slice(self.payload);
        let sum = fold(add(sum, into.get(start..).unwrap_or_default()));
        if let Some(checksum) = into.get_mut(start + 16..start + 18) {
            checksum.copy_from_slice(&sum.to_be_bytes());
        }
    }

    /// Reads a packet. `None` if it is not a whole TCP segment in one IP packet.
    pub(super) fn read(packet: &'a [u8]) -> Option<Self> {
        let (from, to, tcp): (IpAddr, IpAddr, _) = match packet.first()? >> 4 {
            4 => {
                let (header, _) = packet.split_first_chunk::<20>()?;
                let header_length = usize::from(header[0] & 0x0F) * 4;
                let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
                let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3FFF != 0;
                if header[9] != TCP || is_fragment || header_length < 20 {
                    return None;
                }
                let address = |at: usize| Some(Ipv4Addr::from(*header.get(at..)?.first_chunk::<4>()?).into());
                (address(12)?, address(16)?, packet.get(header_length..total)?)
            }
            6 => {
                let (header, _) = packet.split_first_chunk::<40>()?;
                if header[6] != TCP {
                    return None;
                }
                let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
                let address =
                    |at: usize| Some(Ipv6Addr::from(*header.get(at..)?.first_chunk::<16>()?).into());
                (address(8)?, address(24)?, packet.get(40..40 + length)?)
            }
            _ => return None,
        };
        let (header, _) = tcp.split_first_chunk::<TCP_HEADER>()?;
        let [a, b, c, d, rest @ ..] = header;
        let [s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, ..] = *rest;
        let payload = tcp.get(usize::from(offset >> 4) * 4..)?;
        Some(Self {
            from: SocketAddr::new(from, u16::from_be_bytes([*a, *b])),
            to: SocketAddr::new(to, u16::from_be_bytes([*c, *d])),
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            acknowledgment: u32::from_be_bytes([a0, a1, a2, a3]),
            flags,
            payload: if usize::from(offset >> 4) < 5 { return None } else { payload },
        })
    }
}

/// Appends an IPv4 header. Returns the sum of TCP's pseudo header.
fn write_ipv4(into: &mut Vec<u8>, from: Ipv4Addr, to: Ipv4Addr, length: usize) -> u32 {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    let mut header = [0; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length.saturating_add(20).to_be_bytes());
    header[6] = 0x40; // do not fragment
    header[8] = 64;
    header[9] = TCP;
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
    let checksum = fold(add(0, &header));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    into.extend_from_slice(&header);
    add(add(u32::from(TCP) + u32::from(length), &from.octets()), &to.octets())
}

/// Appends an IPv6 header. Returns the sum of TCP's pseudo header.
fn write_ipv6(into: &mut Vec<u8>, from: Ipv6Addr, to: Ipv6Addr, length: usize) -> u32 {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    into.extend_from_slice(&[0x60, 0, 0, 0]);
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(&[TCP, 64]);
    into.extend_from_slice(&from.octets());
    into.extend_from_slice(&to.octets());
    add(add(u32::from(TCP) + u32::from(length), &from.octets()), &to.octets())
}

const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Adds 16-bit words to the sum of a checksum (RFC 1071). A packet is too short for an overflow.
fn add(sum: u32, bytes: &[u8]) -> u32 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let sum = pairs.iter().fold(sum, |sum, pair| sum + u32::from(u16::from_be_bytes(*pair)));
    rest.first().map_or(sum, |&last| sum + (u32::from(last) << 8))
}

/// The checksum of a sum.
fn fold(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xFFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_packet_is_read_again() {
        for (from, to) in [("1.2.3.4:5", "10.0.0.1:80"), ("[2001:db8::1]:50000", "[::1]:8080")] {
            for payload in [&b""[..], b"odd", &[7; MAX_PAYLOAD]] {
                let segment = Segment {
                    from: from.parse().unwrap(),
                    to: to.parse().unwrap(),
                    sequence: u32::MAX,
                    acknowledgment: 7,
                    flags: PSH | ACK,
                    payload,
                };
                let mut packet = Vec::new();
                segment.write(&mut packet);
                assert!(packet.len() <= MAX_HEADERS + payload.len());
                assert_eq!(Segment::read(&packet), Some(segment));
                for length in 0..packet.len().min(100) {
                    assert!(Segment::read(&packet[..length]).is_none(), "{length} bytes are not a packet");
                }
            }
        }
    }

    #[test]
    fn checksums_are_those_of_the_standards() {
        let mut packet = Vec::new();
        let segment = Segment {
            from: "192.168.0.1:80".parse().unwrap(),
            to: "192.168.0.199:1".parse().unwrap(),
            sequence: 1,
            acknowledgment: 2,
            flags: ACK,
            payload: b"abc",
        };
        segment.write(&mut packet);
        // The sum over a block with a valid checksum has only ones.
        assert_eq!(fold(add(0, &packet[..20])), 0);
        let pseudo = add(u32::from(TCP) + 23, &packet[12..20]);
        assert_eq!(fold(add(pseudo, &packet[20..])), 0);
    }
}
