//! The client side with the server side, and with servers that respond wrongly.

#![allow(clippy::cast_possible_truncation, reason = "only the low byte is wanted")]

use crate::common::whole;
use clws_handshake::client::{AnswerError, ClientRequest, Pending, RequestError};
use clws_handshake::{Acceptance, HandshakeLimits, HeaderError, Reject, Status, Version};

/// A deterministic source of bytes, different for each seed.
fn random(mut state: u32) -> impl FnMut(&mut [u8]) {
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
    }
}

fn request(version: Version) -> ClientRequest<'static> {
    ClientRequest::new(version, "ws://Server.Example:8080/chat?x=y").origin("http://page.example")
}

/// The pending handshake of a request with a subprotocol, and the right response.
fn exchange(version: Version) -> (Pending, String) {
    let (bytes, pending) = request(version).subprotocol("chat").build(&mut random(5)).unwrap();
    let answer = whole(&bytes).unwrap().accept(&Acceptance::new().subprotocol("chat")).unwrap().response;
    // Latin-1, so that a string can hold the digest of draft 0.
    (pending, answer.iter().map(|&byte| char::from(byte)).collect())
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| char as u8).collect()
}

#[test]
fn the_server_accepts_the_client_in_every_version() {
    for version in Version::ALL {
        for seed in 0..50 {
            let (bytes, mut pending) = request(version)
                .subprotocol("chat")
                .header("Cookie", "a=b")
                .build(&mut random(seed))
                .unwrap();
            let request = whole(&bytes).unwrap();
            assert_eq!(request.version(), version);
            assert_eq!((request.path(), request.query()), ("/chat", Some("x=y")));
            assert_eq!(
                (request.host(), request.origin()),
                ("server.example:8080", Some("http://page.example"))
            );
            assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat"]);
            assert_eq!(request.headers().get("cookie"), Some("a=b"));
            assert_eq!(request.consumed(), bytes.len());
            let acceptance = Acceptance::new().subprotocol("chat").header("X-Served-By", "me");
            let mut answer = request.accept(&acceptance).unwrap().response;
            let end = answer.len();
            answer.extend_from_slice(b"\x81\x00\r\n\r\n");
            for length in 0..end {
                let got = pending.check(&answer[..length], &HandshakeLimits::default());
                assert!(matches!(got, Ok(Status::Partial)), "{version} {length}");
            }
            let open = pending.check(&answer, &HandshakeLimits::default()).unwrap().complete().unwrap();
            assert_eq!((open.version, open.consumed, open.subprotocol), (version, end, Some("chat")));
            assert_eq!(open.headers.get("x-served-by"), Some("me"));
        }
    }
}

#[test]
fn requests_are_exact() {
    let (bytes, _) = ClientRequest::new(Version::Rfc6455, "ws://server.example.com/chat")
        .origin("http://example.com")
        .subprotocol("chat")
        .subprotocol("superchat")
        .build(&mut |bytes: &mut [u8]| bytes.copy_from_slice(b"the sample nonce"))
        .unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n"
    );
    for version in [Version::Hybi07, Version::Hybi08] {
        let (bytes, _) = request(version).build(&mut random(1)).unwrap();
        let request = whole(&bytes).unwrap();
        assert_eq!(request.headers().get("Sec-WebSocket-Origin"), Some("http://page.example"));
        assert_eq!(request.headers().get("Origin"), None);
    }
}

