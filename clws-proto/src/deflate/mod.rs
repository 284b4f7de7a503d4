//! permessage-deflate, RFC 7692.
//!
//! A message ends at a block boundary and a byte boundary, so its last window of bytes is the whole
//! context. A connection keeps only those bytes ([`window`]). It borrows a compressor or
//! decompressor from a [`pool::CodecPool`] for the duration of a message.

#[cfg(feature = "deflate")]
pub(crate) mod compress;
#[cfg(feature = "deflate")]
mod compressor;
#[cfg(feature = "deflate")]
pub(crate) mod config;
pub(crate) mod extension;
#[cfg(feature = "deflate")]
pub(crate) mod inflate;
#[cfg(feature = "deflate")]
mod inflater;
#[cfg(feature = "deflate")]
pub(crate) mod params;
#[cfg(feature = "deflate")]
pub(crate) mod pool;
#[cfg(feature = "deflate")]
mod stream;
#[cfg(feature = "deflate")]
pub(crate) mod window;

/// RFC 7692 §7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
#[cfg(feature = "deflate")]
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A compressor's smallest window. zlib cannot produce raw deflate with 8 bits, so with 8 bits
/// nothing is compressed.
#[cfg(feature = "deflate")]
const MIN_BITS: u8 = 9;

/// The largest window, 32 KiB.
#[cfg(feature = "deflate")]
const MAX_BITS: u8 = 15;
