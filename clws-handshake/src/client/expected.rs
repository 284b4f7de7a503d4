//! The response that proves that the server read the handshake.

use crate::client::answer::AnswerError;
use crate::http::headers::{Headers, Single};
use crate::version_rules::{HIXIE_75, HIXIE_76, HixieResponse};

/// The parts of the response that depend on the request.
#[derive(Clone, Debug)]
pub(super) enum ExpectedResponse {
    /// The value of `Sec-WebSocket-Accept`.
    AcceptKey(Box<str>),
    /// The response of hixie-76.
    Digest { digest: [u8; 16], origin: Box<str>, location: Box<str> },
    /// hixie-75 has no challenge: its response repeats parts of the request.
    Echo { origin: Box<str>, location: Box<str> },
}

/// Checks the response of hixie-75. `head` begins at the status line.
pub(super) fn check_hixie_75(
    head: &[u8],
    headers: Headers<'_>,
    expected_origin: &str,
    expected_location: &str,
) -> Result<(), AnswerError> {
    // The draft has clients compare these lines byte for byte.
    let HixieResponse { start, origin, location } = HIXIE_75;
    let errors = [
        AnswerError::Malformed("the status line"),
        AnswerError::Header("Upgrade"),
        AnswerError::Header("Connection"),
    ];
    let mut rest = head;
    for (line, error) in start.split_inclusive('\n').zip(errors) {
        rest = rest.strip_prefix(line.as_bytes()).ok_or(error)?;
    }
    require(headers, origin, |value| value == expected_origin)?;
    require(headers, location, |value| value == expected_location)
}

/// Checks the headers of a response of hixie-76.
pub(super) fn check_hixie_76(
    headers: Headers<'_>,
    expected_origin: &str,
    expected_location: &str,
) -> Result<(), AnswerError> {
    // hixie-76 §4.1: "if the value is not exactly equal to the string "WebSocket", then fail the
    // WebSocket connection"; and if the value of Connection, "converted to ASCII lowercase, is not
    // exactly equal to the string "upgrade"". Origin and location must equal those of the request.
    // Each header must appear exactly once.
    require(headers, "Upgrade", |value| value == "WebSocket")?;
    require(headers, "Connection", |value| value.eq_ignore_ascii_case("upgrade"))?;
    require(headers, HIXIE_76.origin, |value| value == expected_origin)?;
    require(headers, HIXIE_76.location, |value| value == expected_location)
}

/// Checks a header that must appear exactly once.
pub(super) fn require(
    headers: Headers<'_>,
    name: &'static str,
    is_valid: impl Fn(&str) -> bool,
) -> Result<(), AnswerError> {
    match headers.single(name) {
        Single::One(value) if is_valid(value) => Ok(()),
        _ => Err(AnswerError::Header(name)),
    }
}
