//! Every refusal: the request that causes it, and the bytes of the response.

use crate::common::{HIXIE, HIXIE_BODY, KEY, RFC, head, hixie_on, plus, refused, whole, with};
use clws_handshake::{Acceptance, HandshakeLimits, HeaderError, HttpRequest, Reject, parse};

/// Checks the bytes of a refusal: `Connection`, body, and additional lines.
#[track_caller]
fn assert_bytes(reject: &Reject, status: &str, connection: &str, own: &str) {
    let body = reject.body();
    let expected = format!(
        "HTTP/1.1 {status}\r\nConnection: {connection}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n{own}\r\n{body}",
        body.len()
    );
    assert!(!body.is_empty());
    assert_eq!(String::from_utf8(reject.response()).unwrap(), expected);
    assert_eq!(reject.to_string(), format!("{status}: {body}"));
    assert!(status.starts_with(&reject.status().to_string()));
}

#[test]
fn the_bytes_of_each_status() {
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13, 8, 7\r\n";
    assert_bytes(&Reject::bad_request("why"), "400 Bad Request", "close", "");
    assert_bytes(&Reject::forbidden("why"), "403 Forbidden", "close", "");
    assert_bytes(&Reject::not_found(), "404 Not Found", "close", "");
    assert_bytes(&Reject::method_not_allowed(), "405 Method Not Allowed", "close", "Allow: GET\r\n");
    assert_bytes(&Reject::upgrade_required(), "426 Upgrade Required", "Upgrade, close", upgrade);
    assert_bytes(&Reject::unsupported_version(), "426 Upgrade Required", "Upgrade, close", upgrade);
    assert_bytes(&Reject::custom(426, "why"), "426 Upgrade Required", "Upgrade, close", upgrade);
    assert_bytes(&Reject::target_too_long(), "414 URI Too Long", "close", "");
    assert_bytes(&Reject::expectation_failed(), "417 Expectation Failed", "close", "");
    assert_bytes(&Reject::head_too_large(), "431 Request Header Fields Too Large", "close", "");
    assert_bytes(&Reject::unavailable(None), "503 Service Unavailable", "close", "");
    assert_bytes(&Reject::unavailable(Some(30)), "503 Service Unavailable", "close", "Retry-After: 30\r\n");
    assert_bytes(&Reject::http_version_not_supported(), "505 HTTP Version Not Supported", "close", "");
    assert_bytes(&Reject::custom(429, "slower"), "429 Too Many Requests", "close", "");
    assert_bytes(&Reject::custom(418, "ü".to_owned()), "418 Other", "close", "");
    let moved = Reject::custom(307, "there").append_header("Location", "/x").unwrap();
    assert_bytes(&moved, "307 Temporary Redirect", "close", "Location: /x\r\n");
}

#[test]
fn a_refusal_cannot_open_a_connection_or_contradict_itself() {
    for status in [0, 100, 101, 199, 204, 205, 304, 600, u16::MAX] {
        assert_eq!(Reject::custom(status, "x").status(), 500, "{status}");
    }
    let reject = || Reject::not_found();
    assert!(matches!(reject().append_header("A\r\nB", "x"), Err(HeaderError::Name(_))));
    assert!(matches!(reject().append_header("A", "x\r\nB: y"), Err(HeaderError::Value(_))));
    for own in ["content-length", "Connection", "Transfer-Encoding", "Upgrade", "SEC-WebSocket-Version"] {
        assert!(matches!(reject().append_header(own, "x"), Err(HeaderError::Reserved(_))), "{own}");
    }
}

#[track_caller]
fn assert_refused(bytes: &[u8], status: u16, why: &str) {
    let reject = refused(bytes);
    assert_eq!((reject.status(), reject.body()), (status, why), "{}", String::from_utf8_lossy(bytes));
}

