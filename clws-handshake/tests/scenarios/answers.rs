//! The 101 response of each draft, byte for byte, and an application's additions to it.

use crate::common::{HIXIE, HIXIE_BODY, RFC, head, hixie_on, plus, whole, with};
use clws_handshake::{AcceptError, Acceptance, HeaderError, Status, Version, parse};

fn hixie(head: Vec<u8>) -> Vec<u8> {
    [head, HIXIE_BODY.to_vec()].concat()
}

#[track_caller]
fn answer(bytes: &[u8], acceptance: &Acceptance<'_>) -> String {
    let accepted = whole(bytes).unwrap().accept(acceptance).unwrap();
    assert_eq!(accepted.consumed, bytes.len());
    String::from_utf8(accepted.response).unwrap()
}

#[test]
fn the_example_of_rfc_6455() {
    // RFC 6455 §1.2 and §1.3
    let bytes = plus(RFC, &["Sec-WebSocket-Protocol: chat, superchat"]);
    assert_eq!(
        answer(&bytes, &Acceptance::new().subprotocol("chat")),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    );
}

#[test]
fn the_example_of_hixie_76() {
    // hixie-76 §1.2
    let bytes = hixie(head(HIXIE));
    let accepted = whole(&bytes).unwrap().accept(&Acceptance::new().subprotocol("sample")).unwrap();
    assert_eq!(
        String::from_utf8(accepted.response).unwrap(),
        "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Origin: http://example.com\r\nSec-WebSocket-Location: ws://example.com/demo\r\n\
         Sec-WebSocket-Protocol: sample\r\n\r\n8jKS'y:G*Co,Wxa-"
    );
    assert_eq!((accepted.version, accepted.subprotocol.as_deref()), (Version::Hybi00, Some("sample")));
}

#[test]
fn draft_0_gets_its_origin_and_location_verbatim() {
    let line = |target: &str, host: &str, origin: &str| {
        let lines: Vec<_> = HIXIE
            .iter()
            .map(|line| match line.split(' ').next() {
                Some("GET") => format!("GET {target} HTTP/1.1"),
                Some("Host:") => format!("hOST:  {host} "),
                Some("Origin:") => format!("Origin: {origin}"),
                _ => (*line).to_owned(),
            })
            .collect();
        hixie(head(lines))
    };
    for (target, host, origin, location) in [
        ("/a%20b?c=d", "H.Example:81", "h.example:81", "ws://H.Example:81/a%20b?c=d"),
        ("/?", "[::1]:9", "null", "ws://[::1]:9/?"),
        ("ws://other:7/x?y", "h", "file://", "ws://other:7/x?y"),
        ("ws://other", "h", "HTTP://UPPER", "ws://other/"),
    ] {
        let answer = answer(&line(target, host, origin), &Acceptance::new());
        assert!(answer.contains(&format!("\r\nSec-WebSocket-Origin: {origin}\r\n")), "{answer}");
        assert!(answer.contains(&format!("\r\nSec-WebSocket-Location: {location}\r\n")), "{answer}");
        assert!(!answer.contains("Sec-WebSocket-Protocol"), "no subprotocol was chosen: {answer}");
    }
    let bytes = line("/x", "h", "o");
    assert!(answer(&bytes, &Acceptance::new().secure(true)).contains("Location: wss://h/x\r\n"));
    let behind_proxy = Acceptance::new().location("wss://public/y").origin("p");
    let answer = answer(&bytes, &behind_proxy);
    assert!(answer.contains("Origin: p\r\nSec-WebSocket-Location: wss://public/y\r\n"), "{answer}");
}

#[test]
fn draft_0_consumes_its_body_and_no_more() {
    let mut bytes = hixie(head(HIXIE));
    let head = bytes.len() - 8;
    for length in head..bytes.len() {
        assert!(matches!(parse(&bytes[..length], &hixie_on()), Ok(Status::Partial)), "{length}");
    }
    bytes.extend_from_slice(b"\x00early\xff");
    assert_eq!(whole(&bytes).unwrap().consumed(), head + 8);
}

#[test]
fn frames_sent_early_are_not_consumed() {
    let bytes = [head(RFC), b"\x81\x80\r\n\r\n".to_vec()].concat();
    let request = whole(&bytes).unwrap();
    assert_eq!(&bytes[request.consumed()..], b"\x81\x80\r\n\r\n");
}

