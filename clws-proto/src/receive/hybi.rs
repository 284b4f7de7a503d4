//! The framing of drafts 7, 8 and 13, RFC 6455 §5.

use crate::buffer::pool::BufferPool;
use crate::buffer::slice::BufSlice;
use crate::deflate::extension::Extension;
use crate::error::ProtocolError;
use crate::frame::header::{Header, Opcode, RSV1};
use crate::frame::mask::apply_mask;
use crate::limits::Limits;
use crate::message::assembler::MessageAssembler;
use crate::message::binary::BinaryAssembler;
use crate::receive::decoded::Decoded;
use crate::receive::input::{COST_OF_COMPRESSED, Cursor};
use crate::receive::partial::{Frame, Message, Partial};
use crate::receive::pieces::{Part, has_output, may_be_long};
use crate::version::Role;

/// The decoder's state. Nothing is allocated between messages.
#[derive(Debug, Default)]
pub(crate) struct Hybi {
    partial: Option<Box<Partial>>,
}

impl Hybi {
    /// Decodes from `position` up to the next event. The beginning of a binary message stays in the
    /// buffer if it has at least `min_adoptable_len` bytes and the message at least twice as many.
    #[inline]
    pub(crate) fn step<E: Extension>(
        &mut self,
        Cursor { buffer, position, min_adoptable_len, max_frames }: Cursor<'_>,
        role: Role,
        limits: &Limits,
        buffers: &dyn BufferPool,
        extension: &mut E,
    ) -> Result<Decoded, ProtocolError> {
        let rest = buffer.get_mut(*position..).unwrap_or_default();
        if rest.is_empty() && !self.has_complete_frame() && !has_output(extension) {
            return Ok(Decoded::NeedInput);
        }
        if self.partial.is_none() {
            // The fast path: a whole message in one frame.
            if let Some(header) = Header::parse(rest, role, E::ALLOWED_RSV)?
                && header.fin
                && header.opcode != Opcode::Continuation
                && !may_be_long(&header, extension)
            {
                let compressed = E::ALLOWED_RSV & RSV1 != 0 && header.compressed;
                if !header.opcode.is_control() {
                    check_size(header.payload_len, compressed, 0, limits)?;
                }
                if let Some(payload) =
                    rest.get_mut(header.size..).and_then(|p| p.get_mut(..header.payload_len))
                {
                    apply_mask(header.key, 0, payload);
                    let start = *position + header.size;
                    let end = start + header.payload_len;
                    *position = end;
                    if compressed {
                        return inflate(header.opcode, payload, limits, buffers, extension);
                    }
                    return Ok(Decoded::InPlace { opcode: header.opcode, start, end });
                }
                let start = *position + header.size;
                if header.opcode == Opcode::Binary
                    && !compressed
                    && buffer.len().saturating_sub(start) >= min_adoptable_len
                    && header.payload_len / 2 >= min_adoptable_len
                {
                    *position = buffer.len();
                    return Ok(Decoded::LargeMessage { header, start });
                }
            }
        }
        let mut partial = self.partial.take().unwrap_or_default();
        let input = Cursor { buffer, position, min_adoptable_len, max_frames };
        let step = partial.step(input, role, limits, buffers, extension)?;
        if !partial.is_done() {
            self.partial = Some(partial);
        }
        Ok(step)
    }

    /// Keeps the beginning of an unfragmented binary message in the buffer it was read into.
    pub(crate) fn adopt_buffer(&mut self, header: Header, mut slice: BufSlice) {
        slice.apply_mask(header.key);
        let received = slice.len();
        let data = MessageAssembler::Binary(BinaryAssembler::adopt_buffer(slice));
        let mut partial = self.partial.take().unwrap_or_default();
        partial.frame = Some(Frame { header, received });
        partial.message = Some(Message { data, fragments: 1, compressed: false });
        self.partial = Some(partial);
    }

