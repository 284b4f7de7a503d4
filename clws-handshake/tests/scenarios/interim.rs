//! A client that gets interim responses (RFC 9110 §15.2) before the final one, and refusals.

use crate::common::whole;
use clws_handshake::client::{AnswerError, ClientRequest, Pending};
use clws_handshake::{Acceptance, CONTINUE, HandshakeLimits, Reject, Status, Version};

const ALL: [Version; 4] = [Version::Hybi00, Version::Hybi07, Version::Hybi08, Version::Rfc6455];

/// A pending handshake, and the right response.
fn exchange(version: Version) -> (Pending, Vec<u8>) {
    let request = ClientRequest::new(version, "ws://server.example/chat").origin("http://page.example");
    let (bytes, pending) = request.build(&mut |bytes: &mut [u8]| bytes.fill(7)).unwrap();
    let answer = whole(&bytes).unwrap().accept(&Acceptance::new()).unwrap().response;
    (pending, answer)
}

/// The result of a response in one read, which must be the same byte by byte.
fn check(answer: &[u8], limits: &HandshakeLimits) -> Result<usize, AnswerError> {
    let (mut pending, _) = exchange(Version::Rfc6455);
    let whole = pending.check(answer, limits).map(|status| status.complete().unwrap().consumed);
    let (mut pending, _) = exchange(Version::Rfc6455);
    let pieces = (0..=answer.len()).find_map(|length| match pending.check(&answer[..length], limits) {
        Ok(Status::Partial) => None,
        Ok(Status::Complete(open)) => Some(Ok(open.consumed)),
        Err(error) => Some(Err(error)),
    });
    assert_eq!(pieces.unwrap(), whole);
    whole
}

#[test]
fn interim_responses_are_skipped() {
    let hints = &b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nConnection: a\r\n\r\n"[..];
    let bare = &b"HTTP/1.1 199\r\n\r\n"[..];
    // A length is ignored where content is not allowed.
    let lying = &b"HTTP/1.2 102 Processing\r\nContent-Length: 5\r\nSec-WebSocket-Accept: x\r\n\r\n"[..];
    for version in ALL {
        for interim in [&[CONTINUE][..], &[CONTINUE, hints, bare, lying, hints], &[CONTINUE; 50]] {
            let (mut pending, answer) = exchange(version);
            let mut bytes = [interim.concat(), answer].concat();
            let end = bytes.len();
            bytes.extend_from_slice(b"\x81\x00\r\n\r\nHTTP/1.1 404 \r\n\r\n");
            for length in 0..end {
                let got = pending.check(&bytes[..length], &HandshakeLimits::default());
                assert!(matches!(got, Ok(Status::Partial)), "{version} {length}");
            }
            let (mut at_once, _) = exchange(version);
            for pending in [&mut pending, &mut at_once] {
                // A second check gives the same result.
                for _ in 0..2 {
                    let open =
                        pending.check(&bytes, &HandshakeLimits::default()).unwrap().complete().unwrap();
                    assert_eq!((open.consumed, open.headers.get("Link")), (end, None), "{version}");
                }
            }
        }
    }
}

