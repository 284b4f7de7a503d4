//! Messages that are encoded, compressed and masked before the clock starts.

use super::args::{Draft, MessageArgs};
use super::deflate::{Compressor, Offer};
use super::error::Error;
use crate::random::SplitMix;
use crate::text::{Kind, Lines};

/// The approximate size of all prepared messages in bytes. They should stay in the core's own
/// cache.
const READY: usize = 64 << 10;
/// The same for compressed messages. No message repeats within a window.
const READY_COMPRESSED: usize = 128 << 10;

/// A ring of encoded messages of equal size, each with different content and masks.
///
/// A connection sends the messages in order, so message `n` has the content of slot `n % slots`.
#[derive(Debug)]
pub struct Ring {
    encoded: Vec<u8>,
    payloads: Vec<u8>,
    slots: usize,
    size: usize,
    /// The start of each message, and the end of the last.
    starts: Vec<usize>,
    text: bool,
    compressed: bool,
}

impl Ring {
    /// Encodes as many messages as fit, at least one. With an offer, the messages are compressed.
    ///
    /// # Errors
    /// [`Error::Usage`] if the draft cannot carry such a message.
    pub fn new(draft: Draft, args: &MessageArgs, offer: Option<&Offer>) -> Result<Self, Error> {
        args.check(draft)?;
        match offer {
            Some(offer) => Self::compressed(args, offer),
            None => Ok(Self::plain(draft, args)),
        }
    }

    fn plain(draft: Draft, args: &MessageArgs) -> Self {
        let text = args.text || draft == Draft::Hybi00;
        let mut ring = Self::empty((READY / (args.size + 8)).clamp(1, 1024), args, text);
        let mut random = SplitMix(0x5eed);
        for _ in 0..ring.slots {
            let from = ring.payloads.len();
            while ring.payloads.len() < from + args.size {
                let word = random.next().to_le_bytes();
                let bytes = word.iter().map(|b| if text { b'a' + b % 26 } else { *b });
                ring.payloads.extend(bytes.take(from + args.size - ring.payloads.len()));
            }
            let payload = &ring.payloads[from..];
            if draft == Draft::Hybi00 {
                ring.encoded.push(0x00);
                ring.encoded.extend_from_slice(payload);
                ring.encoded.push(0xff);
            } else {
                encode(&mut ring.encoded, payload, u8::from(!text) + 1, args.fragments, &mut random);
            }
            ring.starts.push(ring.encoded.len());
        }
        ring
    }

    /// Builds JSON messages, each compressed by itself.
    fn compressed(args: &MessageArgs, offer: &Offer) -> Result<Self, Error> {
        let slots = (READY_COMPRESSED / (args.size + 8)).clamp(1, 8192);
        let mut ring = Self::empty(slots, args, !args.binary);
        ring.compressed = true;
        let (mut random, mut lines) = (SplitMix(0x5eed), Lines::new(Kind::Json, 0x5eed));
        let mut compressor = Compressor::new(offer);
        let rsv1_and_opcode = 0x40 | (u8::from(args.binary) + 1);
        for _ in 0..slots {
            let payload = lines.message(args.size);
            let bytes = compressor.compress(payload.as_bytes())?;
            encode(&mut ring.encoded, &bytes, rsv1_and_opcode, args.fragments, &mut random);
            ring.payloads.extend(payload.into_bytes());
            ring.starts.push(ring.encoded.len());
        }
        Ok(ring)
    }

    fn empty(slots: usize, args: &MessageArgs, text: bool) -> Self {
        let (encoded, payloads) = (Vec::new(), Vec::new());
        Self { encoded, payloads, slots, size: args.size, starts: vec![0], text, compressed: false }
    }

    /// The wire size of `count` messages from number `from`, in bytes.
    #[must_use]
    pub fn wire(&self, from: u64, count: u64) -> usize {
        let before = |n: u64| {
            let slots = self.slots as u64;
            let rounds = usize::try_from(n / slots).unwrap_or(0);
            rounds * self.encoded.len() + self.starts[usize::try_from(n % slots).unwrap_or(0)]
        };
        let first = from % self.slots as u64;
        before(first + count) - before(first)
    }

    /// Message number `n`, encoded.
    #[must_use]
    pub fn message(&self, n: u64) -> &[u8] {
        let slot = self.slot(n);
        &self.encoded[self.starts[slot]..self.starts[slot + 1]]
    }

