//! The result of one decoding step.

use crate::buffer::slice::BufSlice;
use crate::error::ProtocolError;
use crate::frame::header::{Header, Opcode};
use crate::message::assembler::MessageAssembler;

/// What a framing found.
pub(super) enum Decoded {
    /// All input is consumed.
    NeedInput,
    /// A payload that lies in the input, unmasked, from `start` to `end`.
    InPlace { opcode: Opcode, start: usize, end: usize },
    /// Text that was assembled.
    Text(String),
    /// A binary message that was assembled.
    Binary(BufSlice),
    /// The beginning of a binary message, to the end of the input.
    LargeMessage { header: Header, start: usize },
    /// A control frame that was assembled.
    Control(Opcode, Vec<u8>),
}

impl Decoded {
    /// A message that was assembled.
    pub(super) fn message(message: MessageAssembler) -> Result<Self, ProtocolError> {
        match message {
            MessageAssembler::Text(text) => Ok(Self::Text(text.finish()?)),
            MessageAssembler::Binary(octets) => Ok(Self::Binary(octets.finish())),
        }
    }
}
