//! The handshake of draft-hixie-thewebsocketprotocol-75. It has no challenge: the answer only repeats what was asked for.

use clws_proto::Version;

use crate::client::pending::AnswerError;
use crate::headers::{Headers, Single};
use crate::http::HttpRequest;
use crate::reject::Reject;
use crate::request::ChallengeResponse;
use crate::request::Request;

/// The first bytes of the answer, and the headers with the origin and the location.
pub(crate) const ANSWER: [&str; 3] = [
    // Its clients compare these bytes: there is a blank in "Web Socket", and the lines come in this order.
    "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n",
    "WebSocket-Origin",
    "WebSocket-Location",
];

/// Whether a request without a version and without draft 0's keys can be one of hixie-75.
///
/// That draft has no header of this prefix. A request that has one is a broken handshake of a later version. So is one whose
/// `Upgrade` is written as RFC 6455 has it: something on the way has taken the other headers out.
pub(crate) fn may_be_meant(headers: Headers<'_>) -> bool {
    let prefix = "Sec-WebSocket-";
    let is_spelled = matches!(headers.single("Upgrade"), Single::One("WebSocket"));
    let is_later = headers
        .iter_bytes()
        .any(|(name, _)| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)));
    is_spelled && !is_later
}

/// Reads the request. Nothing belongs to it behind the head.
pub(crate) fn read<'a>(http: HttpRequest<'a>, origin: Option<&'a str>) -> Result<Request<'a>, Reject> {
    // The draft has every client send the origin of its page, and the answer repeats it. The origin is all that such a
    // handshake can be judged by.
    if origin.is_none_or(str::is_empty) {
        return Err(Reject::bad_request("hixie-75 requires an Origin"));
    }
    match http.headers().single("WebSocket-Protocol") {
        Single::Missing => {}
        // One name, of printable characters.
        Single::One(name) if !name.is_empty() && name.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {}
        _ => return Err(Reject::bad_request("the WebSocket-Protocol header is malformed")),
    }
    let consumed = http.head_len();
    Ok(Request { http, version: Version::Hixie75, proof: ChallengeResponse::Nothing, origin, consumed })
}

/// Checks the answer to a client. `head` is its status line and its header lines, the status is 101.
pub(crate) fn check(
    head: &[u8],
    headers: Headers<'_>,
    origin: &str,
    location: &str,
) -> Result<(), AnswerError> {
    let [first, origin_name, location_name] = ANSWER;
    // The draft has its clients compare them byte for byte.
    let wrong = [
        AnswerError::Malformed("the status line"),
        AnswerError::Header("Upgrade"),
        AnswerError::Header("Connection"),
    ];
    let mut rest = head;
    for (line, wrong) in first.split_inclusive('\n').zip(wrong) {
        rest = rest.strip_prefix(line.as_bytes()).ok_or(wrong)?;
    }
    for (name, expected) in [(origin_name, origin), (location_name, location)] {
        if !matches!(headers.single(name), Single::One(value) if value == expected) {
            return Err(AnswerError::Header(name));
        }
    }
    Ok(())
}
