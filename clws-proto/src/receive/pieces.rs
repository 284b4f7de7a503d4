//! The frames of long messages, delivered in pieces.

use crate::buffer::pool::BufferPool;
use crate::deflate::extension::{Extension, Streaming};
use crate::error::ProtocolError;
use crate::frame::header::Header;
use crate::frame::mask::apply_mask;
use crate::limits::Limits;
use crate::message::assembler::MessageAssembler;
use crate::message::text::incomplete_len;
use crate::receive::decoded::{Decoded, PieceBytes};
use crate::receive::partial::{Frame, Partial};

/// A piece of inflated data is delivered when it has this length. One more output buffer may have
/// been added by then.
const PIECE_SIZE: usize = 16 * 1024;

/// The number of compressed bytes that are unmasked at once. The decompressor may leave some of
/// them for its next output.
const MAX_COMPRESSED_READ: usize = 4096;

/// Whether the message of an unfragmented frame may be delivered in pieces. The length of a
/// compressed message is not known.
#[inline]
pub(super) fn may_be_long<E: Extension>(header: &Header, extension: &mut E) -> bool {
    E::STREAMS
        && !header.opcode.is_control()
        && (header.compressed
            || extension.streaming().is_some_and(|streaming| streaming.state.is_long(header.payload_len)))
}

/// Whether there may be another piece without more input.
#[inline]
pub(super) fn has_output<E: Extension>(extension: &mut E) -> bool {
    E::STREAMS && extension.streaming().is_some_and(|streaming| streaming.state.has_output)
}

/// The result of decoding a part of a data frame.
pub(super) enum Part {
    Decoded(Decoded),
    /// The frame is complete, and its message goes on.
    FrameDone,
    /// The message is short so far. The frame is to be assembled.
    Short(Frame),
}

impl Partial {
    /// Decodes a part of a data frame, which may belong to a long message.
    pub(super) fn stream_frame(
        &mut self,
        frame: Frame,
        buffer: &mut [u8],
        position: &mut usize,
        limits: &Limits,
        buffers: &dyn BufferPool,
        streaming: Streaming<'_>,
    ) -> Result<Part, ProtocolError> {
        let Some(message) = &mut self.message else { return Ok(Part::Short(frame)) };
        if message.compressed {
            return self.inflate_frame(frame, buffer, position, limits, buffers, streaming);
        }
        let state = streaming.state;
        let Frame { header, mut received } = frame;
        let remaining = header.payload_len - received;
        if !state.is_active {
            if !state.is_long(message.data.len() + remaining) {
                return Ok(Part::Short(frame));
            }
            state.is_active = true;
            // Earlier frames were assembled, because the message was short.
            if message.data.complete_len() > 0 {
                self.frame = Some(frame);
                let data = PieceBytes::take(&mut message.data);
                return Ok(Part::Decoded(Decoded::Piece {
                    first: state.deliver(data.len()),
                    data,
                    last: false,
                }));
            }
        }

        let start = *position;
        let rest = buffer.get_mut(start..).unwrap_or_default();
        let available = remaining.min(rest.len());
        let bytes = rest.get_mut(..available).unwrap_or_default();
        let (data, count) = match &mut message.data {
            // The previous piece ended within a character.
            MessageAssembler::Text(text) if text.is_cut() => {
                let mut count = 0;
                while text.is_cut()
                    && let Some(byte) = bytes.get_mut(count)
                {
                    let byte = std::slice::from_mut(byte);
                    apply_mask(header.key, received + count, byte);
                    text.push(byte)?;
                    count += 1;
                }
                (PieceBytes::Text(text.take()), count)
            }
            MessageAssembler::Text(text) => {
                apply_mask(header.key, received, bytes);
                let complete = available - incomplete_len(bytes);
                text.push(bytes.get(complete..).unwrap_or_default())?;
                (PieceBytes::TextInPlace { start, end: start + complete }, available)
            }
            MessageAssembler::Binary(_) => {
                apply_mask(header.key, received, bytes);
                (PieceBytes::BinaryInPlace { start, end: start + available }, available)
            }
        };
        *position += count;
        received += count;
        let is_done = received == header.payload_len;
        let last = is_done && header.fin;
        if last && message.data.is_cut() {
            return Err(ProtocolError::InvalidUtf8);
        }
        if !is_done {
            self.frame = Some(Frame { header, received });
        }
        if data.len() == 0 && !last {
            return Ok(if is_done { Part::FrameDone } else { Part::Decoded(Decoded::NeedInput) });
        }
        let first = state.deliver(data.len());
        if last {
            self.message = None;
            state.reset();
        }
        Ok(Part::Decoded(Decoded::Piece { data, first, last }))
    }

    /// Inflates a part of a frame. The message may turn out to be long at any time.
    fn inflate_frame(
        &mut self,
        frame: Frame,
        buffer: &mut [u8],
        position: &mut usize,
        limits: &Limits,
        buffers: &dyn BufferPool,
        Streaming { state, inflation }: Streaming<'_>,
    ) -> Result<Part, ProtocolError> {
        let Some(message) = &mut self.message else { return Ok(Part::Short(frame)) };
        let Frame { header, mut received } = frame;
        loop {
            let is_done = received == header.payload_len;
            let rest = buffer.get_mut(*position..).unwrap_or_default();
            let available = (header.payload_len - received).min(rest.len()).min(MAX_COMPRESSED_READ);
            let is_exhausted = available == 0 && !state.has_output;
            if is_exhausted && is_done && header.fin {
                break;
            }
            let len = if state.is_active { message.data.complete_len() } else { 0 };
            if is_exhausted || len >= PIECE_SIZE {
                if !is_exhausted || !is_done {
                    self.frame = Some(Frame { header, received });
                }
                if len > 0 {
                    inflation.deliver(&message.data);
                    let data = PieceBytes::take(&mut message.data);
                    let first = state.deliver(len);
                    return Ok(Part::Decoded(Decoded::Piece { data, first, last: false }));
                }
                inflation.pause(state);
                return Ok(if is_done { Part::FrameDone } else { Part::Decoded(Decoded::NeedInput) });
            }
            let bytes = rest.get_mut(..available).unwrap_or_default();
            apply_mask(header.key, received, bytes);
            let count = inflation.inflate_some(bytes, state, &mut message.data, limits, buffers)?;
            // The rest comes again, masked as all input.
            apply_mask(header.key, received + count, bytes.get_mut(count..).unwrap_or_default());
            *position += count;
            received += count;
        }
        let Some(mut message) = self.message.take() else { return Ok(Part::FrameDone) };
        inflation.end()?;
        if message.data.is_cut() {
            return Err(ProtocolError::InvalidUtf8);
        }
        inflation.deliver(&message.data);
        let decoded = if state.is_active {
            let data = PieceBytes::take(&mut message.data);
            Decoded::Piece { first: state.deliver(data.len()), data, last: true }
        } else {
            Decoded::message(message.data)?
        };
        state.reset();
        Ok(Part::Decoded(decoded))
    }
}
