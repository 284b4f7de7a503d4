//! The interface of a protocol extension.

use crate::buffer::pool::BufferPool;
use crate::error::ProtocolError;
#[cfg(feature = "deflate")]
use crate::frame::header::RSV1;
use crate::limits::Limits;
use crate::message::assembler::MessageAssembler;

/// An extension that transforms data frames. [`Plain`] is used if none was negotiated and costs
/// nothing.
pub(crate) trait Extension {
    /// The reserved bits that a frame may set.
    const ALLOWED_RSV: u8;

    /// Inflates `bytes` and appends the result to `data`. `last` marks the end of the message.
    fn inflate(
        &mut self,
        bytes: &[u8],
        last: bool,
        data: &mut MessageAssembler,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<(), ProtocolError>;

    /// Ends a compressed message whose bytes have all been inflated.
    fn finish(&mut self, data: &MessageAssembler) -> Result<(), ProtocolError>;
}

/// No extension.
#[derive(Debug)]
pub(crate) struct Plain;

impl Extension for Plain {
    const ALLOWED_RSV: u8 = 0;

    fn inflate(
        &mut self,
        _: &[u8],
        _: bool,
        _: &mut MessageAssembler,
        _: &Limits,
        _: &dyn BufferPool,
    ) -> Result<(), ProtocolError> {
        Err(ProtocolError::ReservedBits) // unreachable: the header was refused
    }

    fn finish(&mut self, _: &MessageAssembler) -> Result<(), ProtocolError> {
        Err(ProtocolError::ReservedBits)
    }
}

/// Ignores payloads, for messages that are only counted.
#[cfg(feature = "deflate")]
#[derive(Debug)]
pub(crate) struct Skip;

#[cfg(feature = "deflate")]
impl Extension for Skip {
    const ALLOWED_RSV: u8 = RSV1;

    fn inflate(
        &mut self,
        _: &[u8],
        _: bool,
        _: &mut MessageAssembler,
        _: &Limits,
        _: &dyn BufferPool,
    ) -> Result<(), ProtocolError> {
        Ok(())
    }

    fn finish(&mut self, _: &MessageAssembler) -> Result<(), ProtocolError> {
        Ok(())
    }
}