    /// Whether the current frame is complete but not yet decoded, because its last bytes were read
    /// directly into the message's buffer.
    #[inline]
    pub(crate) fn has_complete_frame(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| {
            partial.frame.is_some_and(|frame| frame.received == frame.header.payload_len)
        })
    }

    /// Memory to read the rest of a large binary frame into.
    pub(crate) fn spare_capacity(&mut self, buffers: &dyn BufferPool) -> Option<&mut [u8]> {
        let partial = self.partial.as_mut()?;
        let Frame { header, received } = partial.frame?;
        match partial.message.as_mut()? {
            Message { data: MessageAssembler::Binary(binary), compressed: false, .. }
                if !header.opcode.is_control() =>
            {
                binary.spare_capacity(header.payload_len - received, buffers)
            }
            _ => None,
        }
    }

    /// Adds `count` bytes that were read into the [`spare_capacity`](Self::spare_capacity). The
    /// next step decodes them.
    pub(crate) fn commit_direct(&mut self, count: usize) {
        if let Some(partial) = self.partial.as_mut()
            && let Some(frame) = &mut partial.frame
            && let Some(Message { data: MessageAssembler::Binary(binary), compressed: false, .. }) =
                &mut partial.message
        {
            let bytes = binary.read(count.min(frame.header.payload_len - frame.received));
            apply_mask(frame.header.key, frame.received, bytes);
            frame.received += bytes.len();
        }
    }

    /// Whether a header, a frame or a message is incomplete.
    pub(crate) const fn is_in_progress(&self) -> bool {
        self.partial.is_some()
    }

    /// Whether `rest` starts a close frame.
    pub(crate) fn is_close(&self, rest: &[u8]) -> bool {
        let between_frames =
            self.partial.as_ref().is_none_or(|partial| partial.header_len == 0 && partial.frame.is_none());
        between_frames && rest.first().is_some_and(|first| first & 0x0F == Opcode::Close.bits())
    }

    /// Whether `rest` starts or continues a ping.
    pub(crate) fn is_ping(&self, rest: &[u8]) -> bool {
        let first = self.partial.as_ref().and_then(|partial| match partial.frame {
            Some(frame) => Some(frame.header.opcode.bits()),
            None => partial.header.first().copied().filter(|_| partial.header_len > 0),
        });
        first.or(rest.first().copied()).is_some_and(|first| first & 0x0F == Opcode::Ping.bits())
    }

    /// Whether a data message is incomplete.
    pub(crate) fn is_in_message(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.message.is_some())
    }

    /// Drops the received payload of a message whose end is still to be found.
    pub(crate) fn drop_payload(&mut self) {
        if let Some(message) = self.partial.as_mut().and_then(|partial| partial.message.as_mut()) {
            message.data = MessageAssembler::Binary(BinaryAssembler::default());
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            let message = match &partial.message {
                Some(Message { data: MessageAssembler::Binary(binary), .. }) => binary.capacity(),
                Some(Message { data: MessageAssembler::Text(text), .. }) => text.capacity(),
                None => 0,
            };
            size_of::<Partial>() + partial.control.capacity() + message
        })
    }
}

/// Inflates a whole message in one frame.
#[inline(never)]
fn inflate<E: Extension>(
    opcode: Opcode,
    payload: &[u8],
    limits: &Limits,
    buffers: &dyn BufferPool,
    extension: &mut E,
) -> Result<Decoded, ProtocolError> {
    let mut data = MessageAssembler::new(opcode);
    extension.inflate(payload, true, &mut data, limits, buffers)?;
    extension.finish(&data)?;
    Decoded::message(data)
}

/// Checks a frame against the limits. `before` bytes of its message precede it. Inflated bytes are
/// checked during inflation.
fn check_size(
    payload_len: usize,
    compressed: bool,
    before: usize,
    limits: &Limits,
) -> Result<(), ProtocolError> {
    if payload_len > limits.max_frame_size {
        return Err(ProtocolError::FrameTooBig { limit: limits.max_frame_size });
    }
    if !compressed && payload_len > limits.max_message_size.saturating_sub(before) {
        return Err(ProtocolError::MessageTooBig { limit: limits.max_message_size });
    }
    Ok(())
}

