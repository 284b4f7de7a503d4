//! Settings of permessage-deflate.

use crate::deflate::params::in_range;
use crate::deflate::{MAX_BITS, MIN_BITS};

/// The settings of permessage-deflate: compression level, threshold and memory.
///
/// `clws-handshake` negotiates with them, which results in [`DeflateParams`](crate::DeflateParams).
/// A [`CodecPool`](crate::CodecPool) compresses with them.
///
/// | | bytes of memory |
/// |---|---|
/// | a connection that negotiated the extension, without context takeover | 160, for any windows (and another 160 in `clws-server`) |
/// | a server's messages with context takeover | in addition, the last bytes of its messages: at most 1.25 · 2^`server_max_window_bits` (40 KiB for 15, 5 KiB for 12) |
/// | a client's messages with context takeover | the same with `client_max_window_bits` |
/// | a compressor of the [`CodecPool`](crate::CodecPool) | 4 · 2^`window_bits` + 448 · 2^`memory_level` + 140,000: about 386,000 with 15 and 8, 158,000 with 12 and 1; and up to 64 KiB of output |
/// | a decompressor of the `CodecPool` | about 64,000, for any window |
/// | an incomplete message | its received bytes and the inflated bytes; a decompressor, once these exceed 1 KiB or 16 KiB |
///
/// A browser that does not offer `client_max_window_bits` (Firefox) always uses 15.
///
/// ```
/// use clws_proto::DeflateConfig;
///
/// // By default, each message is compressed on its own, and a connection keeps no context.
/// let config = DeflateConfig::default().threshold(256);
/// assert!(config.server_no_context_takeover && config.client_no_context_takeover);
///
/// // For small, similar messages: at most 10 KiB per connection, and a third of the bytes to send.
/// let chat = config.context_takeover(true).max_window_bits(12).threshold(32);
/// assert_eq!(chat.server_max_window_bits, 12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeflateConfig {
    /// The compression level, from 1 (fast) to 9 (small). Default 4.
    ///
    /// JSON lines of 16 KiB shrink by a factor of 2.3, 3.2, 3.4 and 3.4 at levels 1, 4, 6 and 9.
    /// Each step has about two thirds of the previous speed (`cargo bench -p clws-benches --bench
    /// deflate`).
    pub level: u8,
    /// The memory that a compressor has for its symbols, from 1 to 9. Default 8.
    pub memory_level: u8,
    /// Shorter messages are sent uncompressed. Default 512 bytes.
    ///
    /// Without context takeover, a message of 100 bytes shrinks by a tenth and a message of 600
    /// bytes by half. Each costs 5 to 8 microseconds before its first byte. With context takeover,
    /// even the shortest messages are worth compressing.
    pub threshold: usize,
    /// The base-2 logarithm of the maximum window of the server's messages, from 9 to 15. Default
    /// 15.
    pub server_max_window_bits: u8,
    /// The base-2 logarithm of the maximum window of the client's messages, from 9 to 15. Default
    /// 15.
    pub client_max_window_bits: u8,
    /// The server compresses each message on its own. Default true.
    ///
    /// A [`SharedMessage`](crate::SharedMessage) is then compressed once for all its receivers.
    pub server_no_context_takeover: bool,
    /// The client compresses each message on its own. Default true.
    pub client_no_context_takeover: bool,
}

impl DeflateConfig {
    /// Sets [`level`](field@Self::level), clamped to 1 to 9.
    #[must_use]
    pub const fn level(mut self, level: u8) -> Self {
        self.level = in_range(level, 1, 9);
        self
    }

    /// Sets [`memory_level`](field@Self::memory_level), clamped to 1 to 9.
    #[must_use]
    pub const fn memory_level(mut self, level: u8) -> Self {
        self.memory_level = in_range(level, 1, 9);
        self
    }

    /// Sets [`threshold`](field@Self::threshold).
    #[must_use]
    pub const fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Sets [`server_max_window_bits`](field@Self::server_max_window_bits), clamped to 9 to 15.
    #[must_use]
    pub const fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.server_max_window_bits = in_range(bits, MIN_BITS, MAX_BITS);
        self
    }

    /// Sets [`client_max_window_bits`](field@Self::client_max_window_bits), clamped to 9 to 15.
    #[must_use]
    pub const fn client_max_window_bits(mut self, bits: u8) -> Self {
        self.client_max_window_bits = in_range(bits, MIN_BITS, MAX_BITS);
        self
    }

    /// Sets both window sizes.
    #[must_use]
    pub const fn max_window_bits(self, bits: u8) -> Self {
        self.server_max_window_bits(bits).client_max_window_bits(bits)
    }

    /// Sets [`server_no_context_takeover`](field@Self::server_no_context_takeover).
    #[must_use]
    pub const fn server_no_context_takeover(mut self, yes: bool) -> Self {
        self.server_no_context_takeover = yes;
        self
    }

    /// Sets [`client_no_context_takeover`](field@Self::client_no_context_takeover).
    #[must_use]
    pub const fn client_no_context_takeover(mut self, yes: bool) -> Self {
        self.client_no_context_takeover = yes;
        self
    }

    /// Allows or forbids context takeover in both directions.
    #[must_use]
    pub const fn context_takeover(self, yes: bool) -> Self {
        self.server_no_context_takeover(!yes).client_no_context_takeover(!yes)
    }

    /// Clamps every field to its range, for a value whose fields were assigned directly.
    #[must_use]
    pub const fn in_range(self) -> Self {
        self.level(self.level)
            .memory_level(self.memory_level)
            .server_max_window_bits(self.server_max_window_bits)
            .client_max_window_bits(self.client_max_window_bits)
    }
}

impl Default for DeflateConfig {
    fn default() -> Self {
        Self {
            level: 4,
            memory_level: 8,
            threshold: 512,
            server_max_window_bits: MAX_BITS,
            client_max_window_bits: MAX_BITS,
            server_no_context_takeover: true,
            client_no_context_takeover: true,
        }
    }
}
