use crate::deflate::params::in_range;
use crate::deflate::{MAX_BITS, MIN_BITS};

/// What this side wants of permessage-deflate: how hard it compresses, what is min_adoptable_len it, and what may be kept.
///
/// `clws-handshake` negotiates by it ([`DeflateParams`](crate::DeflateParams) is the result), and
/// [`CodecPool`](crate::CodecPool) compress by it.
///
/// | choice | octets of memory |
/// |---|---|
/// | a connection that agreed on it and has no context | 160, whatever the windows (and as much again in `clws-server`, for what is seldom there) |
/// | a server's messages with context takeover | in addition its last messages' octets, as they come: 1.25 · 2^`server_max_window_bits` at most (40 KiB for 15, 5 KiB for 12) |
/// | a client's messages with context takeover | the same with `client_max_window_bits` |
/// | a compressor, of the [`CodecPool`](crate::CodecPool) and not of a connection | 4 · 2^`window_bits` + 448 · 2^`memory_level` + 140,000: about 386,000 with 15 and 8, 158,000 with 12 and 1; and up to 64 KiB for what comes out |
/// | a decompressor, of the `CodecPool` too | about 64,000, whatever the window |
/// | a message that has come in part | what came of it and what it inflated to; beyond 1 KiB of the one or 16 KiB of the other a decompressor |
///
/// A browser that does not offer `client_max_window_bits` (Firefox) cannot be held to less than 15.
///
/// ```
/// use clws_proto::DeflateConfig;
///
/// // Each message on its own, which is the default: nothing is kept for a connection.
/// let config = DeflateConfig::default().threshold(256);
/// assert!(config.server_no_context_takeover && config.client_no_context_takeover);
///
/// // Small messages that resemble each other: 10 KiB for a connection at most, and a third of the octets to send.
/// let chat = config.context_takeover(true).max_window_bits(12).threshold(32);
/// assert_eq!(chat.server_max_window_bits, 12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeflateConfig {
    /// How hard to compress, from 1 (fast) to 9 (small). Default 4.
    ///
    /// On JSON lines of 16 KiB, 1, 4, 6 and 9 made a 2.3rd, 3.2nd, 3.4th and 3.4th of it, each step at about two thirds of the
    /// speed of the one before (`cargo bench -p clws-benches --bench deflate`).
    pub level: u8,
    /// How much memory a compressor has for its symbols, from 1 to 9. Default 8.
    pub memory_level: u8,
    /// Messages of fewer octets go out as they are. Default 512.
    ///
    /// Without context takeover a message of 100 octets gets a tenth smaller and one of 600 half as large, while each
    /// costs some 5 to 8 microseconds before its first octet. With takeover even the smallest are min_adoptable_len it.
    pub threshold: usize,
    /// The window of the server's messages is at most 2 to the power of this, 9 to 15. Default 15.
    pub server_max_window_bits: u8,
    /// The window of the client's messages is at most 2 to the power of this, 9 to 15. Default 15.
    pub client_max_window_bits: u8,
    /// The server compresses each message on its own. Default true.
    ///
    /// Then a [`SharedMessage`](crate::SharedMessage) is compressed once for all its receivers.
    pub server_no_context_takeover: bool,
    /// The client is to compress each message on its own. Default true.
    pub client_no_context_takeover: bool,
}

impl DeflateConfig {
    /// The same with that [`level`](Self::level), brought into 1 to 9.
    #[must_use]
    pub const fn level(mut self, level: u8) -> Self {
        self.level = in_range(level, 1, 9);
        self
    }

    /// The same with that [`memory_level`](Self::memory_level), brought into 1 to 9.
    #[must_use]
    pub const fn memory_level(mut self, level: u8) -> Self {
        self.memory_level = in_range(level, 1, 9);
        self
    }

    /// The same with that [`threshold`](Self::threshold).
    #[must_use]
    pub const fn threshold(mut self, octets: usize) -> Self {
        self.threshold = octets;
        self
    }

    /// The same with that [`server_max_window_bits`](Self::server_max_window_bits), brought into 9 to 15.
    #[must_use]
    pub const fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.server_max_window_bits = in_range(bits, MIN_BITS, MAX_BITS);
        self
    }

    /// The same with that [`client_max_window_bits`](Self::client_max_window_bits), brought into 9 to 15.
    #[must_use]
    pub const fn client_max_window_bits(mut self, bits: u8) -> Self {
        self.client_max_window_bits = in_range(bits, MIN_BITS, MAX_BITS);
        self
    }

    /// The same with windows of that many bits both ways.
    #[must_use]
    pub const fn max_window_bits(self, bits: u8) -> Self {
        self.server_max_window_bits(bits).client_max_window_bits(bits)
    }

    /// The same with that [`server_no_context_takeover`](Self::server_no_context_takeover).
    #[must_use]
    pub const fn server_no_context_takeover(mut self, yes: bool) -> Self {
        self.server_no_context_takeover = yes;
        self
    }

    /// The same with that [`client_no_context_takeover`](Self::client_no_context_takeover).
    #[must_use]
    pub const fn client_no_context_takeover(mut self, yes: bool) -> Self {
        self.client_no_context_takeover = yes;
        self
    }

    /// The same with context takeover both ways, or neither.
    #[must_use]
    pub const fn context_takeover(self, yes: bool) -> Self {
        self.server_no_context_takeover(!yes).client_no_context_takeover(!yes)
    }

    /// The same with every field brought into its range: for one whose fields were set by hand.
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
