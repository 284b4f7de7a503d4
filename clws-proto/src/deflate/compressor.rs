use std::fmt;

use zlib_rs::{Deflate, DeflateFlush};

use crate::deflate::TAIL;
use crate::deflate::config::DeflateConfig;

/// Room for compressed octets that a compressor keeps between messages.
const KEEP: usize = 64 * 1024;

/// So much room is left at each call: zlib asks for more than 6 octets, lest it flush again and again.
const SPARE: usize = 64;

/// A compressor, and what comes out of it.
pub(super) struct Compressor {
    deflate: Deflate,
    bits: u8,
    memory_level: u8,
    /// Whose messages it has seen all and only; 0 for nobody's.
    owner: u64,
    /// Initialised as long as it is, since safe code can only write there.
    out: Vec<u8>,
    broken: bool,
}

impl Compressor {
    pub(super) fn new(config: &DeflateConfig, bits: u8) -> Self {
        let deflate = Deflate::new_with_config(zlib_rs::DeflateConfig {
            level: i32::from(config.level),
            window_bits: -i32::from(bits), // raw
            mem_level: i32::from(config.memory_level),
            ..zlib_rs::DeflateConfig::default()
        });
        Self { deflate, bits, memory_level: config.memory_level, owner: 0, out: Vec::new(), broken: false }
    }

    pub(super) const fn bits(&self) -> u8 {
        self.bits
    }

    pub(super) const fn is_for(&self, bits: u8, owner: u64) -> bool {
        self.bits == bits && self.owner == owner
    }

    /// Octets that it takes: two windows, two chains, a table of hashes, the symbols of a block, and its state.
    pub(super) const fn size(&self) -> usize {
        (4 << self.bits) + (448 << self.memory_level) + 140_000 + self.out.capacity()
    }

    /// Starts a message of that owner, which may refer back to these octets.
    pub(super) fn begin(&mut self, owner: u64, window: &[u8]) {
        if owner != 0 && self.owner == owner {
            return; // it has them already
        }
        self.deflate.reset();
        self.owner = owner;
        if !window.is_empty() && self.deflate.set_dictionary(window).is_err() {
            self.deflate.reset(); // then this message just does not refer back
        }
    }

    /// The octets to send for a message; `None` if they are `longest` or more.
    pub(super) fn compress(&mut self, mut payload: &[u8], longest: usize) -> Option<&[u8]> {
        let longest = longest + TAIL.len();
        let (mut len, mut too_long) = (0, false);
        loop {
            if self.out.len() < len + SPARE {
                self.out.resize((self.out.len() * 2).clamp(4096, longest.max(4096)).max(len + SPARE), 0);
            }
            let (read, written) = (self.deflate.total_in(), self.deflate.total_out());
            let room = self.out.get_mut(len..).unwrap_or_default();
            let full = room.len();
            // RFC 7692 §7.2.1: "Compress all the octets of the payload of the message using DEFLATE."
            if self.deflate.compress(payload, room, DeflateFlush::SyncFlush).is_err() {
                self.broken = true;
                return None;
            }
            let since = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
            let written = since(self.deflate.total_out(), written);
            payload = payload.get(since(self.deflate.total_in(), read)..).unwrap_or_default();
            len += written;
            let done = payload.is_empty() && written < full;
            too_long |= len >= longest;
            if done && too_long {
                return None;
            }
            if done {
                return self.out.get(..len)?.strip_suffix(&TAIL);
            }
            if too_long {
                // Nobody gets it, but it goes on to its end: a compressor that is left in the middle of a block, with octets
                // that were not fetched, is not made new by a reset of zlib-rs (0.6), and the next message would suffer.
                len = 0;
            }
        }
    }

    /// Whether it can be used again.
    pub(super) const fn is_sound(&self) -> bool {
        !self.broken
    }

    /// Gives up what it has seen: the next message begins anew, whoever's it is.
    pub(super) const fn forget(&mut self) {
        self.owner = 0;
    }

    /// Gives room back that only a big message needs.
    pub(super) fn trim(&mut self) {
        if self.out.capacity() > KEEP {
            self.out.truncate(KEEP);
            self.out.shrink_to_fit();
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("bits", &self.bits).finish_non_exhaustive()
    }
}
