//! Negotiated parameters of permessage-deflate.

use crate::deflate::MAX_BITS;
use crate::version::Role;

/// The parameters of permessage-deflate that the opening handshake agreed on, RFC 7692 §7.1.
///
/// `clws-handshake` negotiates them. Pass them to [`Receiver::deflate`](crate::Receiver::deflate)
/// and [`Sender::deflate`](crate::Sender::deflate). The default is the meaning of an answer without
/// parameters: windows of 32 KiB and context takeover in both directions.
///
/// ```
/// use clws_proto::DeflateParams;
///
/// let params = DeflateParams::default()
///     .server_max_window_bits(10)
///     .client_no_context_takeover(true);
/// assert_eq!((params.server_max_window_bits, params.client_max_window_bits), (10, 15));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeflateParams {
    /// The base-2 logarithm of the server's maximum window in bytes, from 8 to 15.
    pub server_max_window_bits: u8,
    /// The base-2 logarithm of the client's maximum window in bytes, from 8 to 15.
    pub client_max_window_bits: u8,
    /// The server compresses each message on its own.
    pub server_no_context_takeover: bool,
    /// The client compresses each message on its own.
    pub client_no_context_takeover: bool,
}

impl DeflateParams {
    /// Sets [`server_max_window_bits`](field@Self::server_max_window_bits), clamped to 8 to 15.
    #[must_use]
    pub const fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.server_max_window_bits = in_range(bits, 8, MAX_BITS);
        self
    }

    /// Sets [`client_max_window_bits`](field@Self::client_max_window_bits), clamped to 8 to 15.
    #[must_use]
    pub const fn client_max_window_bits(mut self, bits: u8) -> Self {
        self.client_max_window_bits = in_range(bits, 8, MAX_BITS);
        self
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

    /// The window bits of messages that `role` sends, and whether the context outlives a message.
    pub(super) const fn sent_by(&self, role: Role) -> (u8, bool) {
        match role {
            Role::Server => {
                (in_range(self.server_max_window_bits, 8, MAX_BITS), !self.server_no_context_takeover)
            }
            Role::Client => {
                (in_range(self.client_max_window_bits, 8, MAX_BITS), !self.client_no_context_takeover)
            }
        }
    }

    /// The window bits of messages that `role` receives, and whether the context outlives a
    /// message.
    pub(super) const fn received_by(&self, role: Role) -> (u8, bool) {
        match role {
            Role::Server => self.sent_by(Role::Client),
            Role::Client => self.sent_by(Role::Server),
        }
    }
}

impl Default for DeflateParams {
    fn default() -> Self {
        Self {
            server_max_window_bits: MAX_BITS,
            client_max_window_bits: MAX_BITS,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
        }
    }
}

/// Clamps a number to a range. (`Ord::clamp` is not `const`.)
pub(super) const fn in_range(number: u8, min: u8, max: u8) -> u8 {
    if number < min {
        min
    } else if number > max {
        max
    } else {
        number
    }
}