#[test]
fn a_subprotocol_that_was_not_offered_is_never_sent() {
    let none = head(RFC);
    let some = plus(RFC, &["Sec-WebSocket-Protocol: a , b", "Sec-WebSocket-Protocol: C"]);
    let old = hixie(with(HIXIE, "Sec-WebSocket-Protocol", &["Sec-WebSocket-Protocol: a, b"]));
    assert_eq!(whole(&some).unwrap().subprotocols().collect::<Vec<_>>(), ["a", "b", "C"]);
    assert_eq!(whole(&none).unwrap().subprotocols().count(), 0);
    // Draft 0 has no lists: its clients compare the response with the whole header value.
    assert_eq!(whole(&old).unwrap().subprotocols().collect::<Vec<_>>(), ["a, b"]);
    for (bytes, good, bad) in [
        (&some, &["a", "b", "C"][..], &["c", "A", "", "a , b", "d"][..]),
        (&old, &["a, b"], &["a", "b"]),
        (&none, &[], &["a", ""]),
    ] {
        for name in good {
            let accepted = whole(bytes).unwrap().accept(&Acceptance::new().subprotocol(name)).unwrap();
            assert_eq!(accepted.subprotocol.as_deref(), Some(*name));
            assert!(String::from_utf8_lossy(&accepted.response).contains(&format!("Protocol: {name}\r\n")));
        }
        for name in bad {
            let error = whole(bytes).unwrap().accept(&Acceptance::new().subprotocol(name)).unwrap_err();
            assert_eq!(error, AcceptError::NotOffered((*name).into()));
        }
    }
}

#[test]
fn headers_of_the_application_are_validated() {
    let bytes = head(RFC);
    let acceptance = Acceptance::new().header("Set-Cookie", "a=b; HttpOnly").header("X", "");
    assert!(answer(&bytes, &acceptance).ends_with("xOo=\r\nSet-Cookie: a=b; HttpOnly\r\nX: \r\n\r\n"));
    let error = |name, value| match whole(&bytes)
        .unwrap()
        .accept(&Acceptance::new().header("Ok", "1").header(name, value))
        .unwrap_err()
    {
        AcceptError::Header(error) => error,
        other => panic!("{other}"),
    };
    for name in ["", "A B", "A:", "A\r\nB", "\u{e4}"] {
        assert_eq!(error(name, "x"), HeaderError::Name(name.into()));
    }
    for value in ["x\r\nB: y", "x\n", "\r", "\0", " x", "x\t"] {
        assert_eq!(error("A", value), HeaderError::Value("A".into()));
    }
    for name in [
        "upgrade",
        "CONNECTION",
        "Content-Length",
        "Transfer-Encoding",
        "sec-websocket-accept",
        "Sec-WebSocket-X",
    ] {
        assert_eq!(error(name, "x"), HeaderError::Reserved(name.into()));
    }
    let old = hixie(head(HIXIE));
    for acceptance in [Acceptance::new().location("ws://a\r\nX: y"), Acceptance::new().origin("a\nb")] {
        assert!(matches!(
            whole(&old).unwrap().accept(&acceptance),
            Err(AcceptError::Header(HeaderError::Value(_)))
        ));
    }
}

#[test]
fn draft_0_refuses_an_invalid_location_or_origin() {
    let old = hixie(head(HIXIE));
    for url in [
        "",
        "/x",
        "a.example/x",
        "http://a.example/x",
        "ws://",
        "ws:///x",
        "ws://a b/",
        "ws://a/#x",
        "ws://ü/",
    ] {
        let error = whole(&old).unwrap().accept(&Acceptance::new().location(url)).unwrap_err();
        assert_eq!(error, AcceptError::InvalidLocation(url.into()));
        assert!(error.to_string().contains(&format!("{url:?} is not a ws:// or wss:// URL")), "{error}");
        // Other versions have no such header.
        assert!(whole(&head(RFC)).unwrap().accept(&Acceptance::new().location(url)).is_ok());
    }
    let error = whole(&old).unwrap().accept(&Acceptance::new().origin("")).unwrap_err();
    assert_eq!(error, AcceptError::EmptyOrigin);
    let good = Acceptance::new().location("wss://a.example:8443/x?y").origin("null");
    assert!(whole(&old).unwrap().accept(&good).is_ok());
}

#[test]
fn each_version_has_its_origin_header() {
    let both = ["Origin: plain", "Sec-WebSocket-Origin: sec"];
    let lines = |version: &str, origins: &[&str]| {
        let mut bytes: Vec<_> =
            RFC.iter().copied().filter(|l| !l.starts_with("Origin") && !l.contains("Version")).collect();
        bytes.push(version);
        plus(&bytes, origins)
    };
    for (version, with_both, only_plain, only_sec) in [
        ("Sec-WebSocket-Version: 7", Some("sec"), Some("plain"), Some("sec")),
        ("Sec-WebSocket-Version: 8", Some("sec"), Some("plain"), Some("sec")),
        ("Sec-WebSocket-Version: 13", Some("plain"), Some("plain"), None),
    ] {
        for (origins, expected) in
            [(&both[..], with_both), (&both[..1], only_plain), (&both[1..], only_sec), (&[], None)]
        {
            let bytes = lines(version, origins);
            let request = whole(&bytes).unwrap();
            assert_eq!(request.origin(), expected, "{version} {origins:?}");
            assert_eq!(request.to_head(true).origin(), expected, "{version} {origins:?}");
            assert_eq!(request.to_head(false).origin(), None);
        }
    }
}
