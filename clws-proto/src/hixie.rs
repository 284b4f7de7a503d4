//! The framing of hixie-76/hybi-00.

use crate::event::Text;
use crate::header::Opcode;
use crate::receive::Step;
use crate::{Limits, ProtocolError};

/// Where in the stream a receiver is; no payload is held between messages.
///
/// Boxed as a whole: it keeps the receivers of the other drafts small.
#[derive(Debug, Default)]
pub(crate) struct Hixie {
    state: Box<State>,
}

#[derive(Debug, Default)]
enum State {
    /// At a frame type.
    #[default]
    Type,
    /// In text, its 0xFF has not come.
    Text(Vec<u8>),
    /// In a frame of another type below 0x80 that ends with 0xFF: so many octets were discarded.
    Discard(usize),
    /// In the length of a frame of a type from 0x80.
    Length { frame_type: u8, length: usize },
    /// In the payload of such a frame: so many octets are to be discarded.
    Skip(usize),
}

/// The text of a frame.
///
/// A server of the draft reads the octets between 0x00 and 0xFF "as a UTF-8 string"; like the draft's own clients we
/// put U+FFFD where they are not UTF-8, since the draft has no way to tell the client of an error, and the user agents
/// that speak it replace before they send.
pub(crate) fn text(octets: &[u8]) -> Text<'_> {
    match simdutf8::basic::from_utf8(octets) {
        Ok(text) => Text::borrowed(text),
        Err(_) => Text::assembled(String::from_utf8_lossy(octets).into_owned()),
    }
}

impl Hixie {
    /// Goes on from `position` to the next event.
    pub(crate) fn step(
        &mut self,
        buffer: &[u8],
        position: &mut usize,
        limits: &Limits,
    ) -> Result<Step, ProtocolError> {
        let max = limits.max_frame_size.min(limits.max_message_size);
        loop {
            let rest = buffer.get(*position..).unwrap_or_default();
            let Some(&first) = rest.first() else { return Ok(Step::Starved) };
            match &mut *self.state {
                State::Type => {
                    *position += 1;
                    // hixie-76, "Data framing": a type with its high bit clear is followed by octets up to 0xFF, one
                    // with its high bit set by a length and so many octets.
                    match first {
                        0x00 => match memchr::memchr(0xFF, rest) {
                            Some(end) => {
                                let start = *position;
                                let end = *position - 1 + end;
                                *position = end + 1;
                                if end - start > max {
                                    return Err(ProtocolError::MessageTooBig { limit: max });
                                }
                                return Ok(Step::Lent { opcode: Opcode::Text, start, end });
                            }
                            None => *self.state = State::Text(Vec::new()),
                        },
                        0x01..=0x7F => *self.state = State::Discard(0),
                        0x80.. => *self.state = State::Length { frame_type: first, length: 0 },
                    }
                }
                State::Text(text) => {
                    let end = memchr::memchr(0xFF, rest);
                    let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                    if piece.len() > max - text.len() {
                        return Err(ProtocolError::MessageTooBig { limit: max });
                    }
                    text.extend_from_slice(piece);
                    *position += piece.len();
                    if end.is_some() {
                        *position += 1;
                        let octets = std::mem::take(text);
                        *self.state = State::Type;
                        return Ok(Step::Text(match String::from_utf8(octets) {
                            Ok(text) => text,
                            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
                        }));
                    }
                }
                State::Discard(discarded) => {
                    let end = memchr::memchr(0xFF, rest);
                    let count = end.unwrap_or(rest.len());
                    *position += count;
                    *discarded = discarded.saturating_add(count);
                    if *discarded > max {
                        return Err(ProtocolError::DiscardTooBig { limit: max });
                    }
                    if end.is_some() {
                        *position += 1;
                        *self.state = State::Type;
                    }
                }
                State::Length { frame_type, length } => {
                    *position += 1;
                    // hixie-76, "Data framing": the length is in base 128, the high bit says that more digits follow.
                    let digit = usize::from(first & 0x7F);
                    *length = length.saturating_mul(128).saturating_add(digit);
                    if *length > max {
                        return Err(ProtocolError::DiscardTooBig { limit: max });
                    }
                    if first & 0x80 == 0 {
                        let (frame_type, length) = (*frame_type, *length);
                        *self.state = if length == 0 { State::Type } else { State::Skip(length) };
                        // hixie-76, "Closing handshake": the frame 0xFF 0x00.
                        if frame_type == 0xFF && length == 0 {
                            return Ok(Step::Control(Opcode::Close, Vec::new()));
                        }
                    }
                }
                State::Skip(left) => {
                    let count = rest.len().min(*left);
                    *position += count;
                    *left -= count;
                    if *left == 0 {
                        *self.state = State::Type;
                    }
                }
            }
        }
    }

    pub(crate) fn held(&self) -> usize {
        match &*self.state {
            State::Text(text) => text.capacity(),
            _ => 0,
        }
    }
}
