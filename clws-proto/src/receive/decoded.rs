//! The result of one decoding step.

use crate::buffer::slice::BufSlice;
use crate::error::ProtocolError;
use crate::frame::header::{Header, Opcode};
use crate::message::assembler::MessageAssembler;

/// A decoding step's result.
pub(super) enum Decoded {
    /// All input is consumed.
    NeedInput,
    /// An unmasked payload in the input, from `start` to `end`.
    InPlace { opcode: Opcode, start: usize, end: usize },
    /// An assembled text message.
    Text(String),
    /// An assembled binary message.
    Binary(BufSlice),
    /// The beginning of a large binary message, up to the input's end.
    LargeMessage { header: Header, start: usize },
    /// An assembled control frame.
    Control(Opcode, Vec<u8>),
    /// A piece of a long message.
    Piece { data: PieceBytes, first: bool, last: bool },
}

/// The bytes of a piece, and where they lie.
pub(super) enum PieceBytes {
    /// Unmasked text in the input, from `start` to `end`. It is not yet checked.
    TextInPlace {
        start: usize,
        end: usize,
    },
    /// Unmasked bytes in the input, from `start` to `end`.
    BinaryInPlace {
        start: usize,
        end: usize,
    },
    Text(String),
    Binary(BufSlice),
}

impl PieceBytes {
    /// Takes the complete characters or the bytes of a message in progress.
    pub(super) fn take(message: &mut MessageAssembler) -> Self {
        match message {
            MessageAssembler::Text(text) => Self::Text(text.take()),
            MessageAssembler::Binary(binary) => Self::Binary(binary.take()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::TextInPlace { start, end } | Self::BinaryInPlace { start, end } => end - start,
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl Decoded {
    /// An assembled message. Fails if a text message ends within a character.
    pub(super) fn message(message: MessageAssembler) -> Result<Self, ProtocolError> {
        match message {
            MessageAssembler::Text(text) => Ok(Self::Text(text.finish()?)),
            MessageAssembler::Binary(binary) => Ok(Self::Binary(binary.finish())),
        }
    }
}
