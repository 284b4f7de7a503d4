//! What the server sends: counted, and checked no further than asked.
//!
//! Frames are skipped by the length in their header, so a message costs a few instructions whatever its size. What is
//! always checked: that the frames are frames, that they are unmasked, and that each message has the size of the one sent.
//! The size of a compressed message is not seen before it is inflated: with `verify` all are, else the first of each
//! connection.

use std::fmt;

use super::args::Draft;
use super::deflate::{Inflater, Offer};
use super::frames::Ring;

/// What is due to come back.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// The messages that were sent.
    pub ring: &'a Ring,
    /// Compare kind and content as well, not the size alone.
    pub verify: bool,
}

/// What was wrong with a server's octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A server must not mask (RFC 6455 §5.1).
    #[error("the server masked a frame")]
    Masked,
    /// Reserved bits, a reserved opcode, or a draft-0 frame type that servers never send.
    #[error("a frame that starts with {0:#04x}")]
    Unknown(u8),
    /// The length's top bit is set, or a control frame is longer than 125 or fragmented.
    #[error("a frame with an impossible length")]
    Length,
    /// A continuation of nothing, or a new message inside another.
    #[error("a continuation frame out of order")]
    Order,
    /// A message of another size than was sent.
    #[error("message {message}: {got} octets came back, {want} were sent")]
    Size {
        /// Which message of this connection, counted from 0.
        message: u64,
        /// Its size.
        got: u64,
        /// The size sent.
        want: u64,
    },
    /// With `verify`: other content than was sent.
    #[error("message {message}: other octets came back than were sent")]
    Content {
        /// Which message of this connection, counted from 0.
        message: u64,
    },
    /// Compressed octets that are corrupt, or that inflate to more than was sent.
    #[error("message {message}: it cannot be inflated to the size sent")]
    Deflate {
        /// Which message of this connection, counted from 0.
        message: u64,
    },
    /// With `verify`: text came back as binary or the other way round.
    #[error("message {message}: text came back as binary, or binary as text")]
    Kind {
        /// Which message of this connection, counted from 0.
        message: u64,
    },
}

/// Reads the frames of one connection, however its octets are cut.
#[derive(Debug)]
pub struct Reader {
    hixie: bool,
    state: State,
    head: [u8; 10],
    have: usize,
    in_message: bool,
    got: u64,
    messages: u64,
    pings: u64,
    closed: bool,
    code: [u8; 2],
    /// RSV1 is set on the message in progress.
    compressed: bool,
    deflate: Option<Box<Deflated>>,
}

/// Where compression was agreed on: the message in progress, and what inflates it.
struct Deflated {
    takeover: bool,
    octets: Vec<u8>,
    inflater: Option<Inflater>,
}

impl fmt::Debug for Deflated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflated").field("octets", &self.octets.len()).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a header (draft 0: before a frame's type).
    Head,
    /// In a frame's content: octets still to come, final or not.
    Data { left: u64, fin: bool },
    /// In a control frame's content: octets still to come, and whether it is a Close.
    Control { left: u64, close: bool },
    /// Draft 0: in text, until 0xFF.
    Text,
    /// Draft 0: behind 0xFF, where 0x00 completes the closing frame.
    Closing,
}

impl Reader {
    /// A reader for a connection that just finished its handshake, with this offer agreed to.
    #[must_use]
    pub fn new(draft: Draft, offer: Option<&Offer>) -> Self {
        let deflate = offer.map(|offer| Deflated {
            takeover: offer.has_takeover(),
            octets: Vec::new(),
            inflater: None,
        });
        Self {
            hixie: draft == Draft::Hybi00,
            state: State::Head,
            head: [0; 10],
            have: 0,
            in_message: false,
            got: 0,
            messages: 0,
            pings: 0,
            closed: false,
            code: [0; 2],
            compressed: false,
            deflate: deflate.map(Box::new),
        }
    }

    /// Messages completed so far.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Pings seen so far (they are not answered).
    #[must_use]
    pub fn pings(&self) -> u64 {
        self.pings
    }

