//! The framing of a version, with its state.

use crate::buffer::pool::BufferPool;
use crate::deflate::extension::Plain;
#[cfg(feature = "deflate")]
use crate::deflate::inflate::Inflation;
use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::receive::decoded::Decoded;
use crate::receive::hixie::Hixie;
use crate::receive::hybi::Hybi;
use crate::receive::input::Cursor;
use crate::version::Role;

#[derive(Debug)]
pub(super) enum Framing {
    Hybi(Hybi),
    Hixie(Hixie),
    /// Boxed as a whole, so that connections without the extension do not pay for it.
    #[cfg(feature = "deflate")]
    Deflate(Box<(Hybi, Inflation)>),
}

impl Framing {
    /// Decodes the next event, for any framing.
    #[inline(never)]
    pub(super) fn step(
        &mut self,
        input: Cursor<'_>,
        role: Role,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<Decoded, ProtocolError> {
        match self {
            Self::Hybi(hybi) => hybi.step(input, role, limits, buffers, &mut Plain),
            Self::Hixie(hixie) => hixie.step(input.buffer, input.position, limits),
            #[cfg(feature = "deflate")]
            Self::Deflate(deflate) => {
                let (hybi, inflation) = &mut **deflate;
                hybi.step(input, role, limits, buffers, inflation)
            }
        }
    }

    /// Whether `rest` starts or continues a ping.
    pub(super) fn is_ping(&self, rest: &[u8]) -> bool {
        match self {
            Self::Hybi(hybi) => hybi.is_ping(rest),
            Self::Hixie(_) => false,
            #[cfg(feature = "deflate")]
            Self::Deflate(deflate) => deflate.0.is_ping(rest),
        }
    }

    /// The state of a framing whose frames have a length and may be read in pieces.
    pub(super) const fn hybi(&mut self) -> Option<&mut Hybi> {
        match self {
            Self::Hybi(hybi) => Some(hybi),
            Self::Hixie(_) => None,
            #[cfg(feature = "deflate")]
            Self::Deflate(deflate) => Some(&mut deflate.0),
        }
    }
}
