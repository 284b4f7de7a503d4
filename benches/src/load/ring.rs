//! Messages that are encoded, compressed and masked before the clock starts.

use std::num::NonZeroUsize;

use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Sender, Version};

use super::args::MessageArgs;
use super::error::Error;
use crate::random::SplitMix;
use crate::text::{Kind, Lines};

/// The approximate size of all prepared messages in bytes. They should stay in the core's own
/// cache.
const READY: usize = 64 << 10;
/// The same for compressed messages. No message repeats within a window.
const READY_COMPRESSED: usize = 128 << 10;
const SEED: u64 = 0x5eed;

/// A ring of encoded messages of equal size, each with different content and masks.
///
/// A connection sends the messages in order, so message `n` has the content of slot `n % slots`.
#[derive(Debug)]
pub(super) struct Ring {
    encoded: Vec<u8>,
    payloads: Vec<u8>,
    slots: usize,
    size: usize,
    /// The start of each message, and the end of the last.
    starts: Vec<usize>,
    is_text: bool,
    is_compressed: bool,
    verify: bool,
}

impl Ring {
    /// Encodes as many messages as fit, at least one. With an offer, the messages are JSON, and
    /// each is compressed by itself.
    ///
    /// This is valid with context takeover too, because a message may refer to earlier messages but
    /// need not. The server must still keep the client's context, and its own messages do refer to
    /// earlier ones.
    pub(super) fn new(
        draft: Version,
        args: &MessageArgs,
        offer: Option<&DeflateConfig>,
    ) -> Result<Self, Error> {
        args.check(draft)?;
        let slots = match offer {
            Some(_) => (READY_COMPRESSED / (args.size + 8)).clamp(1, 8192),
            None => (READY / (args.size + 8)).clamp(1, 1024),
        };
        let mut ring = Self {
            encoded: Vec::new(),
            payloads: Vec::new(),
            slots,
            size: args.size,
            starts: vec![0],
            is_text: args.text || draft.is_hixie() || (offer.is_some() && !args.binary),
            is_compressed: offer.is_some(),
            verify: args.verify,
        };
        let (mut lines, mut random) = (Lines::new(Kind::Json, SEED), SplitMix(SEED));
        // With context takeover, a sender also compresses messages that do not get smaller. Each
        // message has a new sender, so it cannot refer to earlier messages.
        let deflate = offer.map(|offer| {
            let params = DeflateParams::default().client_max_window_bits(offer.client_max_window_bits);
            (params, CodecPool::with_kept(offer, 1))
        });
        for slot in 0..slots {
            let payload = match offer {
                Some(_) => lines.message(args.size).into_bytes(),
                None => noise(&mut random, args.size, ring.is_text),
            };
            let encode =
                |frame_size| encode(draft, slot as u64, deflate.as_ref(), &payload, ring.is_text, frame_size);
            let mut wire = encode(None)?;
            if args.fragments > 1 {
                let header = match wire.len() {
                    0..=131 => 6,
                    132..=65_543 => 8,
                    _ => 14,
                };
                wire = encode(NonZeroUsize::new((wire.len() - header).div_ceil(args.fragments)))?;
            }
            ring.encoded.extend(wire);
            ring.payloads.extend(payload);
            ring.starts.push(ring.encoded.len());
        }
        Ok(ring)
    }

    /// The wire size of `count` messages from number `from`, in bytes.
    pub(super) fn wire(&self, from: u64, count: u64) -> usize {
        let before = |n: u64| {
            let slots = self.slots as u64;
            let rounds = usize::try_from(n / slots).unwrap_or(0);
            rounds * self.encoded.len() + self.starts[usize::try_from(n % slots).unwrap_or(0)]
        };
        let first = from % self.slots as u64;
        before(first + count) - before(first)
    }

    /// All encoded messages, back to back.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The number of bytes from this position to the end of its message.
    pub(super) fn rest_of_message(&self, position: usize) -> usize {
        let next = self.starts.partition_point(|start| *start <= position);
        self.starts.get(next).map_or(0, |end| end - position)
    }

    /// The payload size of one message in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Payload bytes per wire byte; `None` without compression.
    #[expect(clippy::cast_precision_loss, reason = "display only")]
    pub(super) fn ratio(&self) -> Option<f64> {
        self.is_compressed.then(|| self.payloads.len() as f64 / self.encoded.len() as f64)
    }

    /// Compares a message that came back with message number `n`: always the size, and the type and
    /// content if requested. The first compressed message is always compared.
    #[inline]
    pub(super) fn check(&self, n: u64, is_text: bool, payload: &[u8]) -> Result<(), String> {
        if payload.len() != self.size {
            let (got, sent) = (payload.len(), self.size);
            return Err(format!("message {n}: {got} bytes came back, but {sent} were sent"));
        }
        if self.verify || (self.is_compressed && n == 0) {
            let slot = usize::try_from(n % self.slots as u64).unwrap_or(0);
            if is_text != self.is_text {
                return Err(format!("message {n}: text came back as binary, or binary as text"));
            }
            if payload != &self.payloads[slot * self.size..][..self.size] {
                return Err(format!("message {n}: the content differs from the message sent"));
            }
        }
        Ok(())
    }
}

