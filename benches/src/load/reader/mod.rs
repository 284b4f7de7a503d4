//! The parser of server frames.
//!
//! It skips payloads by the length in the header, so a message costs a few instructions whatever
//! its size. It always checks that frames are valid and unmasked, and that each message has the
//! size of the message sent. The size of a compressed message is known only after inflation.
//! Therefore `verify` inflates every message; otherwise only the first message of each connection
//! is inflated.

use std::fmt;

use super::args::Draft;
use super::deflate::{Inflater, Offer};
use super::frames::Ring;

/// The expected messages.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// The messages that were sent.
    pub ring: &'a Ring,
    /// Whether to compare type and content, not only the size.
    pub verify: bool,
}

/// An error in the bytes from a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A server must not mask frames (RFC 6455 §5.1).
    #[error("the server masked a frame")]
    Masked,
    /// Reserved bits, a reserved opcode, or a draft-0 frame type that servers never send.
    #[error("a frame starts with the invalid byte {0:#04x}")]
    Unknown(u8),
    /// The top bit of the length is set, or a control frame is longer than 125 bytes or fragmented.
    #[error("a frame has an invalid length")]
    Length,
    /// A continuation without a message, or a new message inside another.
    #[error("a continuation frame is out of order")]
    Order,
    /// A message has another size than the message sent.
    #[error("message {message}: {got} bytes came back, but {want} were sent")]
    Size {
        /// The number of the message on this connection, counted from 0.
        message: u64,
        /// The received size.
        got: u64,
        /// The sent size.
        want: u64,
    },
    /// With `verify`: the content differs from the message sent.
    #[error("message {message}: the content differs from the message sent")]
    Content {
        /// The number of the message on this connection, counted from 0.
        message: u64,
    },
    /// A compressed message is corrupt, or longer than the message that was sent.
    #[error("message {message}: it does not inflate to the size sent")]
    Deflate {
        /// The number of the message on this connection, counted from 0.
        message: u64,
    },
    /// With `verify`: text came back as binary, or binary as text.
    #[error("message {message}: text came back as binary, or binary as text")]
    Kind {
        /// The number of the message on this connection, counted from 0.
        message: u64,
    },
}

/// Reads the frames of one connection from arbitrary pieces of input.
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
    /// Whether RSV1 is set on the message in progress.
    compressed: bool,
    deflate: Option<Box<Deflated>>,
}

/// State for a connection with compression: the message in progress and its inflater.
struct Deflated {
    takeover: bool,
    bytes: Vec<u8>,
    inflater: Option<Inflater>,
}

impl fmt::Debug for Deflated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflated").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a header (draft 0: before a frame's type).
    Head,
    /// In the payload of a data frame with `left` bytes to come.
    Data { left: u64, fin: bool },
    /// In the payload of a control frame with `left` bytes to come.
    Control { left: u64, close: bool },
    /// Draft 0: in text, until 0xFF.
    Text,
    /// Draft 0: after 0xFF, where 0x00 completes the closing frame.
    Closing,
}

impl Reader {
    /// Creates a reader for a connection after its handshake. `offer` is the accepted offer.
    #[must_use]
    pub fn new(draft: Draft, offer: Option<&Offer>) -> Self {
        let deflate =
            offer.map(|offer| Deflated { takeover: offer.has_takeover(), bytes: Vec::new(), inflater: None });
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

    /// The number of completed messages.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The number of received pings. They are not answered.
    #[must_use]
    pub fn pings(&self) -> u64 {
        self.pings
    }

    /// Whether a close frame was received.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The code of the received close frame, if it had one.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        Some(u16::from_be_bytes(self.code)).filter(|code| self.closed && *code != 0)
    }

    /// Parses input and returns the number of messages that it completed. Input after a close frame
    /// is ignored.
    ///
    /// # Errors
    /// [`FrameError`] for the first error. The reader must not be used after it.
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
                        for byte in &input[..take] {
                            if let Some(place) = self.code.get_mut(self.have) {
                                *place = *byte;
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

    /// Parses a header, or the part of a header that is available.
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
            let Some(byte) = input.get(taken) else { return Ok(&[]) };
            self.head[self.have] = *byte;
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

    /// Handles a piece of a message's payload.
    fn content(&mut self, part: &[u8], expect: Expect<'_>) -> Result<(), FrameError> {
        if self.compressed {
            if let Some(deflate) = &mut self.deflate
                && (expect.verify || self.messages == 0)
            {
                deflate.bytes.extend_from_slice(part);
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

    /// Inflates and compares the message that just ended.
    fn inflate(&mut self, expect: Expect<'_>) -> Result<(), FrameError> {
        let Some(deflate) = &mut self.deflate else { return Ok(()) };
        let (message, size) = (self.messages, expect.ring.size());
        let inflater = deflate.inflater.get_or_insert_with(|| Inflater::new(deflate.takeover));
        let inflated = inflater.inflate(&deflate.bytes, size).ok_or(FrameError::Deflate { message })?;
        if inflated.len() != size {
            return Err(FrameError::Size { message, got: inflated.len() as u64, want: size as u64 });
        }
        if inflated != expect.ring.payload(message) {
            return Err(FrameError::Content { message });
        }
        if expect.verify {
            deflate.bytes.clear();
        } else {
            (deflate.bytes, deflate.inflater) = (Vec::new(), None); // only the first message is inflated
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

/// The smaller of the expected and the available length.
fn clip(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

#[cfg(test)]
mod tests;
