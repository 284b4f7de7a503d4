use crate::buffer::pool::BufferPool;
use crate::error::ProtocolError;
use crate::frame::header::Opcode;
use crate::message::binary::BinaryAssembler;
use crate::message::text::TextBuffer;

/// The payload of a message, as far as it is there.
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
            Self::Binary(octets) => octets.len(),
        }
    }

    /// Appends what has come, to a message that will not be longer than `longest`.
    pub(crate) fn append(
        &mut self,
        piece: &[u8],
        longest: usize,
        buffers: &dyn BufferPool,
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Text(text) => {
                text.reserve(piece.len(), longest, buffers);
                text.push(piece)
            }
            Self::Binary(octets) => {
                octets.append(piece, longest, buffers);
                Ok(())
            }
        }
    }

    /// What is there: of text the whole characters.
    #[cfg(feature = "deflate")]
    pub(crate) fn octets(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.octets(),
            Self::Binary(octets) => octets.octets(),
        }
    }
}
