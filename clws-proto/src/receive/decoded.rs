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
