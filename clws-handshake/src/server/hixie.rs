//! The opening handshakes of hixie-75 and hixie-76.

use clws_proto::Version;

use crate::challenge::hixie_76::{self, InvalidKey};
use crate::http::headers::{Headers, Single};
use crate::http::reject::Reject;
use crate::http::request::HttpRequest;
use crate::limits::Status;
use crate::server::fields::required;
use crate::server::request::{ChallengeResponse, Request};
use crate::version_rules;

/// Whether a request without `Sec-WebSocket-Version` and without the keys of hixie-76 can be
/// hixie-75.
///
/// hixie-75 has no header with the prefix `Sec-WebSocket-`. A request with such a header is a
/// broken handshake of a later version. So is a request with RFC 6455's spelling of `Upgrade`: an
/// intermediary removed its other headers.
pub(super) fn may_be_hixie_75(headers: Headers<'_>) -> bool {
    let prefix = "Sec-WebSocket-";
    let has_its_spelling = matches!(headers.single("Upgrade"), Single::One("WebSocket"));
    let is_later = headers
        .iter_bytes()
        .any(|(name, _)| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)));
    has_its_spelling && !is_later
}

pub(super) fn upgrade_hixie_75<'a>(
    http: HttpRequest<'a>,
    origin: Option<&'a str>,
) -> Result<Request<'a>, Reject> {
    // Every client of hixie-75 sends its origin, and the response repeats it. An application has
    // nothing else to judge such a handshake by.
    if origin.is_none_or(str::is_empty) {
        return Err(Reject::bad_request("hixie-75 requires an Origin header"));
    }
    check_subprotocol(http.headers(), Version::Hixie75)?;
    Ok(Request {
        http,
        version: Version::Hixie75,
        challenge_response: ChallengeResponse::None,
        origin,
        consumed: http.head_len(),
    })
}

pub(super) fn upgrade_hixie_76<'a>(
    http: HttpRequest<'a>,
    body: &[u8],
    origin: Option<&'a str>,
) -> Result<Status<Request<'a>>, Reject> {
    let headers = http.headers();
    // hixie-76 does not define Content-Length, but some of its clients send it for the 8 bytes.
    if !matches!(headers.single("Content-Length"), Single::Missing | Single::One("8")) {
        return Err(Reject::bad_request("the Content-Length of a draft 0 handshake must be 8"));
    }
    if headers.get_bytes("Transfer-Encoding").is_some() {
        return Err(Reject::bad_request("a WebSocket handshake must not have Transfer-Encoding"));
    }
    // hixie-76 §4.1 requires every client to send its origin, and the response of §5.2 repeats it.
    if origin.is_none() {
        return Err(Reject::bad_request("draft 0 requires an Origin header"));
    }
    check_subprotocol(headers, Version::Hybi00)?;
    let digest_with = |body: &[u8; hixie_76::BODY_LEN]| {
        let (key1, key2) =
            (required(headers, "Sec-WebSocket-Key1")?, required(headers, "Sec-WebSocket-Key2")?);
        hixie_76::response(key1, key2, body).map_err(|InvalidKey(why)| Reject::bad_request(why))
    };
    let Some(body) = body.first_chunk() else {
        // Invalid keys are refused before the body arrives.
        digest_with(&[0; hixie_76::BODY_LEN])?;
        return Ok(Status::Partial);
    };
    Ok(Status::Complete(Request {
        http,
        version: Version::Hybi00,
        challenge_response: ChallengeResponse::Digest(digest_with(body)?),
        origin,
        consumed: http.head_len() + hixie_76::BODY_LEN,
    }))
}

fn check_subprotocol(headers: Headers<'_>, version: Version) -> Result<(), Reject> {
    let name = version_rules::subprotocol_header(version);
    match headers.single(name) {
        Single::Missing => Ok(()),
        // hixie-76 §4.1: one name, of characters in the range U+0020 to U+007E.
        Single::One(value) if !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            Ok(())
        }
        _ => Err(Reject::bad_request(format!("the {name} header is malformed"))),
    }
}
