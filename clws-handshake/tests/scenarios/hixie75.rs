//! The handshake of hixie-75 on both sides: requests byte for byte, and responses as clients
//! compare them.

use crate::common::{HIXIE, HIXIE_75, HIXIE_BODY, RFC, head, hixie_on, plus, refused, whole, with};
use clws_handshake::client::{AnswerError, ClientRequest, Pending, RequestError};
use clws_handshake::{
    AcceptError, Acceptance, HandshakeLimits, HeaderError, HttpRequest, Reject, Status, Version, parse,
};

/// The request of Chrome 4 and Safari 5.0.0 for
/// `new WebSocket("ws://example.com:8880/chat?room=1")`. Both implement the draft's client section.
const CHROME_4: &[u8] = b"GET /chat?room=1 HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
    Host: example.com:8880\r\nOrigin: http://www.example.com\r\nCookie: id=1; lang=en\r\n\r\n";
const CHROME_4_ANSWER: &str = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
    Connection: Upgrade\r\nWebSocket-Origin: http://www.example.com\r\n\
    WebSocket-Location: ws://example.com:8880/chat?room=1\r\n\r\n";

#[track_caller]
fn answer(bytes: &[u8], acceptance: &Acceptance<'_>) -> String {
    let accepted = whole(bytes).unwrap().accept(acceptance).unwrap();
    assert_eq!((accepted.version, accepted.consumed), (Version::Hixie75, bytes.len()));
    String::from_utf8(accepted.response).unwrap()
}

#[track_caller]
fn assert_refused(bytes: &[u8], status: u16, why: &str) {
    let reject = refused(bytes);
    assert_eq!((reject.status(), reject.body()), (status, why), "{}", String::from_utf8_lossy(bytes));
}

#[test]
fn browsers_of_2010_get_the_exact_response() {
    let request = whole(CHROME_4).unwrap();
    assert_eq!(
        (request.version(), request.path(), request.query()),
        (Version::Hixie75, "/chat", Some("room=1"))
    );
    assert_eq!((request.host(), request.origin()), ("example.com:8880", Some("http://www.example.com")));
    assert_eq!(request.headers().cookie("id"), Some("1"));
    assert_eq!((request.subprotocols().count(), request.extensions().count()), (0, 0));
    let kept = request.to_head(true);
    assert_eq!((kept.origin(), kept.host()), (Some("http://www.example.com"), "example.com:8880"));
    assert_eq!(answer(CHROME_4, &Acceptance::new()), CHROME_4_ANSWER);
}

#[test]
fn the_example_of_hixie_75() {
    let bytes = head(HIXIE_75);
    let expected = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
        WebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://example.com/demo\r\n";
    let sample = Acceptance::new().subprotocol("sample");
    assert_eq!(answer(&bytes, &sample), format!("{expected}WebSocket-Protocol: sample\r\n\r\n"));
    assert_eq!(answer(&bytes, &Acceptance::new()), format!("{expected}\r\n"));
    let more = sample.header("Set-Cookie", "a=b");
    assert!(answer(&bytes, &more).ends_with("\r\nWebSocket-Protocol: sample\r\nSet-Cookie: a=b\r\n\r\n"));
    assert_eq!(
        whole(&bytes).unwrap().to_head(true).subprotocols(Version::Hixie75).collect::<Vec<_>>(),
        ["sample"]
    );
}

/// Proxies change the order of lines, and the case of names.
#[test]
fn the_order_of_the_lines_does_not_matter() {
    let mut lines = HIXIE_75.to_vec();
    lines[1..].reverse();
    let bytes = head(lines);
    assert_eq!(whole(&bytes).unwrap().version(), Version::Hixie75);
    let lower: Vec<_> = HIXIE_75.iter().map(|line| line.replace("Origin:", "origin:")).collect();
    assert_eq!(whole(&head(lower)).unwrap().origin(), Some("http://example.com"));
}

#[test]
fn frames_follow_the_head() {
    let head_len = CHROME_4.len();
    for length in 0..head_len {
        assert!(matches!(parse(&CHROME_4[..length], &hixie_on()), Ok(Status::Partial)), "{length}");
    }
    let bytes = [CHROME_4, b"\x00early\xff"].concat();
    assert_eq!(whole(&bytes).unwrap().consumed(), head_len);
    assert_eq!(whole(CHROME_4).unwrap().consumed(), head_len);
}

