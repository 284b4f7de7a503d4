//! A framing that delivers long messages in pieces.

use crate::buffer::pool::{BufferPool, NoPool};
#[cfg(feature = "deflate")]
use crate::deflate::extension::Skip;
use crate::deflate::extension::{Extension, Plain, Streaming};
#[cfg(feature = "deflate")]
use crate::deflate::inflate::Inflation;
use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::message::assembler::MessageAssembler;
use crate::message::stream::StreamState;
use crate::receive::decoded::Decoded;
use crate::receive::hybi::Hybi;
use crate::receive::input::Cursor;
use crate::version::Role;

/// The framing of drafts 7, 8 and 13, with messages in pieces.
///
/// It is a separate framing, so that other receivers do not pay for it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) hybi: Hybi,
    #[cfg(feature = "deflate")]
    pub(super) inflation: Option<Inflation>,
    pub(super) state: StreamState,
}

impl Stream {
    pub(super) const fn new(hybi: Hybi, above: usize) -> Self {
        Self {
            hybi,
            #[cfg(feature = "deflate")]
            inflation: None,
            state: StreamState::new(above),
        }
    }

    /// Decodes the next event.
    pub(super) fn step(
        &mut self,
        input: Cursor<'_>,
        role: Role,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<Decoded, ProtocolError> {
        let state = &mut self.state;
        #[cfg(feature = "deflate")]
        if let Some(inflation) = &mut self.inflation {
            return self.hybi.step(input, role, limits, buffers, &mut Streamed { inner: inflation, state });
        }
        self.hybi.step(input, role, limits, buffers, &mut Streamed { inner: &mut Plain, state })
    }

    /// Decodes the next event of a connection that has ended. Payloads are ignored.
    pub(super) fn skip(
        &mut self,
        input: Cursor<'_>,
        role: Role,
        limits: &Limits,
    ) -> Result<Decoded, ProtocolError> {
        #[cfg(feature = "deflate")]
        if self.inflation.is_some() {
            return self.hybi.step(input, role, limits, &NoPool, &mut Skip);
        }
        self.hybi.step(input, role, limits, &NoPool, &mut Plain)
    }

    /// Whether an event is complete although all input is consumed.
    pub(super) fn has_complete_frame(&self) -> bool {
        self.state.has_output || self.hybi.has_complete_frame()
    }

    /// Memory held by a message in progress, in bytes.
    pub(super) fn held(&self) -> usize {
        let held = self.hybi.held();
        #[cfg(feature = "deflate")]
        let held = held + self.inflation.as_ref().map_or(0, Inflation::held);
        held
    }

    /// Memory held by the context, in bytes.
    #[cfg(feature = "deflate")]
    pub(super) fn context_size(&self) -> usize {
        self.inflation.as_ref().map_or(0, Inflation::context_size)
    }

    /// Drops all data.
    pub(super) fn reset(&mut self) {
        self.hybi = Hybi::default();
        self.state.reset();
        #[cfg(feature = "deflate")]
        if let Some(inflation) = &mut self.inflation {
            inflation.reset();
        }
    }
}

/// An extension of a connection whose long messages are delivered in pieces.
struct Streamed<'a, E> {
    inner: &'a mut E,
    state: &'a mut StreamState,
}

impl<E: Extension + crate::deflate::extension::StreamInflation> Extension for Streamed<'_, E> {
    const ALLOWED_RSV: u8 = E::ALLOWED_RSV;
    const STREAMS: bool = true;

    fn inflate(
        &mut self,
        bytes: &[u8],
        last: bool,
        data: &mut MessageAssembler,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<(), ProtocolError> {
        self.inner.inflate(bytes, last, data, limits, buffers)
    }

    fn finish(&mut self, data: &MessageAssembler) -> Result<(), ProtocolError> {
        self.inner.finish(data)
    }

    fn streaming(&mut self) -> Option<Streaming<'_>> {
        Some(Streaming { state: self.state, inflation: self.inner })
    }
}
