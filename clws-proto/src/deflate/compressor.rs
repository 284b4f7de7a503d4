//! The compressor.

use std::fmt;

use zlib_rs::{Deflate, DeflateFlush};

use crate::deflate::TAIL;
use crate::deflate::config::DeflateConfig;

/// The output buffer's maximum capacity between messages.
const MAX_KEPT_OUTPUT: usize = 64 * 1024;

/// The minimum output space at each call. With 6 bytes or less, zlib would flush repeatedly.
const MIN_OUTPUT_SPACE: usize = 64;

/// A compressor and its output buffer.
pub(super) struct Compressor {
    deflate: Deflate,
    bits: u8,
    memory_level: u8,
    /// The connection whose messages this compressor has seen, all of them and no others. 0 for
    /// none.
    owner: u64,
    /// Fully initialised, because safe code can only write into initialised memory.
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

    /// The memory of two windows, two chains, a hash table, a block's symbols, and the state.
    pub(super) const fn size(&self) -> usize {
        (4 << self.bits) + (448 << self.memory_level) + 140_000 + self.out.capacity()
    }

    /// Starts a message of `owner` that may refer to the bytes in `window`.
    pub(super) fn begin(&mut self, owner: u64, window: &[u8]) {
        if owner != 0 && self.owner == owner {
            return; // it has the context
        }
        self.deflate.reset();
        self.owner = owner;
        if !window.is_empty() && self.deflate.set_dictionary(window).is_err() {
            self.deflate.reset(); // the message then does not refer to earlier ones
        }
    }

    /// The compressed message. `None` if it has `max_len` bytes or more.
    pub(super) fn compress(&mut self, mut payload: &[u8], max_len: usize) -> Option<&[u8]> {
        let max_len = max_len + TAIL.len();
        let (mut len, mut too_long) = (0, false);
        loop {
            if self.out.len() < len + MIN_OUTPUT_SPACE {
                self.out.resize(
                    (self.out.len() * 2).clamp(4096, max_len.max(4096)).max(len + MIN_OUTPUT_SPACE),
                    0,
                );
            }
            let (read, written) = (self.deflate.total_in(), self.deflate.total_out());
            let space = self.out.get_mut(len..).unwrap_or_default();
            let full = space.len();
            // RFC 7692 §7.2.1: "Compress all the octets of the payload of the message using
            // DEFLATE."
            if self.deflate.compress(payload, space, DeflateFlush::SyncFlush).is_err() {
                self.broken = true;
                return None;
            }
            let since = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
            let written = since(self.deflate.total_out(), written);
            payload = payload.get(since(self.deflate.total_in(), read)..).unwrap_or_default();
            len += written;
            let done = payload.is_empty() && written < full;
            too_long |= len >= max_len;
            if done && too_long {
                return None;
            }
            if done {
                return self.out.get(..len)?.strip_suffix(&TAIL);
            }
            if too_long {
                // The output is not used, but the message is compressed to its end. In zlib-rs 0.6,
                // a reset in the middle of a block with pending output leaves state that corrupts
                // the next message.
                len = 0;
            }
        }
    }

    /// Whether the compressor can be used again.
    pub(super) const fn is_usable(&self) -> bool {
        !self.broken
    }

    /// Discards the context: the next message starts without one.
    pub(super) const fn drop_context(&mut self) {
        self.owner = 0;
    }

    /// Frees output space that only a large message needs.
    pub(super) fn shrink_output(&mut self) {
        if self.out.capacity() > MAX_KEPT_OUTPUT {
            self.out.truncate(MAX_KEPT_OUTPUT);
            self.out.shrink_to_fit();
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("bits", &self.bits).finish_non_exhaustive()
    }
}
