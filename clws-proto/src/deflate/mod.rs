//! permessage-deflate, RFC 7692: messages that are compressed, each on its own or with a memory of those before.
//!
//! All that outlives a message is its last octets: a message ends at the boundary of a block and of an octet, so the
//! window is the whole state of either side. A connection keeps the octets themselves ([`window`]) and borrows a
//! (de)compressor for the time of a message from its shard's [`CodecPool`].

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
pub(crate) mod window;

/// RFC 7692 §7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
#[cfg(feature = "deflate")]
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A compressor's smallest window. With 8 bits, raw deflate is what no zlib can do: where 8 was agreed for our own side we
/// do not compress at all.
#[cfg(feature = "deflate")]
const MIN_BITS: u8 = 9;

/// The largest window there is, 32 KiB.
#[cfg(feature = "deflate")]
const MAX_BITS: u8 = 15;
