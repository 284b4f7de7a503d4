//! In what the handshakes of the versions differ that announce a number: where another draft finds its place.

use clws_proto::Version;

use crate::challenge::accept_key;

/// The versions that a client can announce by number, the best first, as 426 lists them.
pub(crate) fn announced() -> impl Iterator<Item = Version> {
    Version::ALL.into_iter().rev().filter(|version| !version.is_hixie())
}

/// Those versions as a `Sec-WebSocket-Version` header lists them.
pub(crate) fn supported() -> String {
    announced().map(|version| version.to_string()).collect::<Vec<_>>().join(", ")
}

/// The version that a `Sec-WebSocket-Version` header names, if it is spoken.
pub(crate) fn by_number(number: &str) -> Option<Version> {
    announced().find(|version| number.parse() == Ok(version.number()) && !number.starts_with(['0', '+']))
}

/// The header that a client of that version tells its origin in.
pub(crate) const fn origin_header(version: Version) -> &'static str {
    match version {
        Version::Hixie75 | Version::Hybi00 | Version::Rfc6455 => "Origin",
        Version::Hybi07 | Version::Hybi08 => "Sec-WebSocket-Origin",
    }
}

/// The header that a client of that version offers subprotocols in, and a server answers with one.
pub(crate) const fn subprotocol_header(version: Version) -> &'static str {
    match version {
        Version::Hixie75 => "WebSocket-Protocol",
        _ => "Sec-WebSocket-Protocol",
    }
}

/// How a response of hixie-75 or hixie-76 begins.
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

/// Whether a client of that version may send this key.
pub(crate) fn is_key(version: Version, key: &str) -> bool {
    match version {
        Version::Hixie75 | Version::Hybi00 => false, // none, and two of another kind
        Version::Hybi07 | Version::Hybi08 => accept_key::is_draft_key(key),
        Version::Rfc6455 => accept_key::is_key(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_in_one_way() {
        for version in announced() {
            assert_eq!(by_number(&version.to_string()), Some(version));
        }
        for number in ["", "0", "013", "+13", "13 ", "12", "255", "256", "99999999999999999999", "x"] {
            assert_eq!(by_number(number), None, "{number:?}");
        }
    }
}
