//! The interface of a protocol extension.

use crate::buffer::pool::BufferPool;
use crate::error::ProtocolError;
#[cfg(feature = "deflate")]
use crate::frame::header::RSV1;
use crate::limits::Limits;
use crate::message::assembler::MessageAssembler;
use crate::message::stream::StreamState;

/// An extension that transforms data frames. [`Plain`] is used if none was negotiated and costs
/// nothing.
pub(crate) trait Extension {
    /// The reserved bits that a frame may set.
    const ALLOWED_RSV: u8;

    /// Whether long messages are delivered in pieces. If not, nothing checks it at run time.
    const STREAMS: bool = false;

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

    /// The state of messages in pieces, if they are delivered so.
    fn streaming(&mut self) -> Option<Streaming<'_>> {
        None
    }
}

/// The state of messages in pieces, and their inflation.
pub(crate) struct Streaming<'a> {
    pub(crate) state: &'a mut StreamState,
    pub(crate) inflation: &'a mut dyn StreamInflation,
}

/// The inflation of messages that may be delivered in pieces.
pub(crate) trait StreamInflation {
    /// Inflates some of `bytes` and appends at most one buffer of output to `data`. Returns the
    /// number of bytes read.
    fn inflate_some(
        &mut self,
        bytes: &[u8],
        state: &mut StreamState,
        data: &mut MessageAssembler,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<usize, ProtocolError>;

    /// Returns the decompressor until more input arrives, if the message is short.
    fn pause(&mut self, state: &StreamState);

    /// Adds a delivered piece to the context.
    fn deliver(&mut self, data: &MessageAssembler);

    /// Ends a message whose bytes have all been inflated. Its last piece is delivered already, or
    /// it is whole.
    fn end(&mut self) -> Result<(), ProtocolError>;
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

/// Unreachable: no header was accepted whose message is compressed.
impl StreamInflation for Plain {
    fn inflate_some(
        &mut self,
        _: &[u8],
        _: &mut StreamState,
        _: &mut MessageAssembler,
        _: &Limits,
        _: &dyn BufferPool,
    ) -> Result<usize, ProtocolError> {
        Err(ProtocolError::ReservedBits)
    }

    fn pause(&mut self, _: &StreamState) {}

    fn deliver(&mut self, _: &MessageAssembler) {}

    fn end(&mut self) -> Result<(), ProtocolError> {
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
