//! The framing of hixie-75 and of hixie-76/hybi-00, which adds the close frame.

use crate::error::ProtocolError;
use crate::frame::header::Opcode;
use crate::limits::Limits;
use crate::message::event::Text;
use crate::message::text::reserve_bounded;
use crate::receive::decoded::Decoded;
use crate::receive::hixie_pieces::TextPieces;
use crate::receive::input::Cursor;
use crate::version::Version;

/// The decoder's state. It holds no payload between messages.
///
/// Boxed as a whole, to keep the receivers of the other drafts small.
#[derive(Debug)]
pub(crate) struct Hixie(Box<Inner>);

#[derive(Debug)]
struct Inner {
    state: State,
    /// Whether 0xFF 0x00 starts the closing handshake. Hixie-75 discards it like other frames.
    has_close_frame: bool,
    /// Longer messages are delivered in pieces.
    stream_above: usize,
}

#[derive(Debug, Default)]
enum State {
    /// Before a frame type.
    #[default]
    Type,
    /// In a text frame.
    Text(Vec<u8>),
    /// The next bytes belong to a text frame that is delivered in pieces.
    Pieces(TextPieces),
    /// In another frame that ends with 0xFF. Holds the number of discarded bytes.
    Discard(usize),
    /// In the length of a frame whose type is 0x80 or more.
    Length { frame_type: u8, length: usize },
    /// In the payload of such a frame. Holds the number of bytes left to discard.
    Skip(usize),
}

/// The text of a frame.
///
/// Invalid UTF-8 is replaced by U+FFFD. hybi-00 §4.3 requires that of clients. For servers §5.4
/// says: "behavior is undefined. A server could close the connection, convert invalid byte
/// sequences to U+FFFD REPLACEMENT CHARACTERs, store the data verbatim, or perform
/// application-specific processing." Both roles replace, because the draft has no way to report the
/// error to the peer.
pub(crate) fn text(bytes: &[u8]) -> Text<'_> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Text::borrowed(text),
        Err(_) => Text::replaced(String::from_utf8_lossy(bytes).into_owned()),
    }
}

impl Hixie {
    pub(crate) fn new(version: Version) -> Self {
        Self(Box::new(Inner {
            state: State::default(),
            has_close_frame: version.has_close_frame(),
            stream_above: usize::MAX,
        }))
    }

    /// Delivers messages longer than `above` bytes in pieces.
    pub(super) fn stream_messages(&mut self, above: usize) {
        self.0.stream_above = above;
    }

    /// Discards all received data.
    pub(crate) fn reset(&mut self) {
        self.0.state = State::default();
    }

    /// Decodes from `position` up to the next event.
    pub(crate) fn step(
        &mut self,
        Cursor { buffer, position, max_frames, .. }: Cursor<'_>,
        limits: &Limits,
    ) -> Result<Decoded, ProtocolError> {
        let max = limits.max_frame_size.min(limits.max_message_size);
        let Inner { state, has_close_frame, stream_above } = &mut *self.0;
        let mut frames_left = max_frames;
        loop {
            let rest = buffer.get(*position..).unwrap_or_default();
            let Some(&first) = rest.first() else { return Ok(Decoded::NeedInput) };
            match state {
                State::Type if frames_left == 0 => return Ok(Decoded::NeedInput),
                State::Type => {
                    frames_left -= 1;
                    *position += 1;
                    // hybi-00 §1.2: "Frames denoted by bytes that do not have the high bit set
                    // (0x00 to 0x7F) are treated as a stream of bytes terminated by 0xFF. Frames
                    // denoted by bytes that have the high bit set (0x80 to 0xFF) have a leading
                    // length indicator".
                    match first {
                        0x00 => match memchr::memchr(0xFF, rest) {
                            Some(end) if end - 1 > *stream_above => {
                                *state = State::Pieces(TextPieces::default());
                            }
                            Some(end) => {
                                let start = *position;
                                let end = *position - 1 + end;
                                *position = end + 1;
                                if end - start > max {
                                    return Err(ProtocolError::MessageTooBig { limit: max });
                                }
                                return Ok(Decoded::InPlace { opcode: Opcode::Text, start, end });
                            }
                            None => *state = State::Text(Vec::new()),
                        },
                        0x01..=0x7F => *state = State::Discard(0),
                        0x80.. => *state = State::Length { frame_type: first, length: 0 },
                    }
                }
                State::Text(text) => {
                    let end = memchr::memchr(0xFF, rest);
                    let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                    if piece.len() > max - text.len() {
                        return Err(ProtocolError::MessageTooBig { limit: max });
                    }
                    if text.len() + piece.len() > *stream_above {
                        let (mut pieces, held) = (TextPieces::default(), std::mem::take(text));
                        let piece = pieces.held(held);
                        *state = State::Pieces(pieces);
                        match piece {
                            Some(piece) => return Ok(piece),
                            None => continue,
                        }
                    }
                    let (len, capacity) = (text.len(), text.capacity());
                    reserve_bounded(len, capacity, piece.len(), max, |n| text.reserve_exact(n));
                    text.extend_from_slice(piece);
                    *position += piece.len();
                    if end.is_some() {
                        *position += 1;
                        let bytes = std::mem::take(text);
                        *state = State::Type;
                        return Ok(Decoded::Text(match String::from_utf8(bytes) {
                            Ok(text) => text,
                            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
                        }));
                    }
                }
                State::Pieces(pieces) => {
                    let (piece, is_last) = pieces.next(rest, position, max)?;
                    if is_last {
                        *state = State::Type;
                    }
                    if let Some(piece) = piece {
                        return Ok(piece);
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
                        *state = State::Type;
                    }
                }
                State::Length { frame_type, length } => {
                    *position += 1;
                    // hybi-00 §1.2: "a series of 7-bit bytes stored in octets with the 8th bit
                    // being set for all but the last byte"; §5.3 warns of lengths that overflow an
                    // integer.
                    let digit = usize::from(first & 0x7F);
                    *length = length.saturating_mul(128).saturating_add(digit);
                    if *length > max {
                        return Err(ProtocolError::DiscardTooBig { limit: max });
                    }
                    if first & 0x80 == 0 {
                        let (frame_type, length) = (*frame_type, *length);
                        *state = if length == 0 { State::Type } else { State::Skip(length) };
                        // hybi-00 §5.3: "If /type/ is 0xFF and /length/ is 0, then set the /client
                        // terminated/ flag and abort these steps. All further data sent by the
                        // client should be discarded."
                        if *has_close_frame && frame_type == 0xFF && length == 0 {
                            return Ok(Decoded::Control(Opcode::Close, Vec::new()));
                        }
                    }
                }
                State::Skip(left) => {
                    let count = rest.len().min(*left);
                    *position += count;
                    *left -= count;
                    if *left == 0 {
                        *state = State::Type;
                    }
                }
            }
        }
    }

    /// Whether `rest` starts the closing handshake, hybi-00 §5.3.
    pub(crate) fn is_close(&self, rest: &[u8]) -> bool {
        self.0.has_close_frame && self.is_between_frames() && rest.starts_with(&[0xFF, 0x00])
    }

    /// Whether no frame is incomplete.
    pub(crate) fn is_between_frames(&self) -> bool {
        matches!(self.0.state, State::Type)
    }

    pub(crate) fn held(&self) -> usize {
        match &self.0.state {
            State::Text(text) => text.capacity(),
            _ => 0,
        }
    }
}
