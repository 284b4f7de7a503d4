//! Protocol versions and roles.

use std::fmt;

/// A deployed version of the WebSocket protocol.
///
/// The framings of hybi-07, hybi-08 and RFC 6455 differ only in their close codes. Draft 0 and
/// hixie-75 share another framing; hixie-75 has no closing handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// draft-hixie-thewebsocketprotocol-75 (Chrome 4, Safari 5.0.0): the frames of draft 0 without
    /// a closing handshake. Either side ends the TCP connection instead.
    Hixie75,
    /// hixie-76, also published as hybi-00: text frames `0x00 .. 0xFF`, no binary frames, no pings.
    Hybi00,
    /// draft-ietf-hybi-thewebsocketprotocol-07 (`Sec-WebSocket-Version: 7`).
    Hybi07,
    /// draft-ietf-hybi-thewebsocketprotocol-08 to -12 (`Sec-WebSocket-Version: 8`).
    Hybi08,
    /// RFC 6455, and the drafts 13 to 17 before it (`Sec-WebSocket-Version: 13`).
    Rfc6455,
}

impl Version {
    /// The number that a client of this version announces: 0, 7, 8 or 13. Hixie-75 announces none
    /// and is 75 here.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Hixie75 => 75,
            Self::Hybi00 => 0,
            Self::Hybi07 => 7,
            Self::Hybi08 => 8,
            Self::Rfc6455 => 13,
        }
    }

    /// All versions, the oldest first.
    pub const ALL: [Self; 5] = [Self::Hixie75, Self::Hybi00, Self::Hybi07, Self::Hybi08, Self::Rfc6455];

    /// The version with this number, if it is supported.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.number() == number)
    }

    /// Whether this is draft 0 or hixie-75, which have only text frames and no close codes.
    #[must_use]
    pub const fn is_hixie(self) -> bool {
        matches!(self, Self::Hixie75 | Self::Hybi00)
    }

    /// Whether a close frame ends a connection. Only hixie-75 has none: each side ends its side of
    /// the TCP connection after its last message.
    #[must_use]
    pub const fn has_close_frame(self) -> bool {
        !matches!(self, Self::Hixie75)
    }

    /// Whether pings, pongs and binary messages exist. Draft 0 and hixie-75 have text messages
    /// only.
    #[must_use]
    pub const fn has_control_frames(self) -> bool {
        match self {
            Self::Hixie75 | Self::Hybi00 => false,
            Self::Hybi07 | Self::Hybi08 | Self::Rfc6455 => true,
        }
    }

    /// Whether a close frame can carry a code and a reason.
    #[must_use]
    pub const fn has_close_codes(self) -> bool {
        match self {
            Self::Hixie75 | Self::Hybi00 => false,
            Self::Hybi07 | Self::Hybi08 | Self::Rfc6455 => true,
        }
    }

    /// Whether permessage-deflate can be negotiated. RFC 7692 defines it for RFC 6455 only.
    #[must_use]
    pub const fn has_extensions(self) -> bool {
        match self {
            Self::Hixie75 | Self::Hybi00 | Self::Hybi07 | Self::Hybi08 => false,
            Self::Rfc6455 => true,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// The role of an endpoint. It decides which frames are masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Receives masked frames and sends unmasked frames.
    Server,
    /// Receives unmasked frames and sends masked frames.
    Client,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_every_version() {
        // The compiler requires a new version here. The length then requires it in `ALL`.
        const VERSIONS: usize = 5;
        let index = |version| match version {
            Version::Hixie75 => 0,
            Version::Hybi00 => 1,
            Version::Hybi07 => 2,
            Version::Hybi08 => 3,
            Version::Rfc6455 => VERSIONS - 1,
        };
        assert_eq!(Version::ALL.len(), VERSIONS);
        assert_eq!(Version::ALL.map(index), std::array::from_fn(|i| i));
        for version in Version::ALL {
            assert_eq!(Version::from_number(version.number()), Some(version));
        }
        assert_eq!(Version::from_number(14), None);
    }

    #[test]
    fn each_version_has_what_its_draft_defines() {
        let with = |has: fn(Version) -> bool| Version::ALL.map(|version| u8::from(has(version)));
        assert_eq!(with(Version::has_close_frame), [0, 1, 1, 1, 1]);
        assert_eq!(with(Version::has_control_frames), [0, 0, 1, 1, 1]);
        assert_eq!(with(Version::has_close_codes), [0, 0, 1, 1, 1]);
        assert_eq!(with(Version::has_extensions), [0, 0, 0, 0, 1]);
    }
}
