//! Frame headers and opcodes.

use crate::error::ProtocolError;
use crate::version::Role;

/// The opcode of a frame, RFC 6455 §5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

impl Opcode {
    pub(crate) const fn bits(self) -> u8 {
        self as u8
    }

    const fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
        match bits {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xA => Ok(Self::Pong),
            // RFC 6455 §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail
            // the WebSocket Connection_."
            other => Err(ProtocolError::ReservedOpcode(other)),
        }
    }

    pub(crate) const fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}

/// The maximum length of a header: 2 bytes, an 8-byte length and a 4-byte key.
pub(crate) const MAX_HEADER: usize = 14;

/// The three reserved bits.
const RSV: u8 = 0x70;

/// The first reserved bit. RFC 7692 §6 calls it "Per-Message Compressed".
pub(crate) const RSV1: u8 = 0x40;

/// A parsed frame header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// RSV1 is set: the frame starts a compressed message.
    pub(crate) compressed: bool,
    pub(crate) opcode: Opcode,
    /// Zero if the frame is not masked. XOR with zero changes nothing.
    pub(crate) key: [u8; 4],
    pub(crate) payload_len: usize,
    /// The length of the header itself.
    pub(crate) size: usize,
}

impl Header {
    /// Parses a header. `None` if it is incomplete. Each field is checked as soon as it is
    /// complete.
    ///
    /// A reserved bit outside of `allowed_rsv` is an error.
    #[inline]
    pub(crate) fn parse(bytes: &[u8], role: Role, allowed_rsv: u8) -> Result<Option<Self>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        // RFC 6455 §5.2: "MUST be 0 unless an extension is negotiated that defines meanings for
        // non-zero values. If a nonzero value is received and none of the negotiated extensions
        // defines the meaning of such a nonzero value, the receiving endpoint MUST _Fail the
        // WebSocket Connection_."
        if first & RSV & !allowed_rsv != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let compressed = first & allowed_rsv & RSV1 != 0;
        let fin = first & 0x80 != 0;
        let opcode = Opcode::from_bits(first & 0x0F)?;
        // RFC 7692 §6.1: "An endpoint MUST NOT set the "Per-Message Compressed" bit of control
        // frames and non-first fragments of a data message. An endpoint receiving such a frame MUST
        // _Fail the WebSocket Connection_."
        if compressed && (opcode.is_control() || opcode == Opcode::Continuation) {
            return Err(ProtocolError::ReservedBits);
        }
        // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less and
        // MUST NOT be fragmented."
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let masked = second & 0x80 != 0;
        match role {
            // RFC 6455 §5.1: "The server MUST close the connection upon receiving a frame that is
            // not masked."
            Role::Server if !masked => return Err(ProtocolError::Unmasked),
            // RFC 6455 §5.1: "A client MUST close a connection if it detects a masked frame."
            Role::Client if masked => return Err(ProtocolError::Masked),
            _ => {}
        }
        let short = second & 0x7F;
        if opcode.is_control() && short > 125 {
            return Err(ProtocolError::ControlTooLong);
        }

        let (payload_len, mut size) = match short {
            126 => {
                let Some(len) = bytes.get(2..).and_then(<[u8]>::first_chunk::<2>) else { return Ok(None) };
                let len = u16::from_be_bytes(*len);
                // RFC 6455 §5.2: "Note that in all cases, the minimal number of bytes MUST be used
                // to encode the length"
                if len < 126 {
                    return Err(ProtocolError::NonMinimalLength);
                }
                (usize::from(len), 4)
            }
            127 => {
                let Some(len) = bytes.get(2..).and_then(<[u8]>::first_chunk::<8>) else { return Ok(None) };
                let len = u64::from_be_bytes(*len);
                if len <= u64::from(u16::MAX) {
                    return Err(ProtocolError::NonMinimalLength);
                }
                // RFC 6455 §5.2: "a 64-bit unsigned integer (the most significant bit MUST be 0)"
                if len >> 63 != 0 {
                    return Err(ProtocolError::LengthOverflow);
                }
                // A length that does not fit into `usize` exceeds every limit, see `Receiver::new`.
                (usize::try_from(len).unwrap_or(usize::MAX), 10)
            }
            short => (usize::from(short), 2),
        };
        let mut key = [0; 4];
        if masked {
            let Some(found) = bytes.get(size..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
            key = *found;
            size += 4;
        }
        Ok(Some(Self { fin, compressed, opcode, key, payload_len, size }))
    }

    /// The header length of an unmasked frame with `len` bytes of payload.
    pub(crate) const fn unmasked_len(len: usize) -> usize {
        match len {
            0..=125 => 2,
            126..=0xFFFF => 4,
            _ => 10,
        }
    }

    /// Appends a frame header with the shortest encoding of the length.
    #[inline]
    pub(crate) fn write(out: &mut Vec<u8>, fin: bool, opcode: Opcode, len: usize, key: Option<[u8; 4]>) {
        let first = opcode.bits() | if fin { 0x80 } else { 0 };
        let mask_bit = if key.is_some() { 0x80 } else { 0 };
        match (u8::try_from(len), u16::try_from(len)) {
            (Ok(len @ 0..=125), _) => out.extend_from_slice(&[first, mask_bit | len]),
            (_, Ok(len)) => {
                let [high, low] = len.to_be_bytes();
                out.extend_from_slice(&[first, mask_bit | 126, high, low]);
            }
            _ => {
                out.extend_from_slice(&[first, mask_bit | 127]);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        if let Some(key) = key {
            out.extend_from_slice(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
        Header::parse(bytes, Role::Client, 0).map(|header| header.map(|header| header.payload_len))
    }

    #[test]
    fn rejects_long_encodings_and_lengths_out_of_range() {
        assert_eq!(parse(&[0x82, 125]), Ok(Some(125)));
        assert_eq!(parse(&[0x82, 126, 0, 125]), Err(ProtocolError::NonMinimalLength));
        assert_eq!(parse(&[0x82, 126, 0, 126]), Ok(Some(126)));
        assert_eq!(parse(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), Err(ProtocolError::NonMinimalLength));
        assert_eq!(parse(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Ok(Some(65536)));
        assert_eq!(parse(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(ProtocolError::LengthOverflow));
    }

    #[test]
    fn parses_written_headers() {
        for len in [0, 1, 125, 126, 127, 65535, 65536, 1 << 20] {
            for (role, key) in [(Role::Server, Some([1, 2, 3, 4])), (Role::Client, None)] {
                let mut bytes = Vec::new();
                Header::write(&mut bytes, true, Opcode::Binary, len, key);
                for cut in 0..bytes.len() {
                    assert!(Header::parse(&bytes[..cut], role, 0).unwrap().is_none());
                }
                let header = Header::parse(&bytes, role, 0).unwrap().unwrap();
                assert_eq!((header.payload_len, header.size), (len, bytes.len()));
                assert_eq!(
                    (header.fin, header.opcode, header.key),
                    (true, Opcode::Binary, key.unwrap_or_default())
                );
                assert!(bytes.len() <= MAX_HEADER);
            }
        }
    }
}
