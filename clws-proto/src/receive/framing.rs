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
use crate::receive::stream::Stream;
use crate::version::{Role, Version};

#[derive(Debug)]
pub(super) enum Framing {
    Hybi(Status, Hybi),
    Hixie(Status, Hixie),
    /// Boxed as a whole, so that connections without the extension do not pay for it.
    #[cfg(feature = "deflate")]
    Deflate(Status, Box<(Hybi, Inflation)>),
    /// Messages are delivered in pieces, with or without the extension.
    Stream(Status, Box<Stream>),
}

/// The common state of all framings. Each variant contains it, in the padding of the tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    pub(super) version: Version,
    pub(super) role: Role,
    /// A close frame was received, or the peer violated the protocol. Further input is discarded.
    pub(super) finished: bool,
    /// A number for the driver, in bytes so that it fits into the padding.
    pub(super) mark: [u8; 4],
}

impl Framing {
    #[inline]
    pub(super) const fn status(&self) -> Status {
        match self {
            Self::Hybi(status, _) | Self::Hixie(status, _) | Self::Stream(status, _) => *status,
            #[cfg(feature = "deflate")]
            Self::Deflate(status, _) => *status,
        }
    }

    pub(super) const fn status_mut(&mut self) -> &mut Status {
        match self {
            Self::Hybi(status, _) | Self::Hixie(status, _) | Self::Stream(status, _) => status,
            #[cfg(feature = "deflate")]
            Self::Deflate(status, _) => status,
        }
    }

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
            Self::Hybi(_, hybi) => hybi.step(input, role, limits, buffers, &mut Plain),
            Self::Hixie(_, hixie) => hixie.step(input, limits),
            #[cfg(feature = "deflate")]
            Self::Deflate(_, deflate) => {
                let (hybi, inflation) = &mut **deflate;
                hybi.step(input, role, limits, buffers, inflation)
            }
            Self::Stream(_, stream) => stream.step(input, role, limits, buffers),
        }
    }

    /// Whether `rest` starts or continues a ping.
    pub(super) fn is_ping(&self, rest: &[u8]) -> bool {
        match self {
            Self::Hybi(_, hybi) => hybi.is_ping(rest),
            Self::Hixie(_, _) => false,
            #[cfg(feature = "deflate")]
            Self::Deflate(_, deflate) => deflate.0.is_ping(rest),
            Self::Stream(_, stream) => stream.hybi.is_ping(rest),
        }
    }

    /// The state of a framing whose frames have a length and may be read in pieces.
    pub(super) const fn hybi(&mut self) -> Option<&mut Hybi> {
        match self {
            Self::Hybi(_, hybi) => Some(hybi),
            Self::Hixie(_, _) => None,
            #[cfg(feature = "deflate")]
            Self::Deflate(_, deflate) => Some(&mut deflate.0),
            Self::Stream(_, stream) => Some(&mut stream.hybi),
        }
    }
}
