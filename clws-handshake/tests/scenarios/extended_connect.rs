//! WebSocket over HTTP/2 (RFC 8441).

use crate::common::head;
use clws_handshake::{Acceptance, HandshakeLimits, HttpRequest, Reject, Version};

/// The request of RFC 8441 §5.1, written as a GET.
const RFC_8441: &[&str] = &[
    "GET /chat HTTP/1.1",
    "host: server.example.com",
    "sec-websocket-protocol: chat, superchat",
    "sec-websocket-extensions: permessage-deflate",
    "sec-websocket-version: 13",
    "origin: http://www.example.com",
];

#[track_caller]
fn status(lines: &[&str]) -> Result<(), u16> {
    let bytes = head(lines);
    let request = HttpRequest::parse(&bytes, &HandshakeLimits::default()).unwrap();
    request.extended_connect().map(drop).map_err(|reject: Reject| reject.status())
}

#[test]
fn the_response_is_200_without_a_key() {
    let bytes = head(RFC_8441);
    let request = HttpRequest::parse(&bytes, &HandshakeLimits::default()).unwrap();
    let request = request.extended_connect().unwrap();
    assert_eq!(request.version(), Version::Rfc6455);
    assert_eq!((request.path(), request.host()), ("/chat", "server.example.com"));
    assert_eq!(request.origin(), Some("http://www.example.com"));
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    let accepted = request.accept(&Acceptance::new().subprotocol("chat")).unwrap();
    assert_eq!(accepted.status, 200);
    assert_eq!(accepted.headers().iter().collect::<Vec<_>>(), [("Sec-WebSocket-Protocol", "chat")]);
}

#[cfg(feature = "deflate")]
#[test]
fn compression_is_negotiated() {
    let bytes = head(RFC_8441);
    let request = HttpRequest::parse(&bytes, &HandshakeLimits::default()).unwrap();
    let acceptance = Acceptance::new().deflate(&clws_handshake::DeflateConfig::default());
    let accepted = request.extended_connect().unwrap().accept(&acceptance).unwrap();
    assert!(accepted.deflate.is_some());
    let value = accepted.headers().get("Sec-WebSocket-Extensions");
    assert!(value.is_some_and(|value| value.starts_with("permessage-deflate")));
}

#[test]
fn a_key_and_an_expectation_have_no_effect() {
    let bytes = head([RFC_8441, &["sec-websocket-key: x", "expect: 100-continue"]].concat());
    let request = HttpRequest::parse(&bytes, &HandshakeLimits::default()).unwrap();
    let accepted = request.extended_connect().unwrap().accept(&Acceptance::new()).unwrap();
    assert!(accepted.headers().is_empty());
}

#[test]
fn other_requests_are_refused() {
    assert_eq!(status(RFC_8441), Ok(()));
    let with = |line: &'static str| [&RFC_8441[..4], &[line]].concat();
    assert_eq!(status(&with("sec-websocket-version: 8")), Err(400));
    assert_eq!(status(&with("sec-websocket-version: 14")), Err(426));
    assert_eq!(status(&with("sec-websocket-key1: a")), Err(400));
    assert_eq!(status(&RFC_8441[..4]), Err(400), "another protocol than WebSocket has no version");
    let plus = |line: &'static str| [RFC_8441, &[line]].concat();
    assert_eq!(status(&plus("content-length: 5")), Err(400));
    assert_eq!(status(&plus("origin: http://b.example")), Err(400));
    assert_eq!(status(&plus("sec-websocket-protocol: chat")), Err(400));
    assert_eq!(status(&plus("sec-websocket-extensions: ;")), Err(400));
}
