//! Messages in progress.

use crate::buffer::pool::BufferPool;
use crate::error::ProtocolError;
use crate::frame::header::Opcode;
use crate::message::binary::BinaryAssembler;
use crate::message::text::TextBuffer;

/// The received part of a message's payload.
#[derive(Debug)]
pub(crate) enum MessageAssembler {
    Text(TextBuffer),
    Binary(BinaryAssembler),
}

impl MessageAssembler {
    pub(crate) fn new(opcode: Opcode) -> Self {
        match opcode {
            Opcode::Text => Self::Text(TextBuffer::default()),
            _ => Self::Binary(BinaryAssembler::default()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(binary) => binary.len(),
        }
    }

    /// Appends received bytes. The whole message has at most `max_len` bytes.
    pub(crate) fn append(
        &mut self,
        piece: &[u8],
        max_len: usize,
        buffers: &dyn BufferPool,
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Text(text) => {
                text.reserve(piece.len(), max_len, buffers);
                text.push(piece)
            }
            Self::Binary(binary) => {
                binary.append(piece, max_len, buffers);
                Ok(())
            }
        }
    }

    /// The number of received bytes. For text, only complete characters.
    pub(crate) const fn complete_len(&self) -> usize {
        match self {
            Self::Text(text) => text.complete_len(),
            Self::Binary(binary) => binary.len(),
        }
    }

    /// Whether a text ends within a character.
    pub(crate) const fn is_cut(&self) -> bool {
        match self {
            Self::Text(text) => text.is_cut(),
            Self::Binary(_) => false,
        }
    }

    /// The received bytes. For text, only complete characters.
    #[cfg(feature = "deflate")]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.bytes(),
            Self::Binary(binary) => binary.bytes(),
        }
    }
}