/// Random bytes, or random lower-case letters.
fn noise(random: &mut SplitMix, size: usize, is_text: bool) -> Vec<u8> {
    let bytes = std::iter::repeat_with(|| random.next().to_le_bytes()).take(size.div_ceil(8)).flatten();
    bytes.map(|byte| if is_text { b'a' + byte % 26 } else { byte }).take(size).collect()
}

/// Encodes one message with its own masks. A message in a compressed ring is always compressed.
fn encode(
    draft: Version,
    seed: u64,
    deflate: Option<&(DeflateParams, CodecPool)>,
    payload: &[u8],
    is_text: bool,
    frame_size: Option<NonZeroUsize>,
) -> Result<Vec<u8>, Error> {
    let mut keys = SplitMix(seed);
    let mut sender =
        Sender::client(draft, move || keys.next().to_le_bytes().first_chunk().copied().unwrap_or_default());
    if let Some((params, codecs)) = deflate {
        sender = sender.deflate(*params, codecs);
    }
    let queued = match is_text {
        true => sender.text(&String::from_utf8_lossy(payload), frame_size),
        false => sender.binary(payload, frame_size),
    };
    queued.map_err(|error| Error::Usage(format!("cannot encode a message: {error}")))?;
    let mut wire = Vec::with_capacity(sender.queued());
    sender.write_to(&mut wire).map_err(|error| Error::io("encoding", error))?;
    Ok(wire)
}

#[cfg(test)]
mod tests {
    use clws_proto::{Event, Limits, ProtocolError, Receiver, Role};

    use super::*;

    fn ring(draft: Version, size: usize, fragments: usize, offer: Option<&DeflateConfig>) -> Ring {
        let args = MessageArgs { size, text: false, binary: false, fragments, verify: true };
        Ring::new(draft, &args, offer).unwrap()
    }

    /// Receives as a server, and returns the number of messages.
    fn receive(
        ring: &Ring,
        draft: Version,
        offer: Option<&DeflateConfig>,
        limits: Limits,
    ) -> Result<u64, ProtocolError> {
        let mut receiver = Receiver::new(draft, Role::Server, limits);
        if let Some(offer) = offer {
            receiver = receiver.deflate(DeflateParams::default(), &CodecPool::new(offer));
        }
        let (mut wire, mut n) = (ring.encoded.clone(), 0);
        let mut events = receiver.receive(&mut wire);
        while let Some(event) = events.next()? {
            match event {
                Event::Text(text) => ring.check(n, true, text.as_bytes()).unwrap(),
                Event::Binary(payload) => ring.check(n, false, &payload).unwrap(),
                other => panic!("{other:?}"),
            }
            n += 1;
        }
        Ok(n)
    }

    #[test]
    fn a_server_receives_what_check_expects() {
        let offer = DeflateConfig::default().threshold(0);
        let plain = Version::ALL.map(|draft| (draft, None, &[0, 125, 126, 65_535, 65_536][..]));
        let compressed = (Version::Rfc6455, Some(&offer), &[125, 65_536][..]);
        for (draft, offer, sizes) in plain.into_iter().chain([compressed]) {
            for size in sizes {
                let ring = ring(draft, *size, 1, offer);
                assert_eq!(
                    receive(&ring, draft, offer, Limits::default()),
                    Ok(ring.slots as u64),
                    "{draft} {size}"
                );
            }
        }
    }

    #[test]
    fn messages_have_the_requested_number_of_frames() {
        let offer = DeflateConfig::default().threshold(0);
        for offer in [None, Some(&offer)] {
            let ring = ring(Version::Rfc6455, 1000, 3, offer);
            let receive = |max| receive(&ring, Version::Rfc6455, offer, Limits::default().max_fragments(max));
            assert_eq!(receive(3), Ok(ring.slots as u64));
            assert_eq!(receive(2), Err(ProtocolError::TooManyFragments { limit: 2 }));
        }
    }

    #[test]
    fn positions_belong_to_the_message_that_they_are_in() {
        let ring = ring(Version::Rfc6455, 10, 1, None); // 16 bytes each on the wire
        for (position, rest) in [(0, 16), (1, 15), (15, 1), (16, 16), (ring.encoded.len() - 1, 1)] {
            assert_eq!(ring.rest_of_message(position), rest, "{position}");
        }
    }

    #[test]
    fn compressed_messages_differ_in_length() {
        let ring = ring(Version::Rfc6455, 300, 1, Some(&DeflateConfig::default().threshold(0)));
        let slots = ring.slots as u64;
        assert!(ring.ratio().unwrap() > 1.2 && ring.is_text);
        assert_ne!(ring.wire(0, 1), ring.wire(1, 1));
        for (from, count) in [(0, 0), (0, 1), (slots - 1, 3), (5, 2 * slots + 1)] {
            let sum: usize = (from..from + count).map(|n| ring.wire(n, 1)).sum();
            assert_eq!(ring.wire(from, count), sum, "{from} {count}");
        }
        let mut first_bytes = ring.starts.iter().filter_map(|start| ring.encoded.get(*start));
        assert!(first_bytes.all(|first| *first == 0xc1), "FIN, RSV1, text");
    }
}