    /// Whether a Close came.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The code of the Close that came, if it had one.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        Some(u16::from_be_bytes(self.code)).filter(|code| self.closed && *code != 0)
    }

    /// Takes octets as they came; tells how many messages they completed. What follows a Close is ignored.
    ///
    /// # Errors
    /// [`FrameError`] as soon as something is wrong; the reader is then of no further use.
    pub fn feed(&mut self, mut input: &[u8], expect: Expect<'_>) -> Result<u64, FrameError> {
        let before = self.messages;
        while !input.is_empty() && !self.closed {
            match self.state {
                State::Head if self.hixie => {
                    self.state = match input[0] {
                        0x00 => State::Text,
                        0xff => State::Closing,
                        other => return Err(FrameError::Unknown(other)),
                    };
                    input = &input[1..];
                }
                State::Head => input = self.header(input, expect)?,
                State::Data { left, fin } => {
                    let take = clip(left, input.len());
                    self.content(&input[..take], expect)?;
                    input = &input[take..];
                    self.state = State::Data { left: left - take as u64, fin };
                    self.end_data(expect)?;
                }
                State::Control { left, close } => {
                    let take = clip(left, input.len());
                    if close {
                        for octet in &input[..take] {
                            if let Some(place) = self.code.get_mut(self.have) {
                                *place = *octet;
                                self.have += 1;
                            }
                        }
                    }
                    input = &input[take..];
                    self.state = State::Control { left: left - take as u64, close };
                    self.end_control();
                }
                State::Text => match memchr::memchr(0xff, input) {
                    Some(end) => {
                        self.content(&input[..end], expect)?;
                        input = &input[end + 1..];
                        self.end_message(expect)?;
                    }
                    None => {
                        self.content(input, expect)?;
                        input = &[];
                    }
                },
                State::Closing => {
                    if input[0] != 0 {
                        return Err(FrameError::Unknown(0xff));
                    }
                    self.closed = true;
                }
            }
        }
        Ok(self.messages - before)
    }

    /// Reads a header, or as much of one as there is.
    fn header<'a>(&mut self, input: &'a [u8], expect: Expect<'_>) -> Result<&'a [u8], FrameError> {
        let mut taken = 0;
        loop {
            let need = match (self.have, self.head[1] & 0x7f) {
                (0 | 1, _) => 2,
                (_, 126) => 4,
                (_, 127) => 10,
                _ => 2,
            };
            if self.have == need {
                break;
            }
            let Some(octet) = input.get(taken) else { return Ok(&[]) };
            self.head[self.have] = *octet;
            self.have += 1;
            taken += 1;
        }
        self.have = 0;
        let [first, second, ..] = self.head;
        if second & 0x80 != 0 {
            return Err(FrameError::Masked);
        }
        let left = match second {
            126 => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
            127 => {
                let [_, _, length @ ..] = self.head;
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        };
        let fin = first & 0x80 != 0;
        let compressed = self.deflate.is_some() && matches!(first & 0x7f, 0x41 | 0x42);
        match first & if compressed { 0x3f } else { 0x7f } {
            opcode @ 0..=2 => {
                if self.in_message != (opcode == 0) {
                    return Err(FrameError::Order);
                }
                if left >> 63 != 0 {
                    return Err(FrameError::Length);
                }
                if expect.verify && opcode != 0 && (opcode == 1) != expect.ring.is_text() {
                    return Err(FrameError::Kind { message: self.messages });
                }
                self.in_message = true;
                self.compressed |= compressed;
                self.state = State::Data { left, fin };
                self.end_data(expect)?;
            }
            opcode @ 8..=10 => {
                if !fin || left > 125 {
                    return Err(FrameError::Length);
                }
                self.pings += u64::from(opcode == 9);
                self.state = State::Control { left, close: opcode == 8 };
                self.end_control();
            }
            _ => return Err(FrameError::Unknown(first)),
        }
        Ok(&input[taken..])
    }

    /// Content of a message.
    fn content(&mut self, part: &[u8], expect: Expect<'_>) -> Result<(), FrameError> {
        if self.compressed {
            if let Some(deflate) = &mut self.deflate
                && (expect.verify || self.messages == 0)
            {
                deflate.octets.extend_from_slice(part);
            }
        } else if expect.verify {
            let payload = expect.ring.payload(self.messages);
            let from = usize::try_from(self.got).unwrap_or(usize::MAX);
            let due = payload.get(from..).and_then(|rest| rest.get(..part.len()));
            if due.is_some_and(|due| due != part) {
                return Err(FrameError::Content { message: self.messages });
            }
        }
        self.got += part.len() as u64;
        Ok(())
    }

    fn end_data(&mut self, expect: Expect<'_>) -> Result<(), FrameError> {
        match self.state {
            State::Data { left: 0, fin: true } => self.end_message(expect),
            State::Data { left: 0, fin: false } => {
                self.state = State::Head;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end_message(&mut self, expect: Expect<'_>) -> Result<(), FrameError> {
        let want = expect.ring.size() as u64;
        if self.compressed {
            if expect.verify || self.messages == 0 {
                self.inflate(expect)?;
            }
            self.compressed = false;
        } else if self.got != want {
            return Err(FrameError::Size { message: self.messages, got: self.got, want });
        }
        self.messages += 1;
        self.got = 0;
        self.in_message = false;
        self.state = State::Head;
        Ok(())
    }

    /// Inflates the message that just ended, and compares it.
    fn inflate(&mut self, expect: Expect<'_>) -> Result<(), FrameError> {
        let Some(deflate) = &mut self.deflate else { return Ok(()) };
        let (message, size) = (self.messages, expect.ring.size());
        let inflater = deflate.inflater.get_or_insert_with(|| Inflater::new(deflate.takeover));
        let inflated = inflater.inflate(&deflate.octets, size).ok_or(FrameError::Deflate { message })?;
        if inflated.len() != size {
            return Err(FrameError::Size { message, got: inflated.len() as u64, want: size as u64 });
        }
        if inflated != expect.ring.payload(message) {
            return Err(FrameError::Content { message });
        }
        if expect.verify {
            deflate.octets.clear();
        } else {
            (deflate.octets, deflate.inflater) = (Vec::new(), None); // it was the first and the last
        }
        Ok(())
    }

    fn end_control(&mut self) {
        if let State::Control { left: 0, close } = self.state {
            self.closed = close;
            self.have = 0;
            self.state = State::Head;
        }
    }
}

/// The smaller of what is due and what is there.
fn clip(left: u64, there: usize) -> usize {
    usize::try_from(left).map_or(there, |left| left.min(there))
}

#[cfg(test)]
mod tests {
    use super::super::args::MessageArgs;
    use super::super::deflate::Compressor;
    use super::*;

    fn ring(draft: Draft, size: usize, text: bool) -> Ring {
        Ring::new(draft, &MessageArgs { size, text, binary: false, fragments: 1, verify: true }, None)
            .unwrap()
    }

    fn frame(first: u8, body: &[u8]) -> Vec<u8> {
        let mut wire = vec![first];
        match body.len() {
            0..=125 => wire.push(u8::try_from(body.len()).unwrap()),
            126..=0xffff => {
                wire.push(126);
                wire.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
            }
            _ => {
                wire.push(127);
                wire.extend((body.len() as u64).to_be_bytes());
            }
        }
        wire.extend(body);
        wire
    }

    fn read(wire: &[u8], ring: &Ring, step: usize) -> Result<Reader, FrameError> {
        let mut reader = Reader::new(Draft::Rfc6455, None);
        let mut messages = 0;
        for part in wire.chunks(step) {
            messages += reader.feed(part, Expect { ring, verify: true })?;
        }
        assert_eq!(messages, reader.messages());
        Ok(reader)
    }

    #[test]
    fn any_cut_gives_the_same_messages() {
        for size in [0, 1, 125, 126, 300, 65_536] {
            let ring = ring(Draft::Rfc6455, size, false);
            let mut wire = Vec::new();
            for n in 0..3 {
                let payload = ring.payload(n);
                let (a, b) = payload.split_at(size / 3);
                wire.extend(frame(0x02, a));
                wire.extend(frame(0x89, b"ping"));
                wire.extend(frame(0x80, b));
                // and the next message in one frame
            }
            wire.extend(frame(0x82, ring.payload(3)));
            for step in [1, 2, 3, 7, 64, 4096, wire.len()] {
                let reader = read(&wire, &ring, step).unwrap();
                assert_eq!(
                    (reader.messages(), reader.pings(), reader.is_closed()),
                    (4, 3, false),
                    "{size} {step}"
                );
            }
        }
    }

    #[test]
    fn a_close_tells_its_code() {
        let ring = ring(Draft::Rfc6455, 4, false);
        for step in [1, 100] {
            let mut wire = frame(0x82, ring.payload(0));
            wire.extend(frame(0x88, &[0x03, 0xf1, b'w', b'h', b'y']));
            wire.extend([0xff; 9]);
            let reader = read(&wire, &ring, step).unwrap();
            assert_eq!((reader.messages(), reader.is_closed(), reader.close_code()), (1, true, Some(1009)));
            let bare = read(&frame(0x88, b""), &ring, step).unwrap();
            assert_eq!((bare.is_closed(), bare.close_code()), (true, None));
        }
    }

    #[test]
    fn wrong_octets_are_found() {
        let ring = ring(Draft::Rfc6455, 4, true);
        let good = ring.payload(0).to_vec();
        let mut bad = good.clone();
        bad[3] ^= 1;
        let error = |wire: &[u8]| read(wire, &ring, wire.len()).unwrap_err();
        assert_eq!(error(&[0x82, 0x84, 0, 0, 0, 0]), FrameError::Masked);
        assert_eq!(error(&[0x83, 0x01]), FrameError::Unknown(0x83));
        assert_eq!(error(&[0xc1, 0x01]), FrameError::Unknown(0xc1));
        assert_eq!(error(&[0x80, 0x01]), FrameError::Order);
        assert_eq!(error(&[0x01, 0x01, good[0], 0x01, 0x01]), FrameError::Order);
        assert_eq!(error(&[0x89, 126, 0, 126]), FrameError::Length);
        assert_eq!(error(&[0x09, 0]), FrameError::Length);
        assert_eq!(error(&[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), FrameError::Length);
        assert_eq!(error(&frame(0x81, &bad)), FrameError::Content { message: 0 });
        assert_eq!(error(&frame(0x82, &good)), FrameError::Kind { message: 0 });
        assert_eq!(error(&frame(0x81, &good[..3])), FrameError::Size { message: 0, got: 3, want: 4 });
        let long = [&good[..], b"x"].concat();
        assert_eq!(error(&frame(0x81, &long)), FrameError::Size { message: 0, got: 5, want: 4 });
    }

    #[test]
    fn compressed_messages_are_inflated() {
        let offer = Offer::new(false, 15);
        let args = MessageArgs { size: 200, text: true, binary: false, fragments: 1, verify: true };
        let ring = Ring::new(Draft::Rfc6455, &args, Some(&offer)).unwrap();
        let mut compressor = Compressor::new(&offer);
        let mut wire = Vec::new();
        for n in 0..3 {
            let octets = compressor.compress(ring.payload(n)).unwrap();
            let (a, b) = octets.split_at(octets.len() / 2);
            wire.extend([frame(0x41, a), frame(0x89, b"ping"), frame(0x80, b)].concat());
        }
        wire.extend(frame(0x81, ring.payload(3))); // and one that the server did not compress
        for (verify, step) in [(true, 1), (true, 4096), (false, 7)] {
            let mut reader = Reader::new(Draft::Rfc6455, Some(&offer));
            for part in wire.chunks(step) {
                reader.feed(part, Expect { ring: &ring, verify }).unwrap();
            }
            assert_eq!((reader.messages(), reader.pings()), (4, 3));
        }
        let error = |wire: &[u8], offer| {
            let expect = Expect { ring: &ring, verify: false };
            Reader::new(Draft::Rfc6455, offer).feed(wire, expect).unwrap_err()
        };
        let mut other = |text: &[u8]| frame(0xc1, &compressor.compress(text).unwrap());
        assert_eq!(error(&other(ring.payload(1)), Some(&offer)), FrameError::Content { message: 0 });
        let short = FrameError::Size { message: 0, got: 2, want: 200 };
        assert_eq!(error(&other(b"la"), Some(&offer)), short);
        assert_eq!(error(&other(&[b'a'; 201]), Some(&offer)), FrameError::Deflate { message: 0 });
        assert_eq!(error(&[0xc9, 0], Some(&offer)), FrameError::Unknown(0xc9));
        assert_eq!(error(&other(ring.payload(0)), None), FrameError::Unknown(0xc1));
    }

    #[test]
    fn without_verify_only_the_size_counts() {
        let ring = ring(Draft::Rfc6455, 4, true);
        let mut reader = Reader::new(Draft::Rfc6455, None);
        let expect = Expect { ring: &ring, verify: false };
        assert_eq!(reader.feed(&frame(0x82, b"????"), expect), Ok(1));
        assert!(reader.feed(&frame(0x82, b"???"), expect).is_err());
    }

    #[test]
    fn draft_0() {
        let ring = ring(Draft::Hybi00, 5, true);
        let mut wire = Vec::new();
        for n in 0..2 {
            wire.push(0);
            wire.extend(ring.payload(n));
            wire.push(0xff);
        }
        wire.extend([0xff, 0x00]);
        for step in [1, 3, 100] {
            let mut reader = Reader::new(Draft::Hybi00, None);
            for part in wire.chunks(step) {
                reader.feed(part, Expect { ring: &ring, verify: true }).unwrap();
            }
            assert_eq!((reader.messages(), reader.is_closed(), reader.close_code()), (2, true, None));
        }
        let expect = Expect { ring: &ring, verify: true };
        assert_eq!(Reader::new(Draft::Hybi00, None).feed(&[0x81], expect), Err(FrameError::Unknown(0x81)));
        assert_eq!(
            Reader::new(Draft::Hybi00, None).feed(&[0xff, 0x01], expect),
            Err(FrameError::Unknown(0xff))
        );
    }
}