#[test]
fn draft_0_sends_its_headers_in_random_order() {
    let names = |seed| {
        let (bytes, _) = request(Version::Hybi00).build(&mut random(seed)).unwrap();
        let request = whole(&bytes).unwrap();
        request.headers().iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    let orders: std::collections::HashSet<_> = (0..20).map(names).collect();
    assert!(orders.len() > 10, "{}", orders.len());
    assert!(orders.iter().all(|order| order.len() == 6));
}

#[test]
fn wrong_responses_fail() {
    for version in Version::ALL {
        let (pending, right) = exchange(version);
        let check = |answer: &str| {
            let answer = latin1(answer);
            pending
                .clone()
                .check(&answer, &HandshakeLimits::default())
                .map(|status| status.complete().map(|open| open.consumed))
        };
        assert_eq!(check(&right), Ok(Some(right.chars().count())));
        let wrong = |from: &str, to: &str, error: AnswerError| {
            let changed = right.replace(from, to);
            assert_ne!(changed, right, "{from}");
            assert_eq!(check(&changed), Err(error), "{version}: {changed}");
        };
        wrong("Upgrade: ", "Downgrade: ", AnswerError::Header("Upgrade"));
        wrong("Connection: Upgrade\r\n", "", AnswerError::Header("Connection"));
        wrong("Connection: Upgrade\r\n", "Connection: close\r\n", AnswerError::Header("Connection"));
        wrong("Protocol: chat", "Protocol: Chat", AnswerError::Subprotocol);
        wrong("Protocol: chat", "Protocol: chat, chat", AnswerError::Subprotocol);
        wrong("HTTP/1.1", "HTTP/1.0", AnswerError::Malformed("the status line"));
        wrong("HTTP/1.1", "ICY/1.1", AnswerError::Malformed("the status line"));
        let name = if version == Version::Hixie75 { "WebSocket-" } else { "Sec-WebSocket-" };
        let line = format!("\r\n{name}");
        wrong(&line, &format!("\n{name}"), AnswerError::Malformed("a line end other than CRLF"));
        wrong(&line, &format!("\r\n {name}"), AnswerError::Malformed("a header line"));
        wrong("\r\n\r\n", &format!("{line}Protocol: chat\r\n\r\n"), AnswerError::Subprotocol);
    }
}

#[test]
fn wrong_accept_values_fail() {
    for version in [Version::Hybi07, Version::Hybi08, Version::Rfc6455] {
        let (mut pending, right) = exchange(version);
        let (_, other) = {
            let (bytes, _) = request(version).build(&mut random(6)).unwrap();
            ((), whole(&bytes).unwrap().accept(&Acceptance::new()).unwrap().response)
        };
        let wrong = Err(AnswerError::Header("Sec-WebSocket-Accept"));
        let mut check = |answer: &[u8]| pending.check(answer, &HandshakeLimits::default()).map(|_| ());
        assert_eq!(check(&other), wrong);
        assert_eq!(check(right.replace("-Accept", "-Except").as_bytes()), wrong);
        let line = right.lines().find(|line| line.contains("Accept")).unwrap();
        assert_eq!(check(right.replace(line, &format!("{line}\r\n{line}")).as_bytes()), wrong);
        let extension = right.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
        assert_eq!(check(extension.as_bytes()), Err(AnswerError::Extension));
        for none in ["", " ", ",", " ,\t, "] {
            let none = format!("\r\nSec-WebSocket-Extensions: {none}\r\n\r\n");
            assert_eq!(check(right.replace("\r\n\r\n", &none).as_bytes()), Ok(()), "{none:?}");
        }
        // Unlike in draft 0, Upgrade and Connection ignore case. A server need not choose a
        // subprotocol.
        let loose = right
            .replace("Upgrade: websocket", "UPGRADE: WebSocket")
            .replace("Connection: U", "Connection: a, u");
        assert_eq!(check(loose.replace("Sec-WebSocket-Protocol: chat\r\n", "").as_bytes()), Ok(()));
    }
}

#[test]
fn draft_0_compares_exactly() {
    let (pending, right) = exchange(Version::Hybi00);
    let check =
        |answer: &str| pending.clone().check(&latin1(answer), &HandshakeLimits::default()).map(|_| ());
    for (from, to, error) in [
        ("Upgrade: WebSocket", "Upgrade: websocket", AnswerError::Header("Upgrade")),
        ("http://page.example", "http://PAGE.example", AnswerError::Header("Sec-WebSocket-Origin")),
        ("ws://server.example:8080/", "ws://server.example/", AnswerError::Header("Sec-WebSocket-Location")),
        ("ws://server", "wss://server", AnswerError::Header("Sec-WebSocket-Location")),
        ("/chat?x=y", "/chat", AnswerError::Header("Sec-WebSocket-Location")),
        ("Sec-WebSocket-Protocol: chat\r\n", "", AnswerError::Subprotocol),
        ("\r\n\r\n", "\r\n\r\n.", AnswerError::Digest),
    ] {
        let changed = right.replace(from, to);
        assert_ne!(changed, right, "{from}");
        assert_eq!(check(&changed), Err(error), "{changed}");
    }
}

#[test]
fn a_refusal_is_reported() {
    for version in Version::ALL {
        let (mut pending, _) = exchange(version);
        let refusal = Reject::not_found().response();
        let expected = AnswerError::Refused { status: 404, reason: "Not Found".into() };
        assert_eq!(pending.check(&refusal, &HandshakeLimits::default()).unwrap_err(), expected);
        assert_eq!(expected.to_string(), "the server answered 404 Not Found");
    }
    let check = |answer: &[u8], limits: &HandshakeLimits| {
        exchange(Version::Rfc6455).0.check(answer, limits).map(|_| ()).unwrap_err()
    };
    assert_eq!(
        check(b"HTTP/1.1 503\r\n\r\n", &HandshakeLimits::default()),
        AnswerError::Refused { status: 503, reason: "".into() }
    );
    assert_eq!(
        check(b"HTTP/1.1 101 x\r\nA: b\r\n", &HandshakeLimits::default().max_head_bytes(20)),
        AnswerError::TooLarge
    );
    let lines = b"HTTP/1.1 101 x\r\nA: b\r\nA: b\r\n\r\n";
    assert_eq!(check(lines, &HandshakeLimits::default().max_headers(1)), AnswerError::TooLarge);
    assert_eq!(check(b"\x15\x03", &HandshakeLimits::default()), AnswerError::Malformed("the status line"));
}

#[test]
fn invalid_requests_are_refused() {
    let build = |request: ClientRequest<'_>| request.build(&mut random(1)).map(|_| ()).unwrap_err();
    for version in Version::ALL {
        for url in ["http://a/", "ws://a/#x", "ws://a/\r\nX: y", "ws://u@a/"] {
            assert_eq!(build(ClientRequest::new(version, url).origin("o")), RequestError::Url, "{url}");
        }
        for origin in ["", "a\r\nX: y", " a"] {
            assert_eq!(build(ClientRequest::new(version, "ws://a").origin(origin)), RequestError::Origin);
        }
        for name in ["", "a b", "a,b", "a\r\n"] {
            assert_eq!(build(request(version).subprotocol(name)), RequestError::Subprotocol(name.into()));
        }
        assert_eq!(
            build(request(version).subprotocol("a").subprotocol("a")),
            RequestError::Subprotocol("a".into())
        );
        let two = request(version).subprotocol("a").subprotocol("b").build(&mut random(1));
        assert_eq!(two.is_err(), version.is_hixie());
        for reserved in ["Host", "Origin", "Upgrade", "Sec-WebSocket-Key"] {
            let error = RequestError::Header(HeaderError::Reserved(reserved.into()));
            assert_eq!(build(request(version).header(reserved, "x")), error);
        }
        let error = RequestError::Header(HeaderError::Value("X".into()));
        assert_eq!(build(request(version).header("X", "a\r\nB: c")), error);
    }
    assert_eq!(build(ClientRequest::new(Version::Hybi00, "ws://a")), RequestError::OriginRequired);
    let (bytes, _) = ClientRequest::new(Version::Hybi00, "ws://A")
        .origin("http://P.example")
        .build(&mut random(1))
        .unwrap();
    assert_eq!(whole(&bytes).unwrap().origin(), Some("http://p.example"));
    assert!(ClientRequest::new(Version::Rfc6455, "ws://a").build(&mut random(1)).is_ok());
}
