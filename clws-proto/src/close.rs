//! Close codes and close frames.

use std::fmt;

use crate::version::Version;

/// The status code of a close frame, RFC 6455 §7.4.
///
/// Any `u16` is a valid value. [`is_allowed_in`](Self::is_allowed_in) tells whether a frame of a
/// version may carry it.
///
/// ```
/// use clws_proto::{CloseCode, Version};
///
/// assert!(CloseCode::NORMAL.is_allowed_in(Version::Rfc6455));
/// assert!(!CloseCode::new(1005).is_allowed_in(Version::Rfc6455)); // never sent in a frame
/// assert!(!CloseCode::TOO_BIG.is_allowed_in(Version::Hybi07)); // draft 7 uses 1004
/// assert_eq!(CloseCode::TOO_BIG.nearest_in(Version::Hybi07), CloseCode::FRAME_TOO_LARGE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server is going down, or the browser has left the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer violated the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: this endpoint cannot accept the type of data.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1004: a frame is too large. Drafts 7 and 8 only, reserved since.
    pub const FRAME_TOO_LARGE: Self = Self(1004);
    /// 1005: the close frame had no code. Never sent in a frame.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a close frame. Never sent in a frame.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: data does not match the message's type, such as text that is not UTF-8. Not in draft
    /// 7.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a message violates the endpoint's policy. Not in draft 7.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message is too big to process. Not in draft 7.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: the server did not negotiate an extension that the client needs. Not in draft 7.
    pub const EXTENSION_REQUIRED: Self = Self(1010);
    /// 1011: the server met an unexpected condition. Not in draft 7.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the service restarts (IANA registry). RFC 6455 only.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: try again later (IANA registry). RFC 6455 only.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway received a bad answer (IANA registry). RFC 6455 only.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Creates a code from its number.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Whether a close frame of `version` may carry this code.
    ///
    /// RFC 6455 allows the codes of its §7.4 and 1012 to 1014, which IANA registered later. Version
    /// 8 allows the codes of drafts 8 to 12, which all announce version 8. Draft 7 allows 1000 to
    /// 1004. All three allow 3000 to 4999 for libraries and applications. Draft 0 and hixie-75 have
    /// no codes.
    #[must_use]
    pub const fn is_allowed_in(self, version: Version) -> bool {
        match version {
            Version::Hixie75 | Version::Hybi00 => false,
            Version::Hybi07 => matches!(self.0, 1000..=1004 | 3000..=4999),
            Version::Hybi08 => matches!(self.0, 1000..=1004 | 1007..=1011 | 3000..=4999),
            Version::Rfc6455 => matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999),
        }
    }

    /// The closest code that `version` allows. A code that is allowed stays the same.
    ///
    /// A server can use the codes of RFC 6455 with clients of every draft. A number that no version
    /// defines stays the same, and [`Sender::close`](crate::Sender::close) refuses it.
    #[must_use]
    pub const fn nearest_in(self, version: Version) -> Self {
        if self.is_allowed_in(version) || version.is_hixie() {
            return self;
        }
        match (version, self.0) {
            (Version::Hybi07 | Version::Hybi08, 1009) => Self::FRAME_TOO_LARGE,
            (Version::Hybi07, 1007) => Self::UNSUPPORTED,
            (Version::Hybi07, 1008 | 1010) => Self::PROTOCOL_ERROR,
            (Version::Hybi07, 1011) | (Version::Hybi07 | Version::Hybi08, 1012..=1014) => Self::GOING_AWAY,
            (Version::Rfc6455, 1004) => Self::TOO_BIG,
            _ => self,
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

/// The code and the reason of a close frame, borrowed from the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// The status code.
    pub code: CloseCode,
    /// The reason as text, at most 123 bytes. It is meant for a log, not for a user.
    pub reason: &'a str,
}

/// The maximum length of a close reason. RFC 6455 §5.5: "All control frames MUST have a payload
/// length of 125 bytes or less". The code takes two bytes. Drafts 7 and 8 have the same rule.
const MAX_REASON: usize = 123;

/// Writes the body of a close frame and returns its length. A reason that is too long is truncated
/// at a character boundary.
pub(crate) fn write_body(body: &mut [u8; 125], code: CloseCode, reason: &str) -> usize {
    let end = (0..=reason.len().min(MAX_REASON)).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or(0);
    let (head, rest) = body.split_at_mut(2);
    head.copy_from_slice(&code.value().to_be_bytes());
    rest[..end].copy_from_slice(&reason.as_bytes()[..end]);
    2 + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_allows_its_codes() {
        let allowed = |version| -> Vec<u16> {
            (0..=u16::MAX).filter(|&c| c < 3000 && CloseCode(c).is_allowed_in(version)).collect()
        };
        assert_eq!(allowed(Version::Hixie75), []);
        assert_eq!(allowed(Version::Hybi00), []);
        assert_eq!(allowed(Version::Hybi07), [1000, 1001, 1002, 1003, 1004]);
        assert_eq!(allowed(Version::Hybi08), [1000, 1001, 1002, 1003, 1004, 1007, 1008, 1009, 1010, 1011]);
        assert_eq!(
            allowed(Version::Rfc6455),
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]
        );
        for version in Version::ALL.into_iter().filter(|version| !version.is_hixie()) {
            assert!((3000..5000).all(|c| CloseCode(c).is_allowed_in(version)));
            assert!(!CloseCode(5000).is_allowed_in(version) && !CloseCode(u16::MAX).is_allowed_in(version));
        }
    }

    #[test]
    fn the_nearest_code_is_always_allowed() {
        for version in Version::ALL.into_iter().filter(|version| !version.is_hixie()) {
            for code in [1000, 1001, 1002, 1003, 1004, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 4000] {
                assert!(CloseCode(code).nearest_in(version).is_allowed_in(version), "{code} in {version}");
            }
            assert_eq!(CloseCode(1005).nearest_in(version), CloseCode(1005));
        }
    }

    #[test]
    fn truncates_a_reason_at_a_character_boundary() {
        let written = |reason: &str| -> Vec<u8> {
            let mut body = [0xAA; 125];
            let len = write_body(&mut body, CloseCode::NORMAL, reason);
            assert!(body[len..].iter().all(|&byte| byte == 0xAA), "nothing is written after the body");
            body[..len].to_vec()
        };
        for character in ["x", "\u{fc}", "\u{20ac}", "\u{1f600}"] {
            for before in 0..4 {
                for len in (0..=130).chain([1000, 70_000]) {
                    let reason = "-".repeat(before) + &character.repeat(len);
                    let fits =
                        reason.char_indices().map(|(at, c)| at + c.len_utf8()).filter(|&end| end <= 123);
                    let expected = &reason[..fits.max().unwrap_or(0)];
                    assert_eq!(
                        written(&reason),
                        [b"\x03\xe8", expected.as_bytes()].concat(),
                        "{before} {len}"
                    );
                }
            }
        }
    }
}