    /// Payload bytes per wire byte; `None` without compression.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "display only")]
    pub fn ratio(&self) -> Option<f64> {
        self.compressed.then(|| self.payloads.len() as f64 / self.encoded.len() as f64)
    }

    /// The payload size of one message in bytes.
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
        &self.payloads[self.slot(n) * self.size..][..self.size]
    }

    fn slot(&self, n: u64) -> usize {
        usize::try_from(n % self.slots as u64).unwrap_or(0)
    }
}

/// The close frame of this draft: code 1000, masked.
#[must_use]
pub fn close(draft: Draft) -> &'static [u8] {
    match draft {
        Draft::Hybi00 => &[0xff, 0x00],
        _ => &[0x88, 0x82, 0x11, 0x22, 0x33, 0x44, 0x03 ^ 0x11, 0xe8 ^ 0x22],
    }
}

/// Appends one message in `fragments` masked frames of nearly equal size. `first` is the first
/// frame's opcode, with RSV1 if needed.
fn encode(out: &mut Vec<u8>, payload: &[u8], first: u8, fragments: usize, random: &mut SplitMix) {
    let mut sent = 0;
    for index in 0..fragments {
        let until = payload.len() * (index + 1) / fragments;
        let part = &payload[sent..until];
        sent = until;
        let opcode = if index > 0 { 0 } else { first };
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
        out.extend(part.iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(draft: Draft, size: usize, text: bool, fragments: usize) -> Ring {
        Ring::new(draft, &MessageArgs { size, text, binary: false, fragments, verify: false }, None).unwrap()
    }

    /// Decodes frames as in RFC 6455 §5.2.
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
    fn encodes_frames_of_every_length_form() {
        for size in [0, 1, 16, 125, 126, 127, 65_535, 65_536, 1 << 20] {
            let ring = ring(Draft::Rfc6455, size, false, 1);
            let frames = decode(ring.encoded());
            assert_eq!(frames.len(), ring.slots);
            for (n, (opcode, fin, body)) in frames.iter().enumerate() {
                assert_eq!((*opcode, *fin), (2, true));
                assert_eq!(body, ring.payload(n as u64));
            }
            assert_eq!(ring.encoded().len(), ring.wire(3, ring.slots as u64));
        }
    }

    #[test]
    fn fragments_carry_the_whole_message() {
        let ring = ring(Draft::Hybi08, 1000, true, 3);
        let frames = decode(ring.message(0));
        let kinds: Vec<_> = frames.iter().map(|(opcode, fin, _)| (*opcode, *fin)).collect();
        assert_eq!(kinds, [(1, false), (0, false), (0, true)]);
        let whole: Vec<u8> = frames.into_iter().flat_map(|(_, _, body)| body).collect();
        assert_eq!(whole, ring.payload(0));
        assert!(std::str::from_utf8(&whole).is_ok());
        assert!(ring.is_text());
    }

    #[test]
    fn encodes_draft_0_text_between_00_and_ff() {
        let ring = ring(Draft::Hybi00, 5, false, 1);
        let wire = ring.message(0);
        assert_eq!((wire[0], wire[6], wire.len()), (0x00, 0xff, 7));
        assert_eq!(&wire[1..6], ring.payload(0));
        assert!(wire[1..6].iter().all(u8::is_ascii_lowercase));
    }

    #[test]
    fn compressed_messages_differ_in_length() {
        let offer = Offer::new(false, 15);
        let args = MessageArgs { size: 300, text: false, binary: false, fragments: 1, verify: false };
        let ring = Ring::new(Draft::Rfc6455, &args, Some(&offer)).unwrap();
        let slots = ring.slots as u64;
        assert!(ring.ratio().unwrap() > 1.2 && ring.is_text());
        for (from, count) in [(0, 0), (0, 1), (slots - 1, 3), (5, 2 * slots + 1)] {
            let sum: usize = (from..from + count).map(|n| ring.message(n).len()).sum();
            assert_eq!(ring.wire(from, count), sum, "{from} {count}");
        }
        assert_eq!(ring.message(0)[0], 0xc1, "FIN, RSV1, text");
        assert_ne!(ring.message(0).len(), ring.message(1).len());
        assert_ne!(ring.payload(0), ring.payload(1));
    }

    #[test]
    fn the_close_frame_has_code_1000() {
        let frames = decode(close(Draft::Rfc6455));
        assert_eq!(frames, [(8, true, vec![0x03, 0xe8])]);
    }
}
