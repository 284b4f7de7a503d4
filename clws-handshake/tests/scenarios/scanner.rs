//! The end of a head is found once, early, and in linear time.

use crate::common::{RFC, head};
use clws_handshake::{HandshakeLimits, HeadScanner, Status};

fn limits() -> HandshakeLimits {
    HandshakeLimits::default()
}

#[test]
fn scanned_bytes_are_not_scanned_again() {
    let head = head(RFC);
    for split in 25..head.len() {
        let mut scanner = HeadScanner::new();
        assert_eq!(scanner.scan(&head[..split], &limits()), Ok(Status::Partial), "{split}");
        // A second scan would refuse the bare LFs. The last three bytes stay, since they may be
        // part of an end.
        let mut changed = head.clone();
        changed[..split - 3].fill(b'\n');
        assert_eq!(scanner.scan(&changed, &limits()), Ok(Status::Complete(head.len())), "{split}");
        assert_eq!(HeadScanner::new().scan(&changed, &limits()).unwrap_err().status(), 400);
    }
}

#[test]
fn every_split_ends_at_the_same_place() {
    let mut bytes = head(RFC);
    let end = bytes.len();
    bytes.extend_from_slice(b"\x81\x80\n\r\n\r\n");
    let mut byte_by_byte = HeadScanner::new();
    for length in 0..=bytes.len() {
        let expected = if length < end { Status::Partial } else { Status::Complete(end) };
        assert_eq!(byte_by_byte.scan(&bytes[..length], &limits()), Ok(expected), "{length}");
        assert_eq!(HeadScanner::new().scan(&bytes[..length], &limits()), Ok(expected), "{length}");
    }
}

#[test]
fn input_that_cannot_become_a_request_is_refused_at_once() {
    let refused: &[&[u8]] = &[
        b"\x16\x03\x01\x02\x00",
        b"\x00",
        b"\xff",
        b" ",
        b"\n",
        b"\r\r",
        b"\r\n\n",
        b"\r\n ",
        b"\r\n\r\n\x16\x03",
        b"GET\t/",
        b"GET\r\n",
        b"SSH-2.0-x\r\n",
        b"{\"a\"",
        b"ABCDEFGHIJKLMNOPQRSTUVWXY",
        b"A\xc3\xa9",
        b"<policy-file-request/>\0",
    ];
    for bytes in refused {
        let reject = HeadScanner::new().scan(bytes, &limits()).expect_err(&String::from_utf8_lossy(bytes));
        assert_eq!(reject.status(), 400, "{bytes:?}");
        // Each input is refused by its last byte at the latest.
        let mut scanner = HeadScanner::new();
        assert!((0..=bytes.len()).any(|length| scanner.scan(&bytes[..length], &limits()).is_err()));
    }
    for good in ["", "G", "GET", "GET ", "UPDATEREDIRECTREF ", "ABCDEFGHIJKLMNOPQRSTUVWX"] {
        assert_eq!(HeadScanner::new().scan(good.as_bytes(), &limits()), Ok(Status::Partial), "{good}");
    }
}

#[test]
fn line_ends_are_crlf() {
    for bad in
        ["GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\n"]
    {
        let reject = HeadScanner::new().scan(bad.as_bytes(), &limits()).unwrap_err();
        assert_eq!(reject.to_string(), "400 Bad Request: a line of the request head does not end in CRLF");
    }
}

#[test]
fn the_limit_is_exact_and_the_same_for_every_split() {
    let head = head(RFC);
    let fits = limits().max_head_bytes(head.len());
    let tight = limits().max_head_bytes(head.len() - 1);
    assert_eq!(HeadScanner::new().scan(&head, &fits), Ok(Status::Complete(head.len())));
    assert_eq!(HeadScanner::new().scan(&head, &tight).unwrap_err().status(), 431);
    let mut scanner = HeadScanner::new();
    for length in 0..head.len() - 1 {
        assert_eq!(scanner.scan(&head[..length], &tight), Ok(Status::Partial), "{length}");
    }
    assert_eq!(scanner.scan(&head[..head.len() - 1], &tight).unwrap_err().status(), 431);

    let mut endless = b"GET / HTTP/1.1\r\nX: ".to_vec();
    endless.resize(16 * 1024 - 1, b'x');
    let mut scanner = HeadScanner::new();
    assert_eq!(scanner.scan(&endless, &limits()), Ok(Status::Partial));
    endless.push(b'x');
    assert_eq!(scanner.scan(&endless, &limits()).unwrap_err().status(), 431);
    endless.resize(10 << 20, b'\n');
    assert_eq!(HeadScanner::new().scan(&endless, &limits()).unwrap_err().status(), 431);
}

#[test]
fn a_request_line_that_fills_the_limit_gets_414() {
    let limits = limits().max_head_bytes(100);
    for (start, status) in [
        ("GET /", 414),
        ("\r\n\r\nGET /", 414),
        ("GET / HTTP/1.1\r\n", 431),
        ("\r\nGET / HTTP/1.1\r\nX: ", 431),
    ] {
        let mut bytes = start.as_bytes().to_vec();
        bytes.resize(99, b'x');
        let mut scanner = HeadScanner::new();
        assert_eq!(scanner.scan(&bytes, &limits), Ok(Status::Partial), "{start}");
        bytes.resize(1000, b'x');
        for mut scanner in [scanner, HeadScanner::new()] {
            assert_eq!(scanner.scan(&bytes, &limits).unwrap_err().status(), status, "{start}");
        }
    }
}

#[test]
fn the_scanner_is_small() {
    assert!(size_of::<HeadScanner>() <= 8);
}
