use crate::hybi::Assembly;
use crate::{Buffers, Limits, ProtocolError};

/// What an extension makes of data frames; [`Plain`] where none was negotiated, so that it costs nothing there.
pub(crate) trait Extension {
    /// Whether RSV1 may be set: the message is compressed.
    const COMPRESSES: bool;

    /// Appends to a message what these octets of its frames inflate to; behind the `last` ones it is finished.
    fn inflate(
        &mut self,
        octets: &[u8],
        last: bool,
        data: &mut Assembly,
        limits: &Limits,
        buffers: &dyn Buffers,
    ) -> Result<(), ProtocolError>;

    /// Ends a compressed message, of which all octets have come.
    fn finish(&mut self, data: &Assembly) -> Result<(), ProtocolError>;
}

/// No extension.
#[derive(Debug)]
pub(crate) struct Plain;

impl Extension for Plain {
    const COMPRESSES: bool = false;

    fn inflate(
        &mut self,
        _: &[u8],
        _: bool,
        _: &mut Assembly,
        _: &Limits,
        _: &dyn Buffers,
    ) -> Result<(), ProtocolError> {
        Err(ProtocolError::ReservedBits) // never comes here: its header was refused
    }

    fn finish(&mut self, _: &Assembly) -> Result<(), ProtocolError> {
        Err(ProtocolError::ReservedBits)
    }
}

/// Looks at no payload: for messages that are counted and not read.
#[cfg(feature = "deflate")]
#[derive(Debug)]
pub(crate) struct Skip;

#[cfg(feature = "deflate")]
impl Extension for Skip {
    const COMPRESSES: bool = true;

    fn inflate(
        &mut self,
        _: &[u8],
        _: bool,
        _: &mut Assembly,
        _: &Limits,
        _: &dyn Buffers,
    ) -> Result<(), ProtocolError> {
        Ok(())
    }

    fn finish(&mut self, _: &Assembly) -> Result<(), ProtocolError> {
        Ok(())
    }
}