impl Partial {
    fn is_done(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    fn step<E: Extension>(
        &mut self,
        Cursor { buffer, position, max_frames, .. }: Cursor<'_>,
        role: Role,
        limits: &Limits,
        buffers: &dyn BufferPool,
        extension: &mut E,
    ) -> Result<Decoded, ProtocolError> {
        let mut frames_left = max_frames;
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None if frames_left == 0 => return Ok(Decoded::NeedInput),
                None => {
                    let is_compressed = E::ALLOWED_RSV & RSV1 != 0
                        && self.message.as_ref().is_some_and(|message| message.compressed);
                    frames_left =
                        frames_left.saturating_sub(if is_compressed { COST_OF_COMPRESSED } else { 1 });
                    let Some(header) = self.next_header::<E>(buffer, position, role)? else {
                        return Ok(Decoded::NeedInput);
                    };
                    let delivered = extension.streaming().map_or(0, |streaming| streaming.state.delivered());
                    self.start_frame(&header, limits, delivered)?;
                    Frame { header, received: 0 }
                }
            };
            if !frame.header.opcode.is_control()
                && let Some(streaming) = extension.streaming()
            {
                match self.stream_frame(frame, buffer, position, limits, buffers, streaming)? {
                    Part::Decoded(decoded) => return Ok(decoded),
                    Part::FrameDone => continue,
                    Part::Short(short) => frame = short,
                }
            }
            let Frame { header, received } = frame;
            let rest = buffer.get_mut(*position..).unwrap_or_default();
            let available = (header.payload_len - received).min(rest.len());
            let piece = rest.get_mut(..available).unwrap_or_default();
            apply_mask(header.key, received, piece);
            let start = *position;
            *position += available;

            if header.opcode.is_control() {
                if available == header.payload_len {
                    return Ok(Decoded::InPlace { opcode: header.opcode, start, end: *position });
                }
                self.control.extend_from_slice(piece); // at most 125 bytes, see Header::parse
            } else if let Some(message) = &mut self.message {
                if message.compressed {
                    let last = header.fin && received + available == header.payload_len;
                    extension.inflate(piece, last, &mut message.data, limits, buffers)?;
                } else {
                    let remaining = header.payload_len - received;
                    // The maximum length of the message. It is exact from the final frame on.
                    let max_len =
                        if header.fin { message.data.len() + remaining } else { limits.max_message_size };
                    message.data.append(piece, max_len, buffers)?;
                }
            }

            frame.received += available;
            if frame.received < header.payload_len {
                self.frame = Some(frame);
                return Ok(Decoded::NeedInput);
            }
            if header.opcode.is_control() {
                return Ok(Decoded::Control(header.opcode, std::mem::take(&mut self.control)));
            }
            if header.fin
                && let Some(message) = self.message.take()
            {
                if message.compressed {
                    extension.finish(&message.data)?;
                }
                return Decoded::message(message.data);
            }
        }
    }

    /// Parses the header at `position`, which may continue an incomplete one.
    fn next_header<E: Extension>(
        &mut self,
        buffer: &[u8],
        position: &mut usize,
        role: Role,
    ) -> Result<Option<Header>, ProtocolError> {
        let rest = buffer.get(*position..).unwrap_or_default();
        if self.header_len == 0
            && let Some(header) = Header::parse(rest, role, E::ALLOWED_RSV)?
        {
            *position += header.size;
            return Ok(Some(header));
        }
        for byte in rest {
            let held = usize::from(self.header_len);
            // 14 bytes always complete a header or are an error.
            let Some(slot) = self.header.get_mut(held) else { return Err(ProtocolError::LengthOverflow) };
            *slot = *byte;
            self.header_len += 1;
            *position += 1;
            let header = self.header.get(..=held).unwrap_or_default();
            if let Some(header) = Header::parse(header, role, E::ALLOWED_RSV)? {
                self.header_len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Checks a header in its context, and starts a message if it is the first frame. `delivered`
    /// bytes of the message were delivered before.
    fn start_frame(
        &mut self,
        header: &Header,
        limits: &Limits,
        delivered: usize,
    ) -> Result<(), ProtocolError> {
        // RFC 6455 §5.4: "Control frames (see Section 5.5) MAY be injected in the middle of a
        // fragmented message." They have at most 125 bytes, so the limits on messages do not apply.
        match (header.opcode, &self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => return Ok(()),
            // RFC 6455 §5.4: "A fragmented message consists of a single frame with the FIN bit
            // clear and an opcode other than 0, followed by zero or more frames with the FIN bit
            // clear and the opcode set to 0, and terminated by a single frame with the FIN bit set
            // and an opcode of 0."
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(ProtocolError::ExpectedContinuation),
            (Opcode::Continuation, Some(_)) => {}
            (opcode @ (Opcode::Text | Opcode::Binary), None) => {
                let (data, compressed) = (MessageAssembler::new(opcode), header.compressed);
                self.message = Some(Message { data, fragments: 1, compressed });
            }
        }
        if let Some(message) = &mut self.message {
            let before = delivered + message.data.len();
            check_size(header.payload_len, message.compressed, before, limits)?;
            if header.opcode == Opcode::Continuation {
                if message.fragments >= limits.max_fragments {
                    return Err(ProtocolError::TooManyFragments { limit: limits.max_fragments });
                }
                message.fragments += 1;
            }
        }
        Ok(())
    }
}
