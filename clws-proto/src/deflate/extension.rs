use crate::buffer::pool::BufferPool;
use crate::error::ProtocolError;
#[cfg(feature = "deflate")]
use crate::frame::header::RSV1;
use crate::limits::Limits;
use crate::message::assembler::MessageAssembler;

/// What an extension makes of data frames; [`Plain`] where none was negotiated, so that it costs nothing there.
pub(crate) trait Extension {
    /// The reserved bits that a frame may set.
    const ALLOWED_RSV: u8;

    /// Appends to a message what these octets of its frames inflate to; behind the `last` ones it is finished.
    fn inflate(
        &mut self,
        octets: &[u8],
        last: bool,
        data: &mut MessageAssembler,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<(), ProtocolError>;

    /// Ends a compressed message, of which all octets have come.
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
        Err(ProtocolError::ReservedBits) // never comes here: its header was refused
    }

    fn finish(&mut self, _: &MessageAssembler) -> Result<(), ProtocolError> {
        Err(ProtocolError::ReservedBits)
    }
}

/// Looks at no payload: for messages that are counted and not read.
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
