use std::fmt;

use crate::version::Version;

/// The status code of a close frame, RFC 6455 §7.4.
///
/// Any `u16` can be held; [`is_allowed_in`](Self::is_allowed_in) tells which may stand in a frame of a version.
///
/// ```
/// use clws_proto::{CloseCode, Version};
///
/// assert!(CloseCode::NORMAL.is_allowed_in(Version::Rfc6455));
/// assert!(!CloseCode::new(1005).is_allowed_in(Version::Rfc6455)); // never on the wire
/// assert!(!CloseCode::TOO_BIG.is_allowed_in(Version::Hybi07)); // draft 7 says 1004
/// assert_eq!(CloseCode::TOO_BIG.nearest_in(Version::Hybi07), CloseCode::FRAME_TOO_LARGE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down, or the browser has left the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a type of data that this endpoint cannot accept.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1004: a frame that is too large; drafts 7 and 8 only, reserved since.
    pub const FRAME_TOO_LARGE: Self = Self(1004);
    /// 1005: no code was in the close frame; never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a close frame; never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: data that does not fit the message's type, such as text that is not UTF-8; not in draft 7.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a message that violates the endpoint's policy; not in draft 7.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message that is too big to process; not in draft 7.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: the client misses an extension that it needs; not in draft 7.
    pub const EXTENSION_REQUIRED: Self = Self(1010);
    /// 1011: the server met a condition it did not expect; not in draft 7.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the service restarts (IANA registry); RFC 6455 only.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: try again later (IANA registry); RFC 6455 only.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer (IANA registry); RFC 6455 only.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The code with that number.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Whether a close frame of that version may carry this code.
    ///
    /// RFC 6455 §7.4 with the codes that IANA registered since (1012 to 1014); for draft 8 the codes of drafts
    /// 8 to 12, which all announce version 8; for draft 7 its own table, 1000 to 1004. 3000 to 4999 are the
    /// libraries' and the applications' in each of them. Draft 0 and hixie-75 have no codes.
    #[must_use]
    pub const fn is_allowed_in(self, version: Version) -> bool {
        match version {
            Version::Hixie75 | Version::Hybi00 => false,
            Version::Hybi07 => matches!(self.0, 1000..=1004 | 3000..=4999),
            Version::Hybi08 => matches!(self.0, 1000..=1004 | 1007..=1011 | 3000..=4999),
            Version::Rfc6455 => matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999),
        }
    }

    /// The code to send in that version instead of one that its table lacks; itself where it is allowed.
    ///
    /// So one server speaks RFC 6455's codes and each draft's client reads the closest word it knows. A number
    /// that no table has stays as it is (and is refused by [`Sender::close`](crate::Sender::close)).
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
    /// Why the peer closes.
    pub code: CloseCode,
    /// The reason in words, at most 123 bytes; meant for a log, not for a user.
    pub reason: &'a str,
}

/// The longest reason that fits into a close frame, in bytes. RFC 6455 §5.5: "All control frames MUST have a payload
/// length of 125 bytes or less"; the code takes two of them. Drafts 7 and 8 say the same.
const MAX_REASON: usize = 123;

/// Writes the body of a close frame; returns its length. Of a reason that is too long the beginning is written, up to the
/// end of a character.
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
    fn each_version_has_its_table() {
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
    fn the_nearest_code_is_always_in_the_table() {
        for version in Version::ALL.into_iter().filter(|version| !version.is_hixie()) {
            for code in [1000, 1001, 1002, 1003, 1004, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 4000] {
                assert!(CloseCode(code).nearest_in(version).is_allowed_in(version), "{code} in {version}");
            }
            assert_eq!(CloseCode(1005).nearest_in(version), CloseCode(1005));
        }
    }

    #[test]
    fn a_reason_is_cut_at_the_end_of_a_character() {
        let written = |reason: &str| -> Vec<u8> {
            let mut body = [0xAA; 125];
            let len = write_body(&mut body, CloseCode::NORMAL, reason);
            assert!(body[len..].iter().all(|&byte| byte == 0xAA), "nothing behind the body");
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
