//! Both ends of a connection with permessage-deflate, and an inflater that shares no code with the
//! crate's.

use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Limits, Receiver, Role, Sender, Version};

use super::KEY;

/// A `CodecPool` that compresses everything.
pub(crate) fn codecs() -> CodecPool {
    CodecPool::new(&DeflateConfig::default().threshold(0))
}

/// Parameters without context takeover on either side.
pub(crate) fn no_takeover() -> DeflateParams {
    DeflateParams::default().server_no_context_takeover(true).client_no_context_takeover(true)
}

/// A receiver with default limits and its own codecs.
pub(crate) fn receiver(role: Role, params: DeflateParams) -> Receiver {
    Receiver::new(Version::Rfc6455, role, Limits::default()).deflate(params, &codecs())
}

/// A sender of the given role. A client uses a fixed masking key.
pub(crate) fn sender(role: Role, params: DeflateParams, codecs: &CodecPool) -> Sender {
    match role {
        Role::Server => Sender::server(Version::Rfc6455),
        Role::Client => Sender::client(Version::Rfc6455, || KEY),
    }
    .deflate(params, codecs)
}

/// Incompressible bytes.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut random = 1u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(random >> 56).unwrap()
    };
    (0..len).map(|_| next()).collect()
}

/// The first byte of each frame of a server, and the concatenated payloads.
pub(crate) fn frames(mut wire: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut firsts, mut payload) = (Vec::new(), Vec::new());
    while let [first, len, rest @ ..] = wire {
        let (len, rest) = match len {
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()), &rest[8..]),
            126 => (u64::from(u16::from_be_bytes(rest[..2].try_into().unwrap())), &rest[2..]),
            short => (u64::from(*short), rest),
        };
        let len = usize::try_from(len).unwrap();
        firsts.push(*first);
        payload.extend_from_slice(&rest[..len]);
        wire = &rest[len..];
    }
    (firsts, payload)
}

/// A peer's inflater, written from RFC 1951. It is slow, but it records how far references go back.
#[derive(Default)]
pub(crate) struct Strict {
    /// The inflated bytes of all messages.
    pub(crate) history: Vec<u8>,
    /// The longest distance of a reference.
    pub(crate) furthest: usize,
    bits: Vec<bool>,
    at: usize,
}

const LENGTHS: [usize; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
    227, 258,
];
const LENGTH_BITS: [usize; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];

/// A canonical code: the number of symbols of each length, and the symbols in order.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        for length in lengths {
            counts[*length] += 1;
        }
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|symbol| lengths[*symbol] > 0).collect();
        symbols.sort_by_key(|symbol| lengths[*symbol]);
        Self { counts, symbols }
    }
}

impl Strict {
    /// Inflates the payload of one message. It may refer to earlier messages only if `takeover`.
    pub(crate) fn message(&mut self, payload: &[u8], takeover: bool) -> Vec<u8> {
        if !takeover {
            self.history.clear();
        }
        let start = self.history.len();
        let bytes = payload.iter().chain(&[0x00, 0x00, 0xff, 0xff]);
        self.bits = bytes.flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect();
        self.at = 0;
        while self.at < self.bits.len() {
            let last = self.take(1) == 1;
            match self.take(2) {
                0 => self.stored(),
                1 => {
                    let lengths: Vec<usize> = (0..288)
                        .map(|i| [8, 9, 7, 8][(i > 143) as usize + (i > 255) as usize + (i > 279) as usize])
                        .collect();
                    self.compressed(&lengths, &[5; 30]);
                }
                2 => {
                    let (literals, distances) = self.tables();
                    self.compressed(&literals, &distances);
                }
                other => panic!("block type {other}"),
            }
            assert!(!last, "the compressor never sets BFINAL");
        }
        self.history[start..].to_vec()
    }

    fn take(&mut self, count: usize) -> usize {
        let bits = &self.bits[self.at..self.at + count];
        self.at += count;
        bits.iter().rev().fold(0, |number, bit| number << 1 | usize::from(*bit))
    }

    fn stored(&mut self) {
        self.at = self.at.next_multiple_of(8);
        let (len, inverse) = (self.take(16), self.take(16));
        assert_eq!(len, !inverse & 0xFFFF);
        for _ in 0..len {
            let byte = u8::try_from(self.take(8)).unwrap();
            self.history.push(byte);
        }
    }

    fn tables(&mut self) -> (Vec<usize>, Vec<usize>) {
        let (literals, distances, codes) = (self.take(5) + 257, self.take(5) + 1, self.take(4) + 4);
        let mut lengths = [0; 19];
        for index in
            [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15].into_iter().take(codes)
        {
            lengths[index] = self.take(3);
        }
        let lengths = Code::new(&lengths);
        let mut all: Vec<usize> = Vec::new();
        while all.len() < literals + distances {
            let (times, value) = match self.symbol(&lengths) {
                16 => (3 + self.take(2), *all.last().unwrap()),
                17 => (3 + self.take(3), 0),
                18 => (11 + self.take(7), 0),
                value => (1, value),
            };
            all.extend(std::iter::repeat_n(value, times));
        }
        let distances = all.split_off(literals);
        (all, distances)
    }

    /// The next symbol of a canonical code.
    fn symbol(&mut self, code: &Code) -> usize {
        let (mut bits, mut first, mut index) = (0, 0, 0);
        for count in &code.counts[1..] {
            bits = bits << 1 | self.take(1);
            first <<= 1;
            if bits < first + count {
                return code.symbols[index + bits - first];
            }
            first += count;
            index += count;
        }
        panic!("no such code")
    }

    fn compressed(&mut self, literals: &[usize], distances: &[usize]) {
        let (literals, distances) = (Code::new(literals), Code::new(distances));
        loop {
            match self.symbol(&literals) {
                literal @ 0..=255 => self.history.push(u8::try_from(literal).unwrap()),
                256 => return,
                code => {
                    let len = LENGTHS[code - 257] + self.take(LENGTH_BITS[code - 257]);
                    let code = self.symbol(&distances);
                    let extra = (code / 2).saturating_sub(1);
                    let base = if code < 4 { code + 1 } else { ((2 + code % 2) << extra) + 1 };
                    let distance = base + self.take(extra);
                    self.furthest = self.furthest.max(distance);
                    assert!(distance <= self.history.len(), "the reference goes back before the start");
                    for _ in 0..len {
                        self.history.push(self.history[self.history.len() - distance]);
                    }
                }
            }
        }
    }
}
