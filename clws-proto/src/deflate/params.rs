use crate::deflate::MAX_BITS;
use crate::version::Role;

/// What both sides agreed on for permessage-deflate in the opening handshake, RFC 7692 §7.1.
///
/// `clws-handshake` negotiates them; give them to [`Receiver::deflate`](crate::Receiver::deflate) and
/// [`Sender::deflate`](crate::Sender::deflate). The default is what an empty answer means: windows of 32 KiB
/// and context takeover both ways.
///
/// ```
/// use clws_proto::DeflateParams;
///
/// let params = DeflateParams::default().server_max_window_bits(10).client_no_context_takeover(true);
/// assert_eq!((params.server_max_window_bits, params.client_max_window_bits), (10, 15));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeflateParams {
    /// The server's window is at most 2 to the power of this, in octets: 8 to 15.
    pub server_max_window_bits: u8,
    /// The client's window is at most 2 to the power of this, in octets: 8 to 15.
    pub client_max_window_bits: u8,
    /// The server compresses each message on its own.
    pub server_no_context_takeover: bool,
    /// The client compresses each message on its own.
    pub client_no_context_takeover: bool,
}

impl DeflateParams {
    /// The same with that [`server_max_window_bits`](Self::server_max_window_bits), brought into 8 to 15.
    #[must_use]
    pub const fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.server_max_window_bits = in_range(bits, 8, MAX_BITS);
        self
    }

    /// The same with that [`client_max_window_bits`](Self::client_max_window_bits), brought into 8 to 15.
    #[must_use]
    pub const fn client_max_window_bits(mut self, bits: u8) -> Self {
        self.client_max_window_bits = in_range(bits, 8, MAX_BITS);
        self
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

    /// The window of the messages that this side sends, and whether it outlives a message.
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

    /// The same for the messages that this side receives.
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

/// The nearest number that is in the range.
pub(super) const fn in_range(number: u8, least: u8, most: u8) -> u8 {
    if number < least {
        least
    } else if number > most {
        most
    } else {
        number
    }
}