#[test]
fn request_lines_are_validated() {
    let line = |line: &str| with(RFC, "GET", &[line]);
    for method in ["POST", "HEAD", "get", "OPTIONS", "PUT"] {
        assert_refused(&line(&format!("{method} /chat HTTP/1.1")), 405, "a WebSocket handshake must use GET");
    }
    assert_eq!(refused(&line("OPTIONS * HTTP/1.1")).status(), 405);
    assert_eq!(refused(&line("CONNECT a:80 HTTP/1.1")).status(), 405);
    for version in ["HTTP/2.0", "HTTP/3.7", "HTTP/0.9"] {
        assert_refused(&line(&format!("GET /chat {version}")), 505, "only HTTP/1.x is supported");
    }
    for bad in [
        "GET /chat",
        "GET /chat HTTX/1.1",
        "GET /chat HTTP/1.1 ",
        "GET  /chat HTTP/1.1",
        "GET /chat  HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /chat http/1.1",
    ] {
        assert_refused(&line(bad), 400, "the request line is malformed");
    }
    assert_refused(&line("GET /chat#a HTTP/1.1"), 400, "the request target has a fragment");
    assert_refused(&line("GET /ch\u{e4}t HTTP/1.1"), 400, "the request target is not printable ASCII");
    for bad in
        ["*", "chat", "ftp://a/", "ws:/a", "ws://", "ws:///chat", "ws://u:p@a/", "ws://a\"/", "a:80", "?x"]
    {
        let why = "the request target is neither a path nor a ws:// URL";
        assert_refused(&line(&format!("GET {bad} HTTP/1.1")), 400, why);
    }
    for (good, path, query, host) in [
        ("/", "/", None, "server.example.com"),
        ("/%2e%23/?", "/%2e%23/", Some(""), "server.example.com"),
        ("//a?b?c", "//a", Some("b?c"), "server.example.com"),
        ("ws://h:1/p?q", "/p", Some("q"), "h:1"),
        ("WSS://h", "/", None, "h"),
        ("http://[::1]:80?q", "/", Some("q"), "[::1]:80"),
        ("https://h/ws://x", "/ws://x", None, "h"),
    ] {
        let bytes = line(&format!("GET {good} HTTP/1.1"));
        let request = whole(&bytes).unwrap();
        assert_eq!((request.path(), request.query(), request.host()), (path, query, host), "{good}");
        assert_eq!(request.http().target(), good);
    }
}

#[test]
fn header_lines_are_validated_and_counted() {
    for bad in ["X : y", " X: y", "X\u{0}: y", "X: y\u{0}", "X", ": y", "X: a\rb", "X: \u{7f}"] {
        assert_refused(&plus(RFC, &[bad]), 400, "a header line is malformed");
    }
    // RFC 9112 §5.2: folded lines are refused everywhere.
    assert_refused(&plus(RFC, &["X: a", " folded: b"]), 400, "a header line is malformed");
    assert_refused(&with(RFC, "Host", &[" folded: a", "Host: a"]), 400, "a header line is malformed");
    let mut raw = head(RFC);
    raw.splice(raw.len() - 2.., *b"X-Name: \xff\xe9\r\n\r\n");
    let request = whole(&raw).unwrap();
    assert_eq!(
        (request.headers().get("x-name"), request.headers().get_bytes("x-name")),
        (None, Some(&b"\xff\xe9"[..]))
    );

    let many: Vec<_> = (0..93).map(|n| format!("X-{n}: y")).collect();
    let with_lines = |count: usize| head(RFC.iter().copied().chain(many[..count].iter().map(String::as_str)));
    assert_eq!(RFC.len() - 1 + 94, 100);
    assert!(whole(&with_lines(93)).is_ok());
    let over = plus(RFC, &["X: y"; 95]);
    assert_refused(&over, 431, "the request head is too large");
    assert!(parse(&over, &HandshakeLimits::default().max_headers(101)).is_ok());
    let hundreds = plus(RFC, &["X: y"; 500]);
    let request = HttpRequest::parse(&hundreds, &HandshakeLimits::default().max_headers(506)).unwrap();
    assert_eq!(request.headers().iter().count(), 506);
}

#[test]
fn required_headers_come_exactly_once() {
    for name in ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        assert_refused(&with(RFC, &format!("{name}:"), &[]), 400, &format!("the {name} header is missing"));
        let line = RFC.iter().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
        assert_refused(&plus(RFC, &[line]), 400, &format!("the {name} header appears twice"));
        let lower = line.to_lowercase();
        assert_eq!(refused(&plus(RFC, &[&lower])).status(), 400);
    }
    for bad in ["", "a b", "a/b", "u@a", "a#", "a\u{e4}", "<a>"] {
        assert_refused(&with(RFC, "Host", &[&format!("Host: {bad}")]), 400, "the Host header is malformed");
    }
    assert_refused(&plus(RFC, &["Origin: http://example.com"]), 400, "the origin header appears twice");
}

