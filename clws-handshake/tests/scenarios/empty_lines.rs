//! Empty lines before the request line: RFC 9112 §2.2 asks a server to ignore them.

use crate::common::{HIXIE, HIXIE_BODY, RFC, head, whole};
use clws_handshake::{Acceptance, HandshakeLimits, HeadScanner, HttpRequest, Status};

/// The head after this many empty lines.
fn after_empty_lines(lines: usize, head: &[u8]) -> Vec<u8> {
    [&b"\r\n".repeat(lines), head].concat()
}

#[test]
fn empty_lines_are_ignored_in_every_split() {
    let plain = whole(&head(RFC)).unwrap().accept(&Acceptance::new()).unwrap().response;
    for lines in [1, 2, 100] {
        let mut bytes = after_empty_lines(lines, &head(RFC));
        let end = bytes.len();
        bytes.extend_from_slice(b"\x81\x80\r\n\r\n");
        let mut byte_by_byte = HeadScanner::new();
        for length in 0..=bytes.len() {
            let expected = if length < end { Status::Partial } else { Status::Complete(end) };
            let received = &bytes[..length];
            assert_eq!(
                byte_by_byte.scan(received, &HandshakeLimits::default()),
                Ok(expected),
                "{lines} {length}"
            );
            assert_eq!(
                HeadScanner::new().scan(received, &HandshakeLimits::default()),
                Ok(expected),
                "{lines} {length}"
            );
        }
        let request = whole(&bytes).unwrap();
        assert_eq!((request.consumed(), request.http().head_len(), request.path()), (end, end, "/chat"));
        assert_eq!(request.accept(&Acceptance::new()).unwrap().response, plain);
    }
}

#[test]
fn draft_0_finds_its_body_after_empty_lines() {
    let bytes = [after_empty_lines(1, &head(HIXIE)), HIXIE_BODY.to_vec()].concat();
    let request = whole(&bytes).unwrap();
    assert_eq!(request.consumed(), bytes.len());
    assert!(request.accept(&Acceptance::new()).unwrap().response.ends_with(b"8jKS'y:G*Co,Wxa-"));
}

#[test]
fn empty_lines_count_toward_the_head_limit() {
    let bytes = after_empty_lines(10, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (max_head_bytes, fits) in [(bytes.len(), true), (bytes.len() - 1, false)] {
        let got = HttpRequest::parse(&bytes, &HandshakeLimits::default().max_head_bytes(max_head_bytes));
        assert_eq!(got.map_err(|reject| reject.status()).err(), (!fits).then_some(431));
    }
    // Empty lines only, in one read and byte by byte.
    let endless = b"\r\n".repeat(20_000);
    assert_eq!(HeadScanner::new().scan(&endless, &HandshakeLimits::default()).unwrap_err().status(), 431);
    let mut scanner = HeadScanner::new();
    let first = (0..=endless.len())
        .find(|&length| scanner.scan(&endless[..length], &HandshakeLimits::default()).is_err());
    assert_eq!(first, Some(HandshakeLimits::default().max_head_bytes));
}

#[test]
fn malformed_empty_lines_are_refused() {
    for bad in ["\n", "\r\r\n", " \r\n", "\t\r\n", "\r\n\n", "\r\n \r\n", "\0\r\n"] {
        let bytes = [bad.as_bytes(), &head(RFC)].concat();
        assert_eq!(
            HeadScanner::new().scan(&bytes, &HandshakeLimits::default()).unwrap_err().status(),
            400,
            "{bad:?}"
        );
    }
    // An empty line between the lines of a head ends the head.
    let cut = HttpRequest::parse(b"GET / HTTP/1.1\r\n\r\nHost: a\r\n\r\n", &HandshakeLimits::default())
        .unwrap_err();
    assert_eq!(cut.body(), "the Host header is missing");
}
