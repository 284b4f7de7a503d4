//! The differences between the handshakes of the versions. Add a version to
//! `clws_proto::Version` first. The compiler then leads here.

use clws_proto::Version;

use crate::challenge::accept_key;

/// The versions with a number in `Sec-WebSocket-Version`, newest first, as in a 426 response.
pub(crate) fn announced() -> impl Iterator<Item = Version> {
    Version::ALL.into_iter().rev().filter(|version| !version.is_hixie())
}

/// The value of the `Sec-WebSocket-Version` header of a 426 response.
pub(crate) fn supported() -> String {
    announced().map(|version| version.to_string()).collect::<Vec<_>>().join(", ")
}

/// The version with this number in `Sec-WebSocket-Version`, if it is supported.
pub(crate) fn by_number(number: &str) -> Option<Version> {
    announced().find(|version| number.parse() == Ok(version.number()) && !number.starts_with(['0', '+']))
}

/// The header in which a client of this version sends its origin.
pub(crate) const fn origin_header(version: Version) -> &'static str {
    match version {
        Version::Hixie75 | Version::Hybi00 | Version::Rfc6455 => "Origin",
        Version::Hybi07 | Version::Hybi08 => "Sec-WebSocket-Origin",
    }
}

/// The header for the offered subprotocols of a client and the chosen one of the server.
pub(crate) const fn subprotocol_header(version: Version) -> &'static str {
    match version {
        Version::Hixie75 => "WebSocket-Protocol",
        _ => "Sec-WebSocket-Protocol",
    }
}

/// The beginning of a response of hixie-75 or hixie-76.
#[derive(Clone, Copy)]
pub(crate) struct HixieResponse {
    /// The status line and the first two header lines.
    pub(crate) start: &'static str,
    /// The name of the header that repeats the origin.
    pub(crate) origin: &'static str,
    /// The name of the header that repeats the URL.
    pub(crate) location: &'static str,
}

// Clients of hixie-75 compare these lines byte for byte and in this order.
pub(crate) const HIXIE_75: HixieResponse = HixieResponse {
    start: "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n",
    origin: "WebSocket-Origin",
    location: "WebSocket-Location",
};

// Clients of hixie-76 compare "WebSocket" and "Upgrade" byte for byte (hixie-76 §4.1).
pub(crate) const HIXIE_76: HixieResponse = HixieResponse {
    start: "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n",
    origin: "Sec-WebSocket-Origin",
    location: "Sec-WebSocket-Location",
};

/// Whether a client of this version may send this key.
pub(crate) fn is_key(version: Version, key: &str) -> bool {
    match version {
        Version::Hixie75 | Version::Hybi00 => false,
        Version::Hybi07 | Version::Hybi08 => accept_key::is_draft_key(key),
        Version::Rfc6455 => accept_key::is_key(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_number_has_only_one_spelling() {
        for version in announced() {
            assert_eq!(by_number(&version.to_string()), Some(version));
        }
        for number in ["", "0", "013", "+13", "13 ", "12", "255", "256", "99999999999999999999", "x"] {
            assert_eq!(by_number(number), None, "{number:?}");
        }
    }
}