#[test]
fn upgrade_and_connection_are_checked() {
    let required = Reject::upgrade_required();
    for bad in [&["Upgrade: h2c"][..], &[], &["Upgrade: websocket/13"], &["Upgrade: web socket"]] {
        assert_eq!(refused(&with(RFC, "Upgrade", bad)), required, "{bad:?}");
    }
    for bad in [&["Connection: keep-alive"][..], &[], &["Connection: Upgraded"]] {
        assert_refused(&with(RFC, "Connection", bad), 400, "the Connection header does not list Upgrade");
    }
    for good in [&["Connection: keep-alive, uPgrAde"][..], &["Connection: a", "connection: ,,UPGRADE ,"]] {
        assert!(whole(&with(RFC, "Connection", good)).is_ok(), "{good:?}");
    }
    for good in
        [&["UPGRADE:WebSocket"][..], &["Upgrade: h2c, WEBSOCKET"], &["Upgrade: h2c", "Upgrade: websocket"]]
    {
        assert!(whole(&with(RFC, "Upgrade", good)).is_ok(), "{good:?}");
    }
    let plain = head(["GET / HTTP/1.1", "Host: a"]);
    assert!(!HttpRequest::parse(&plain, &HandshakeLimits::default()).unwrap().wants_upgrade());
    assert_eq!(refused(&plain), required);
    assert!(HttpRequest::parse(&head(RFC), &HandshakeLimits::default()).unwrap().wants_upgrade());
}

#[test]
fn versions_are_checked() {
    let version =
        |value: &str| with(RFC, "Sec-WebSocket-Version", &[&format!("Sec-WebSocket-Version: {value}")]);
    for unknown in ["0", "4", "6", "9", "12", "14", "25", "255", "013", "99999999999999999999"] {
        assert_eq!(refused(&version(unknown)), Reject::unsupported_version(), "{unknown}");
    }
    for bad in ["", "13, 8", "x", "-13", "1 3", "+13", "13.0", "\u{ff11}"] {
        assert_refused(&version(bad), 400, "the Sec-WebSocket-Version is not a number");
    }
    // Without version and key it is no handshake (hixie-75 differs in the case of `Upgrade` only).
    let neither = with(RFC, "Sec-WebSocket-", &[]);
    for limits in [HandshakeLimits::default(), hixie_on()] {
        let reject = parse(&neither, &limits).unwrap_err();
        assert_eq!((reject.status(), reject.body()), (400, "the Sec-WebSocket-Version header is missing"));
    }
    // One key of draft 0 identifies the version.
    assert_refused(&with(HIXIE, "Sec-WebSocket-Key2", &[]), 400, "the Sec-WebSocket-Key2 header is missing");
    assert_refused(&with(HIXIE, "Sec-WebSocket-Key1", &[]), 400, "the Sec-WebSocket-Key1 header is missing");
    assert_eq!(parse(&head(HIXIE), &HandshakeLimits::default()).unwrap_err(), Reject::unsupported_version());
}

#[test]
fn keys_are_checked() {
    let key = |key: &str, version: &str| {
        let lines = [&format!("Sec-WebSocket-Key: {key}")[..], &format!("Sec-WebSocket-Version: {version}")];
        let without: Vec<_> =
            RFC.iter().copied().filter(|line| !line.starts_with("Sec-WebSocket-")).collect();
        plus(&without, &lines)
    };
    for version in ["7", "8", "13"] {
        assert!(whole(&key(KEY, version)).is_ok());
        for bad in ["", "x", "dGhlIHNhbXBsZSBub25j!Q==", "AAAAAAAAAAAAAAAAAAAAAAAA", &"A".repeat(9000)] {
            assert_refused(&key(bad, version), 400, "the Sec-WebSocket-Key is not base64 of 16 bytes");
        }
        let fifteen = whole(&key("OC0xNzk1MzQ4OTA1NDYw", version)).is_ok();
        assert_eq!(fifteen, version != "13", "ws 0.4's key in version {version}");
    }
}

#[test]
fn only_draft_0_has_a_body() {
    for bad in ["Content-Length: 8", "Content-Length: 00", "Content-Length: x", "Transfer-Encoding: chunked"]
    {
        assert_refused(&plus(RFC, &[bad]), 400, "a WebSocket handshake must not have a body");
    }
    assert_refused(
        &plus(RFC, &["Content-Length: 0", "Content-Length: 1"]),
        400,
        "a WebSocket handshake must not have a body",
    );
    assert!(whole(&plus(RFC, &["Content-Length: 0"])).is_ok());
    let hixie = |more: &[&str]| [plus(HIXIE, more), HIXIE_BODY.to_vec()].concat();
    assert!(whole(&hixie(&["Content-Length: 8"])).is_ok());
    let why = "the Content-Length of a draft 0 handshake must be 8";
    for bad in
        [&["Content-Length: 0"][..], &["Content-Length: 9"], &["Content-Length: 8", "Content-Length: 8"]]
    {
        assert_refused(&hixie(bad), 400, why);
    }
    assert_refused(
        &hixie(&["Transfer-Encoding: x"]),
        400,
        "a WebSocket handshake must not have Transfer-Encoding",
    );
}