#[test]
fn the_location_is_the_requested_url() {
    let asked = |target: &str, host: &str| {
        head([
            &format!("GET {target} HTTP/1.1")[..],
            "Upgrade: WebSocket",
            "Connection: Upgrade",
            &format!("Host: {host}"),
            "Origin: null",
        ])
    };
    for (target, host, location) in [
        ("/a%20b?c=d", "H.Example:81", "ws://H.Example:81/a%20b?c=d"),
        ("/?", "[::1]:9", "ws://[::1]:9/?"),
        ("ws://other:7/x?y", "h", "ws://other:7/x?y"),
        ("ws://other", "h", "ws://other/"),
    ] {
        let answer = answer(&asked(target, host), &Acceptance::new());
        assert!(answer.contains(&format!("\r\nWebSocket-Location: {location}\r\n")), "{answer}");
        assert!(answer.contains("\r\nWebSocket-Origin: null\r\n"), "{answer}");
    }
    let bytes = asked("/x", "h");
    assert!(
        answer(&bytes, &Acceptance::new().secure(true)).contains("\r\nWebSocket-Location: wss://h/x\r\n")
    );
    let behind_proxy = Acceptance::new().location("wss://public/y").origin("http://p");
    let answer = answer(&bytes, &behind_proxy);
    assert!(
        answer.contains("WebSocket-Origin: http://p\r\nWebSocket-Location: wss://public/y\r\n"),
        "{answer}"
    );
    for acceptance in [Acceptance::new().location("ws://a\r\nX: y"), Acceptance::new().origin("a\nb")] {
        let error = whole(&bytes).unwrap().accept(&acceptance).unwrap_err();
        assert!(matches!(error, AcceptError::Header(HeaderError::Value(_))), "{error}");
    }
}

#[test]
fn hixie_75_is_refused_while_it_is_disabled() {
    for limits in [HandshakeLimits::default(), HandshakeLimits::default().hixie(true)] {
        for bytes in [CHROME_4.to_vec(), head(HIXIE_75)] {
            let reject = parse(&bytes, &limits).unwrap_err();
            assert_eq!(
                (reject.status(), reject.body()),
                (400, "the Sec-WebSocket-Version header is missing")
            );
        }
    }
    // Enabling hixie-75 enables nothing else.
    let limits = HandshakeLimits::default().hixie_75(true);
    assert!(parse(CHROME_4, &limits).is_ok());
    let draft_0 = [head(HIXIE), HIXIE_BODY.to_vec()].concat();
    assert_eq!(parse(&draft_0, &limits).unwrap_err(), Reject::unsupported_version());
}

/// hixie-75 asks for no proof, so a broken handshake of a later version must not pass for it.
#[test]
fn a_handshake_of_a_later_version_is_never_taken_for_hixie_75() {
    let version = "the Sec-WebSocket-Version header is missing";
    for line in [
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol: chat",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "Sec-WebSocket-Origin: http://example.com",
        "SEC-WEBSOCKET-DRAFT: 2",
        "Sec-WebSocket-",
    ] {
        let line = if line.contains(':') { line.to_owned() } else { format!("{line}: x") };
        assert_refused(&plus(HIXIE_75, &[&line]), 400, version);
    }
    assert_refused(
        &plus(HIXIE_75, &["Sec-WebSocket-Key1: 1 2"]),
        400,
        "the Sec-WebSocket-Key2 header is missing",
    );
    assert_refused(&with(RFC, "Sec-WebSocket-Version", &[]), 400, version);
    // An intermediary may have removed its headers.
    for upgrade in [&["Upgrade: websocket"][..], &["Upgrade: WebSocket, h2c"], &["Upgrade: WebSocket"; 2]] {
        assert_refused(&with(HIXIE_75, "Upgrade", upgrade), 400, version);
    }
    assert_eq!(refused(&plus(HIXIE_75, &["Sec-WebSocket-Version: 75"])), Reject::unsupported_version());
    let both = [plus(HIXIE, &["WebSocket-Protocol: sample"]), HIXIE_BODY.to_vec()].concat();
    assert_eq!(whole(&both).unwrap().version(), Version::Hybi00);
    // Names that only start alike are ignored.
    assert!(whole(&plus(HIXIE_75, &["Sec-WebSocke: x", "Sec-GPC: 1"])).is_ok());
}

