//! permessage-deflate, RFC 7692: messages that are compressed, each on its own or with a memory of those before.
//!
//! All that outlives a message is its last octets: a message ends at the boundary of a block and of an octet, so the
//! window is the whole state of either side. A connection keeps the octets themselves ([`history`]) and borrows a
//! (de)compressor for the time of a message from its shard's [`Codecs`].

mod codecs;
mod compress;
mod config;
mod history;
mod inflate;
mod params;

pub use codecs::Codecs;
pub(crate) use compress::Deflation;
pub use config::DeflateConfig;
pub(crate) use inflate::Inflation;
pub use params::DeflateParams;

/// RFC 7692 §7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A compressor's smallest window. With 8 bits, raw deflate is what no zlib can do: where 8 was agreed for our own side we
/// do not compress at all.
const MIN_BITS: u8 = 9;

/// The largest window there is, 32 KiB.
const MAX_BITS: u8 = 15;