#[test]
fn invalid_keys_and_origins_of_draft_0_are_refused() {
    for (bad, why) in [
        ("abc d", "has no digits"),
        ("12998", "has no spaces"),
        ("1 0 0 1", "is not divisible by its spaces"),
        ("42949 67296", "is over 32 bits"),
    ] {
        for name in ["Sec-WebSocket-Key1", "Sec-WebSocket-Key2"] {
            let head = with(HIXIE, name, &[&format!("{name}: {bad}")]);
            // The refusal does not wait for the 8 bytes.
            assert!(refused(&head).body().ends_with(why), "{bad}: {}", refused(&head));
            let line = &format!("{name}: 1 2");
            assert_refused(&plus(HIXIE, &[line]), 400, &format!("the {name} header appears twice"));
        }
    }
    assert_refused(&with(HIXIE, "Origin", &[]), 400, "draft 0 requires an Origin header");
    for bad in [
        &["Sec-WebSocket-Protocol:"][..],
        &["Sec-WebSocket-Protocol: \u{e4}"],
        &["Sec-WebSocket-Protocol: a"; 2],
    ] {
        let head = with(HIXIE, "Sec-WebSocket-Protocol", bad);
        assert_refused(&head, 400, "the Sec-WebSocket-Protocol header is malformed");
    }
}

#[test]
fn subprotocols_and_extensions_are_validated() {
    for bad in ["a b", "a,\u{e4}", "a/b", "\"a\"", "a;b", ",\u{e4}"] {
        let line = format!("Sec-WebSocket-Protocol: {bad}");
        assert_refused(&plus(RFC, &[&line]), 400, "the Sec-WebSocket-Protocol header is malformed");
    }
    // Bytes that are not text are refused, even next to a valid line.
    for name in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"] {
        let mut raw = plus(RFC, &[&format!("{name}: a"), &format!("{name}: ?")]);
        let at = raw.iter().rposition(|&byte| byte == b'?').unwrap();
        raw[at] = 0xff;
        assert_refused(&raw, 400, &format!("the {name} header is malformed"));
    }
    let twice = ["Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: c, a"];
    assert_refused(&plus(RFC, &twice), 400, "a subprotocol is offered twice");
    // RFC 9110 §5.6.1.2: empty list elements are ignored. A list without other elements is no
    // offer.
    for none in ["", " , ,"] {
        let bytes = plus(
            RFC,
            &[&format!("Sec-WebSocket-Extensions: {none}"), &format!("Sec-WebSocket-Protocol: {none}")],
        );
        let request = whole(&bytes).unwrap();
        assert_eq!((request.extensions().count(), request.subprotocols().count()), (0, 0), "{none:?}");
        assert!(!request.accept(&Acceptance::new()).unwrap().response.ends_with(b"Protocol: \r\n\r\n"));
    }
    let bytes = plus(
        RFC,
        &["Sec-WebSocket-Protocol: , ,chat,", "Sec-WebSocket-Protocol:", "sec-websocket-protocol:\ta ,b"],
    );
    assert_eq!(whole(&bytes).unwrap().subprotocols().collect::<Vec<_>>(), ["chat", "a", "b"]);
    for bad in ["a b", "a; b=\"1 2\"", "a,b;", "a; =x", "\u{e4}"] {
        let line = format!("Sec-WebSocket-Extensions: {bad}");
        assert_refused(&plus(RFC, &[&line]), 400, "the Sec-WebSocket-Extensions header is malformed");
    }
    // The work is not quadratic in the number of names, or this test would not end.
    let names: Vec<_> = (0..300_000).map(|n| format!("p{n}")).collect();
    let huge = plus(RFC, &[&format!("Sec-WebSocket-Protocol: {}", names.join(","))]);
    let limits = hixie_on().max_head_bytes(8 << 20);
    assert!(parse(&huge, &limits).is_ok());
}

#[test]
fn unauthorized_has_a_challenge() {
    let text = |reject: Reject| String::from_utf8(reject.response()).unwrap();
    let answer = text(Reject::unauthorized("Basic realm=\"chat\"", "log in first"));
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n") && answer.ends_with("\r\n\r\nlog in first"));
    assert!(answer.contains("\r\nWWW-Authenticate: Basic realm=\"chat\"\r\n"));
    for unfit in ["", "a\r\nb: c"] {
        assert!(text(Reject::unauthorized(unfit, "")).contains("\r\nWWW-Authenticate: Bearer\r\n"));
    }
}