#[test]
fn an_origin_is_required_and_a_body_is_not_allowed() {
    for (bad, why) in [
        (&[][..], "hixie-75 requires an Origin header"),
        (&["Origin:"], "hixie-75 requires an Origin header"),
        (&["Origin: http://a", "Origin: http://a"], "the origin header appears twice"),
    ] {
        assert_refused(&with(HIXIE_75, "Origin", bad), 400, why);
    }
    let mut raw = with(HIXIE_75, "Origin", &["Origin: ?"]);
    let at = raw.iter().position(|&byte| byte == b'?').unwrap();
    raw[at] = 0xFF;
    assert_refused(&raw, 400, "the origin is not UTF-8");
    for bad in ["Content-Length: 8", "Content-Length: x", "Transfer-Encoding: chunked"] {
        assert_refused(&plus(HIXIE_75, &[bad]), 400, "a WebSocket handshake must not have a body");
    }
    assert!(whole(&plus(HIXIE_75, &["Content-Length: 0"])).is_ok());
    assert_refused(&with(HIXIE_75, "Host", &[]), 400, "the Host header is missing");
    assert_refused(
        &with(HIXIE_75, "GET", &["POST /demo HTTP/1.1"]),
        405,
        "a WebSocket handshake must use GET",
    );
    assert_refused(&with(HIXIE_75, "Connection", &[]), 400, "the Connection header does not list Upgrade");
    assert_eq!(refused(&with(HIXIE_75, "Upgrade", &[])), Reject::upgrade_required());
    assert!(HttpRequest::parse(CHROME_4, &HandshakeLimits::default()).unwrap().wants_upgrade());
}

#[test]
fn a_subprotocol_is_one_name() {
    let lines = |line: &str| with(HIXIE_75, "WebSocket-Protocol", &[line]);
    for bad in [
        "WebSocket-Protocol:",
        "WebSocket-Protocol: \u{e4}",
        "WebSocket-Protocol: a\r\nWebSocket-Protocol: a",
    ] {
        assert_refused(&lines(bad), 400, "the WebSocket-Protocol header is malformed");
    }
    let bytes = lines("WebSocket-Protocol: a, b");
    assert_eq!(whole(&bytes).unwrap().subprotocols().collect::<Vec<_>>(), ["a, b"]);
    assert!(
        answer(&bytes, &Acceptance::new().subprotocol("a, b")).contains("\r\nWebSocket-Protocol: a, b\r\n")
    );
    for name in ["a", "b", ""] {
        let error = whole(&bytes).unwrap().accept(&Acceptance::new().subprotocol(name)).unwrap_err();
        assert_eq!(error, AcceptError::NotOffered(name.into()));
    }
    // No header, no subprotocol.
    assert_eq!(whole(&with(HIXIE_75, "WebSocket-Protocol", &[])).unwrap().subprotocols().count(), 0);
}

#[test]
fn an_application_cannot_set_handshake_headers() {
    for name in ["websocket-origin", "WebSocket-Location", "WEBSOCKET-PROTOCOL"] {
        let error = whole(CHROME_4).unwrap().accept(&Acceptance::new().header(name, "x")).unwrap_err();
        assert_eq!(error, AcceptError::Header(HeaderError::Reserved(name.into())));
    }
    assert!(whole(CHROME_4).unwrap().accept(&Acceptance::new().header("WebSocket-Server", "x")).is_ok());
}

fn no_random(_: &mut [u8]) {
    unreachable!("hixie-75 needs no random bytes");
}

/// The request of a client like Chrome 4, and its pending handshake.
fn chrome_4() -> (Vec<u8>, Pending) {
    ClientRequest::new(Version::Hixie75, "ws://Example.com:8880/chat?room=1")
        .origin("HTTP://www.Example.com")
        .header("Cookie", "id=1; lang=en")
        .build(&mut no_random)
        .unwrap()
}

