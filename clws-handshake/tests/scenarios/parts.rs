//! Requests that another HTTP implementation has parsed: they are judged as received bytes are.

use crate::common::{RFC, head};
use clws_handshake::{Acceptance, HandshakeLimits, HeadWriter, HttpRequest, Reject, Status};

/// Writes the lines as parts.
fn write(lines: &[&str], limits: &HandshakeLimits) -> Result<Vec<u8>, Reject> {
    let (line, headers) = lines.split_first().unwrap();
    let words: Vec<_> = line.split(' ').collect();
    let mut writer = HeadWriter::new(words[0], words[1], limits)?;
    for line in headers {
        let (name, value) = line.split_once(": ").unwrap();
        writer.header(name, value.as_bytes())?;
    }
    Ok(writer.finish())
}

#[test]
fn the_parts_become_the_same_head() {
    let limits = HandshakeLimits::default();
    assert_eq!(write(RFC, &limits).unwrap(), head(RFC));
    let old = HeadWriter::http_1_0("GET", "/", &limits).unwrap().finish();
    assert_eq!(old, b"GET / HTTP/1.0\r\n\r\n");
}

#[test]
fn values_and_repeated_headers_are_kept_exactly() {
    let limits = HandshakeLimits::default();
    let mut writer = HeadWriter::new("GET", "/", &limits).unwrap();
    let lines: [(&str, &[u8]); 5] = [
        ("host", b"a"),
        ("cookie", b"a=1"),
        ("x-raw", b"\xff\xfe\t\x80"),
        ("cookie", b"b=2"),
        ("empty", b""),
    ];
    for (name, value) in lines {
        writer.header(name, value).unwrap();
    }
    let head = writer.finish();
    let request = HttpRequest::parse(&head, &limits).unwrap();
    assert!(request.headers().iter_bytes().eq(lines));
    assert_eq!(request.headers().cookie("b"), Some("2"));
}

#[test]
fn no_part_can_become_another_line() {
    let limits = HandshakeLimits::default();
    for (method, target) in [("GET /x", "/"), ("", "/"), ("GET", "/ x"), ("GET", "/\r\nA: b"), ("GET", "/\n")]
    {
        let error = HeadWriter::new(method, target, &limits).unwrap_err();
        assert_eq!(error.status(), 400, "{method:?} {target:?}");
    }
    let mut writer = HeadWriter::new("GET", "/", &limits).unwrap();
    for (name, value) in
        [("a:b", &b"c"[..]), ("", b"c"), ("a\n", b"c"), ("a", b"c\r\nd: e"), ("a", b"\n"), ("a", b"\r")]
    {
        assert_eq!(writer.header(name, value).unwrap_err().status(), 400, "{name:?} {value:?}");
    }
    // The parser judges the rest: a refused character, and a target that is no path.
    writer.header("host", b"a\0b").unwrap();
    assert_eq!(HttpRequest::parse(&writer.finish(), &limits).unwrap_err().status(), 400);
    for target in ["", "chat", "/ü"] {
        let head = HeadWriter::new("GET", target, &limits).unwrap().finish();
        assert_eq!(HttpRequest::parse(&head, &limits).unwrap_err().status(), 400, "{target:?}");
    }
}

#[test]
fn the_limits_are_those_of_received_bytes() {
    let len = head(RFC).len();
    for (max, status) in [(len, None), (len - 1, Some(431)), (10, Some(414))] {
        let limits = HandshakeLimits::default().max_head_bytes(max);
        let written = write(RFC, &limits).and_then(|head| HttpRequest::parse(&head, &limits).map(drop));
        assert_eq!(written.err().map(|reject| reject.status()), status, "{max}");
    }
    let limits = HandshakeLimits::default().max_headers(3);
    let head = write(RFC, &limits).unwrap();
    assert_eq!(HttpRequest::parse(&head, &limits).unwrap_err().status(), 431);
}

#[test]
fn the_response_can_be_taken_apart() {
    let bytes = head([RFC, &["Expect: 100-continue", "Sec-WebSocket-Protocol: chat"]].concat());
    let Ok(Status::Complete(request)) = clws_handshake::parse(&bytes, &HandshakeLimits::default()) else {
        panic!("refused")
    };
    let accepted = request.accept(&Acceptance::new().subprotocol("chat").header("X-A", "b: c")).unwrap();
    assert_eq!(accepted.status, 101);
    let headers: Vec<_> = accepted.headers().iter().collect();
    assert_eq!(
        headers,
        [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("Sec-WebSocket-Protocol", "chat"),
            ("X-A", "b: c"),
        ]
    );
}
