//! Messages to send, encoded and masked before the clock starts.

use super::args::{Draft, MessageArgs};
use super::error::Error;

/// About how many octets of encoded messages are kept ready: they should stay in the core's own cache.
const READY: usize = 64 << 10;

/// A circle of encoded messages, all of the same size, each with its own content and masks.
///
/// A connection sends messages in the circle's order, and so message number `n` has the content of slot `n % slots`.
#[derive(Debug)]
pub struct Ring {
    encoded: Vec<u8>,
    payloads: Vec<u8>,
    slots: usize,
    size: usize,
    wire: usize,
    text: bool,
}

impl Ring {
    /// Encodes as many messages as fit, at least one.
    ///
    /// # Errors
    /// [`Error::Usage`] when the draft cannot carry such a message.
    pub fn new(draft: Draft, args: &MessageArgs) -> Result<Self, Error> {
        args.check(draft)?;
        let text = args.text || draft == Draft::Hybi00;
        let slots = (READY / (args.size + 8)).clamp(1, 1024);
        let mut random = SplitMix(0x5eed);
        let mut ring =
            Self { encoded: Vec::new(), payloads: Vec::new(), slots, size: args.size, wire: 0, text };
        for _ in 0..slots {
            let from = ring.payloads.len();
            while ring.payloads.len() < from + args.size {
                let word = random.next().to_le_bytes();
                let octets = word.iter().map(|b| if text { b'a' + b % 26 } else { *b });
                ring.payloads.extend(octets.take(from + args.size - ring.payloads.len()));
            }
            let payload = &ring.payloads[from..];
            if draft == Draft::Hybi00 {
                ring.encoded.push(0x00);
                ring.encoded.extend_from_slice(payload);
                ring.encoded.push(0xff);
            } else {
                encode(&mut ring.encoded, payload, text, args.fragments, &mut random);
            }
        }
        ring.wire = ring.encoded.len() / slots;
        Ok(ring)
    }

    /// Octets of one message on the wire.
    #[must_use]
    pub fn wire(&self) -> usize {
        self.wire
    }

    /// Octets of one message's content.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether the messages are text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.text
    }

    /// All encoded messages, back to back.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The content of message number `n`.
    #[must_use]
    pub fn payload(&self, n: u64) -> &[u8] {
        let slots = u64::try_from(self.slots).unwrap_or(1);
        let slot = usize::try_from(n % slots).unwrap_or(0);
        &self.payloads[slot * self.size..][..self.size]
    }
}

/// The Close frame that ends a connection in this draft: code 1000, masked.
#[must_use]
pub fn close(draft: Draft) -> &'static [u8] {
    match draft {
        Draft::Hybi00 => &[0xff, 0x00],
        _ => &[0x88, 0x82, 0x11, 0x22, 0x33, 0x44, 0x03 ^ 0x11, 0xe8 ^ 0x22],
    }
}

/// Appends one message in `fragments` masked frames of nearly equal size.
fn encode(out: &mut Vec<u8>, payload: &[u8], text: bool, fragments: usize, random: &mut SplitMix) {
    let mut sent = 0;
    for index in 0..fragments {
        let until = payload.len() * (index + 1) / fragments;
        let part = &payload[sent..until];
        sent = until;
        let opcode = if index > 0 { 0 } else { 2 - u8::from(text) };
        out.push(opcode | if index + 1 == fragments { 0x80 } else { 0 });
        match part.len() {
            0..=125 => out.push(0x80 | part.len().to_le_bytes()[0]),
            126..=0xffff => {
                out.push(0x80 | 126);
                let length = (part.len() as u64).to_be_bytes();
                out.extend_from_slice(&length[6..]);
            }
            _ => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            }
        }
        let word = random.next().to_le_bytes();
        let key = [word[0], word[1], word[2], word[3]];
        out.extend_from_slice(&key);
        out.extend(part.iter().zip(key.iter().cycle()).map(|(octet, mask)| octet ^ mask));
    }
}

/// A small generator of well-mixed numbers (Steele, Lea, Flood 2014): the same messages in every run.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(draft: Draft, size: usize, text: bool, fragments: usize) -> Ring {
        Ring::new(draft, &MessageArgs { size, text, binary: false, fragments, verify: false }).unwrap()
    }

    /// Undoes [`encode`] by the letter of RFC 6455 §5.2.
    fn decode(mut wire: &[u8]) -> Vec<(u8, bool, Vec<u8>)> {
        let mut frames = Vec::new();
        while !wire.is_empty() {
            assert_eq!(wire[1] & 0x80, 0x80, "client frames are masked");
            let (length, head) = match wire[1] & 0x7f {
                126 => (usize::from(u16::from_be_bytes([wire[2], wire[3]])), 4),
                127 => (u64::from_be_bytes(wire[2..10].try_into().unwrap()).try_into().unwrap(), 10),
                short => (usize::from(short), 2),
            };
            let key = &wire[head..head + 4];
            let body = wire[head + 4..][..length].iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
            frames.push((wire[0] & 0x7f, wire[0] & 0x80 != 0, body));
            wire = &wire[head + 4 + length..];
        }
        frames
    }

    #[test]
    fn frames_decode_to_their_payloads() {
        for size in [0, 1, 16, 125, 126, 127, 65_535, 65_536, 1 << 20] {
            let ring = ring(Draft::Rfc6455, size, false, 1);
            let frames = decode(ring.encoded());
            assert_eq!(frames.len(), ring.slots);
            for (n, (opcode, fin, body)) in frames.iter().enumerate() {
                assert_eq!((*opcode, *fin), (2, true));
                assert_eq!(body, ring.payload(n as u64));
            }
            assert_eq!(ring.encoded().len(), ring.wire() * ring.slots);
        }
    }

    #[test]
    fn fragments_add_up() {
        let ring = ring(Draft::Hybi08, 1000, true, 3);
        let frames = decode(&ring.encoded()[..ring.wire()]);
        let kinds: Vec<_> = frames.iter().map(|(opcode, fin, _)| (*opcode, *fin)).collect();
        assert_eq!(kinds, [(1, false), (0, false), (0, true)]);
        let whole: Vec<u8> = frames.into_iter().flat_map(|(_, _, body)| body).collect();
        assert_eq!(whole, ring.payload(0));
        assert!(std::str::from_utf8(&whole).is_ok());
        assert!(ring.is_text());
    }

    #[test]
    fn draft_0_is_text_between_00_and_ff() {
        let ring = ring(Draft::Hybi00, 5, false, 1);
        let wire = &ring.encoded()[..ring.wire()];
        assert_eq!((wire[0], wire[6], wire.len()), (0x00, 0xff, 7));
        assert_eq!(&wire[1..6], ring.payload(0));
        assert!(wire[1..6].iter().all(u8::is_ascii_lowercase));
    }

    #[test]
    fn the_close_frame_says_1000() {
        let frames = decode(close(Draft::Rfc6455));
        assert_eq!(frames, [(8, true, vec![0x03, 0xe8])]);
    }
}