#[test]
fn the_client_sends_the_bytes_of_chrome_4() {
    let (bytes, mut pending) = chrome_4();
    assert_eq!(String::from_utf8(bytes).unwrap(), String::from_utf8(CHROME_4.to_vec()).unwrap());
    let early = [CHROME_4_ANSWER.as_bytes(), b"\x00hello\xff"].concat();
    let open = pending.check(&early, &HandshakeLimits::default()).unwrap().complete().unwrap();
    assert_eq!(
        (open.version, open.consumed, open.subprotocol),
        (Version::Hixie75, CHROME_4_ANSWER.len(), None)
    );

    let sample = ClientRequest::new(Version::Hixie75, "ws://example.com/demo")
        .origin("http://example.com")
        .subprotocol("sample");
    assert_eq!(sample.build(&mut no_random).unwrap().0, head(HIXIE_75));
    assert_eq!(
        ClientRequest::new(Version::Hixie75, "ws://a").build(&mut no_random).unwrap_err(),
        RequestError::OriginRequired
    );
}

#[test]
fn the_client_compares_every_byte() {
    let (_, pending) = chrome_4();
    let check =
        |answer: &str| pending.clone().check(answer.as_bytes(), &HandshakeLimits::default()).map(|_| ());
    assert_eq!(check(CHROME_4_ANSWER), Ok(()));
    let origin = AnswerError::Header("WebSocket-Origin");
    let location = AnswerError::Header("WebSocket-Location");
    for (from, to, error) in [
        ("Web Socket", "WebSocket", AnswerError::Malformed("the status line")),
        ("Handshake", "handshake", AnswerError::Malformed("the status line")),
        ("Upgrade: WebSocket", "Upgrade: websocket", AnswerError::Header("Upgrade")),
        ("Upgrade: WebSocket", "Upgrade:  WebSocket", AnswerError::Header("Upgrade")),
        ("Connection: Upgrade", "Connection: upgrade", AnswerError::Header("Connection")),
        ("Connection: Upgrade\r\n", "X: y\r\nConnection: Upgrade\r\n", AnswerError::Header("Connection")),
        (
            "Upgrade: WebSocket\r\nConnection: Upgrade",
            "Connection: Upgrade\r\nUpgrade: WebSocket",
            AnswerError::Header("Upgrade"),
        ),
        ("http://www", "http://WWW", origin.clone()),
        ("WebSocket-Origin", "Sec-WebSocket-Origin", origin.clone()),
        ("WebSocket-Location", "WebSocket-Origin: x\r\nWebSocket-Location", origin),
        ("ws://example", "wss://example", location.clone()),
        (":8880/", "/", location.clone()),
        ("?room=1", "", location.clone()),
        ("WebSocket-Location", "Sec-WebSocket-Location", location),
        ("\r\n\r\n", "\r\nWebSocket-Protocol: chat\r\n\r\n", AnswerError::Subprotocol),
    ] {
        let changed = CHROME_4_ANSWER.replacen(from, to, 1);
        assert_ne!(changed, CHROME_4_ANSWER, "{from}");
        assert_eq!(check(&changed), Err(error), "{changed}");
    }
}

#[test]
fn the_client_requires_the_requested_subprotocol() {
    let (bytes, pending) = ClientRequest::new(Version::Hixie75, "ws://example.com/demo")
        .origin("http://example.com")
        .subprotocol("sample")
        .build(&mut no_random)
        .unwrap();
    let right = answer(&bytes, &Acceptance::new().subprotocol("sample"));
    let check = |answer: &str| {
        let mut pending = pending.clone();
        let open = pending.check(answer.as_bytes(), &HandshakeLimits::default())?;
        Ok(open.complete().and_then(|open| open.subprotocol.map(str::to_owned)))
    };
    assert_eq!(check(&right), Ok(Some("sample".to_owned())));
    for wrong in ["", "Sec-WebSocket-Protocol: sample\r\n", "WebSocket-Protocol: other\r\n"] {
        let changed = right.replace("WebSocket-Protocol: sample\r\n", wrong);
        assert_eq!(check(&changed), Err(AnswerError::Subprotocol), "{changed}");
    }
}
