//! The kinds that are counted separately: outcomes of handshakes, close codes, causes, versions.
//!
//! Their number is small and fixed, whatever the clients send, because each becomes a label of a
//! metric.

use std::fmt;

use clws_handshake::Version;
use clws_proto::CloseCode;

/// How an opening handshake ended. Each connection has exactly one outcome, except while its
/// handshake is in progress. A connection that is kept alive has an outcome for each HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HandshakeOutcome {
    /// It became a client.
    Accepted,
    /// It was refused: the request is wrong, no resource has its path, its origin is not admitted,
    /// or the application refuses it. [`HandshakeCount::status`](crate::HandshakeCount::status)
    /// tells these apart.
    Rejected,
    /// It was no handshake but a plain HTTP request, and the
    /// [HTTP hook](crate::Resources::http) answered. A Flash policy request counts here too.
    Http,
    /// The request did not arrive in time: 408.
    TimedOut,
    /// The application did not decide in time: 503.
    Undecided,
    /// There were as many clients as the server admits: 503.
    Full,
    /// The process had no file descriptor left: 503.
    NoDescriptor,
    /// The address had as many connections as it may have: 429.
    AddressLimit,
    /// The request had not arrived when too many later connections waited for theirs: 503.
    HandshakeLimit,
    /// The server stopped or drained: 503, or no answer if the peer had sent nothing.
    Stopping,
    /// The TLS handshake failed, or the peer spoke no TLS.
    Tls,
    /// The connection ended before the handshake was complete. A stream whose future is dropped
    /// then is not counted.
    Abandoned,
}

impl HandshakeOutcome {
    /// All outcomes, in the order of their counters.
    pub(crate) const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Rejected,
        Self::Http,
        Self::TimedOut,
        Self::Undecided,
        Self::Full,
        Self::NoDescriptor,
        Self::AddressLimit,
        Self::HandshakeLimit,
        Self::Stopping,
        Self::Tls,
        Self::Abandoned,
    ];

    /// A short name in lower case, for instance `timed_out`, as in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Http => "http",
            Self::TimedOut => "timed_out",
            Self::Undecided => "undecided",
            Self::Full => "full",
            Self::NoDescriptor => "no_descriptor",
            Self::AddressLimit => "address_limit",
            Self::HandshakeLimit => "handshake_limit",
            Self::Stopping => "stopping",
            Self::Tls => "tls",
            Self::Abandoned => "abandoned",
        }
    }

    /// The status of the response, where it is always the same.
    pub(crate) const fn status(self) -> Option<u16> {
        match self {
            Self::Accepted => Some(101),
            Self::TimedOut => Some(408),
            Self::Undecided | Self::Full | Self::NoDescriptor | Self::HandshakeLimit | Self::Stopping => {
                Some(503)
            }
            Self::AddressLimit => Some(429),
            Self::Rejected | Self::Http | Self::Tls | Self::Abandoned => None,
        }
    }
}

impl fmt::Display for HandshakeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a message was dropped or refused on its way to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropReason {
    /// [`SendError::Full`](crate::SendError::Full): too much was queued for the client already.
    Full,
    /// [`SendError::Closed`](crate::SendError::Closed): the client had disconnected, or was
    /// closing.
    Closed,
    /// Another [`SendError`](crate::SendError), for instance a binary message to a client of draft
    /// 0.
    Unsupported,
    /// A slow-client policy dropped the newest message.
    Newest,
    /// A slow-client policy dropped the oldest message.
    Oldest,
    /// A newer message with the same key replaced it.
    Replaced,
}

impl DropReason {
    /// All reasons, in the order of their counters.
    pub(crate) const ALL: [Self; 6] =
        [Self::Full, Self::Closed, Self::Unsupported, Self::Newest, Self::Oldest, Self::Replaced];

    /// A short name in lower case, for instance `full`, as in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Closed => "closed",
            Self::Unsupported => "unsupported",
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Replaced => "replaced",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The names of the causes of [`DisconnectCause`](crate::DisconnectCause), in the order of their
/// counters. A cause that is not here counts as the last one.
pub(crate) const CAUSES: [&str; 15] = [
    "closed",
    "vanished",
    "protocol",
    "io",
    "close_timeout",
    "write_timeout",
    "aborted",
    "panic",
    "budget",
    "stopped",
    "keepalive_timeout",
    "idle_timeout",
    "message_timeout",
    "excess",
    "other",
];

/// The place of a cause in [`CAUSES`].
pub(crate) fn cause_index(name: &str) -> usize {
    CAUSES.iter().position(|known| *known == name).unwrap_or(CAUSES.len() - 1)
}

/// The classes of close codes, in the order of their counters.
pub(crate) const CODES: [&str; 19] = [
    "1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012",
    "1013", "1014", "1015", "3xxx", "4xxx", "other",
];

/// The place of a close code in [`CODES`]. Clients choose codes from 3000 on freely, so these share
/// two places.
pub(crate) const fn code_index(code: CloseCode) -> usize {
    match code.value() {
        code @ 1000..=1015 => (code - 1000) as usize,
        3000..=3999 => 16,
        4000..=4999 => 17,
        _ => 18,
    }
}

/// The versions, in the order of their counters.
pub(crate) const VERSIONS: [Version; 5] =
    [Version::Hixie75, Version::Hybi00, Version::Hybi07, Version::Hybi08, Version::Rfc6455];

pub(crate) fn version_index(version: Version) -> usize {
    VERSIONS.iter().position(|known| *known == version).unwrap_or(VERSIONS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_counter() {
        for (index, outcome) in HandshakeOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index, "{outcome}");
        }
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason}");
        }
        for (index, cause) in CAUSES.into_iter().enumerate() {
            assert_eq!(cause_index(cause), index, "{cause}");
        }
        for (index, version) in VERSIONS.into_iter().enumerate() {
            assert_eq!(version_index(version), index, "{version:?}");
        }
    }

    #[test]
    fn codes_of_applications_share_a_class() {
        for (code, class) in
            [(1000, "1000"), (1015, "1015"), (3000, "3xxx"), (3999, "3xxx"), (4321, "4xxx"), (5000, "other")]
        {
            assert_eq!(CODES.get(code_index(CloseCode::new(code))), Some(&class), "{code}");
        }
    }
}