#[test]
fn the_final_response_is_still_checked() {
    let refusal = [CONTINUE, &Reject::not_found().response()].concat();
    assert_eq!(
        check(&refusal, &HandshakeLimits::default()),
        Err(AnswerError::Refused { status: 404, reason: "Not Found".into() })
    );
    let wrong = [CONTINUE, b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"].concat();
    assert_eq!(check(&wrong, &HandshakeLimits::default()), Err(AnswerError::Header("Sec-WebSocket-Accept")));
    for garbage in ["\x01\x00", "\r\nHTTP/1.1 101", "HTTP/2", "100 Continue"] {
        let bytes = [CONTINUE, garbage.as_bytes()].concat();
        assert_eq!(
            check(&bytes, &HandshakeLimits::default()),
            Err(AnswerError::Malformed("the status line")),
            "{garbage}"
        );
    }
    let folded = b"HTTP/1.1 103 x\r\nLink: a\r\n b\r\n\r\n";
    assert_eq!(check(folded, &HandshakeLimits::default()), Err(AnswerError::Malformed("a header line")));
}

#[test]
fn interim_responses_share_the_limit_of_a_head() {
    let (_, answer) = exchange(Version::Rfc6455);
    let limits = HandshakeLimits::default().max_head_bytes(10 * CONTINUE.len());
    assert!(answer.len() <= limits.max_head_bytes);
    for (count, fits) in [(10, true), (11, false)] {
        let bytes = [CONTINUE.repeat(count), answer.clone()].concat();
        assert_eq!(check(&bytes, &limits), if fits { Ok(bytes.len()) } else { Err(AnswerError::TooLarge) });
    }
    let endless = CONTINUE.repeat(10_000);
    let (mut pending, _) = exchange(Version::Rfc6455);
    assert_eq!(pending.check(&endless, &HandshakeLimits::default()).unwrap_err(), AnswerError::TooLarge);
    assert_eq!(
        check(b"HTTP/1.1 100 \r\na: b\r\nc: d\r\n\r\n", &limits.max_headers(1)),
        Err(AnswerError::TooLarge)
    );
}

#[test]
fn status_lines_are_validated() {
    let (_, answer) = exchange(Version::Rfc6455);
    let answer = String::from_utf8(answer).unwrap();
    for good in
        ["HTTP/1.1 101 Switching Protocols", "HTTP/1.2 101", "HTTP/1.9 101 ", "HTTP/1.1 101 \u{e4} \t!"]
    {
        let bytes = answer.replacen("HTTP/1.1 101 Switching Protocols", good, 1);
        assert!(check(bytes.as_bytes(), &HandshakeLimits::default()).is_ok(), "{good}");
    }
    for bad in [
        "HTTP/1.0 101 Switching Protocols", // HTTP/1.0 has neither Upgrade nor 1xx
        "HTTP/1.0 100 Continue",
        "HTTP/1.10 101 x",
        "HTTP/1.x 101 x",
        "HTTP/1.1  101 x",
        "HTTP/1.1 10 x",
        "HTTP/1.1 1010",
        "HTTP/1.1 101x",
        "HTTP/1.1 +10 x",
        "HTTP/1.1",
        "HTTP/1.1 101 \0",
        "HTTP/1.1 101 a\rb",
    ] {
        let bytes = answer.replacen("HTTP/1.1 101 Switching Protocols", bad, 1);
        let expected = Err(AnswerError::Malformed("the status line"));
        assert_eq!(check(bytes.as_bytes(), &HandshakeLimits::default()), expected, "{bad}");
    }
    for bad in [
        "HTTP/2.0 101 x\r\n",
        "HTTP/0.9 101 x\r\n",
        "http/1.1 101 x\r\n",
        "\r\nHTTP/1.1 101 x\r\n",
        "101\r\n",
    ] {
        assert_eq!(
            check(bad.as_bytes(), &HandshakeLimits::default()),
            Err(AnswerError::Malformed("the status line")),
            "{bad}"
        );
    }
}

#[test]
fn a_refusal_keeps_its_status_headers_and_body() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        for (status, header, value) in [
            (200, "Content-Type", "text/html"),
            (301, "Location", "wss://elsewhere.example/"),
            (401, "WWW-Authenticate", "Basic realm=\"a\""),
            (407, "Proxy-Authenticate", "Basic"),
            (426, "Sec-WebSocket-Version", "25"),
            (503, "Retry-After", "5"),
            (700, "X", "y"),
        ] {
            let answer = format!("{version} {status} why\r\n{header}: {value}\r\n\r\nthe bo");
            for interim in [&b""[..], CONTINUE] {
                let (mut pending, _) = exchange(Version::Rfc6455);
                let bytes = [interim, answer.as_bytes()].concat();
                let refused = AnswerError::Refused { status, reason: "why".into() };
                assert_eq!(pending.check(&bytes, &HandshakeLimits::default()).unwrap_err(), refused);
                for (more, body) in [("", "the bo"), ("dy", "the body")] {
                    let bytes = [&bytes[..], more.as_bytes()].concat();
                    let refusal = pending.refusal(&bytes).unwrap();
                    assert_eq!((refusal.status, refusal.headers.get(header)), (status, Some(value)));
                    assert_eq!(refusal.body, body.as_bytes());
                }
            }
        }
    }
    let (mut pending, answer) = exchange(Version::Rfc6455);
    assert!(pending.refusal(&answer).is_none(), "the response opens a connection");
    assert!(pending.check(&answer, &HandshakeLimits::default()).is_ok());
    assert!(
        pending.refusal(b"HTTP/1.1 404 Not Found\r\nServer: a\r\n").is_none(),
        "the response is incomplete"
    );
}
