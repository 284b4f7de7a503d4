//! Recorded requests of real clients, and responses of servers that these clients accepted.

#![allow(clippy::cast_possible_truncation, reason = "only the low byte is wanted")]

use crate::common::whole;
use clws_handshake::client::ClientRequest;
use clws_handshake::{Acceptance, HandshakeLimits, Origins, Status, Version, parse};

macro_rules! captures {
    ($($name:literal => $version:ident, $origin:expr;)*) => {
        [$((
            $name,
            include_bytes!(concat!("../captures/", $name, ".c2s.bin")).as_slice(),
            include_bytes!(concat!("../captures/", $name, ".s2c.bin")).as_slice(),
            Version::$version,
            $origin,
        )),*]
    };
}

type Capture = (&'static str, &'static [u8], &'static [u8], Version, &'static str);

const PAGE: &str = "http://client.example";

fn all() -> [Capture; 19] {
    captures! {
        "Protocol-WebSocket-0.26-Perl-hixie-75" => Hixie75, PAGE;
        "websocket-1.2.9-Ruby-hixie-75" => Hixie75, PAGE;
        "Protocol-WebSocket-0.26-Perl-hybi-00" => Hybi00, PAGE;
        "netty-4.1.48-Java-hybi-00" => Hybi00, PAGE;
        "phantomjs-1.9.8-browser-hybi-00" => Hybi00, "http://127.0.0.1:37875";
        "websocket-1.2.9-Ruby-hybi-00" => Hybi00, PAGE;
        "netty-4.1.48-Java-hybi-07" => Hybi07, PAGE;
        "websocket-1.2.9-Ruby-hybi-07" => Hybi07, PAGE;
        "ws-0.4.32-npm-header-7-hybi-07" => Hybi07, PAGE;
        "Protocol-WebSocket-0.26-Perl-hybi-08" => Hybi08, PAGE;
        "netty-4.1.48-Java-hybi-08" => Hybi08, PAGE;
        "websocket-1.2.9-Ruby-hybi-08" => Hybi08, PAGE;
        "ws-0.4.32-npm-hybi-08" => Hybi08, PAGE;
        "Protocol-WebSocket-0.26-Perl-rfc6455" => Rfc6455, PAGE;
        "chromium-browser-rfc6455" => Rfc6455, "http://127.0.0.1:41261";
        "firefox-esr-browser-rfc6455" => Rfc6455, "http://127.0.0.1:39459";
        "netty-4.1.48-Java-rfc6455" => Rfc6455, PAGE;
        "phantomjs-2.1.1-browser-rfc6455" => Rfc6455, "http://127.0.0.1:44405";
        "websocket-1.2.9-Ruby-rfc6455" => Rfc6455, PAGE;
    }
}

#[test]
fn recorded_requests_get_the_recorded_responses() {
    let ws = captures! { "ws-0.4.32-npm-rfc6455" => Rfc6455, PAGE; };
    for (name, sent, recorded, version, origin) in all().into_iter().chain(ws) {
        let request = whole(sent).unwrap_or_else(|reject| panic!("{name}: {reject}"));
        assert_eq!(request.version(), version, "{name}");
        assert_eq!((request.path(), request.query()), ("/echo", None), "{name}");
        assert_eq!(request.origin(), Some(origin), "{name}");
        assert!(request.host().starts_with("127.0.0.1:"), "{name}");
        assert!(Origins::exact([origin]).allows(request.origin()), "{name}");
        // Clients other than browsers need not send a valid origin.
        assert!(!name.contains("browser") || Origins::exact([origin]).check().is_ok(), "{name}");
        // A frame follows: 00 in hixie-75 and draft 0, and 81 (a final text frame) in the others.
        let first = if version.is_hixie() { 0x00 } else { 0x81 };
        assert_eq!(sent[request.consumed()], first, "{name}");
        let accepted = request.accept(&Acceptance::new()).unwrap();
        assert_eq!(accepted.version, version, "{name}");
        assert!(
            recorded.starts_with(&accepted.response) && recorded[accepted.response.len()] == first,
            "{name}: {}",
            String::from_utf8_lossy(&accepted.response)
        );
    }
}

#[test]
fn recorded_extensions_are_parsed() {
    for (name, sent, _, version, _) in all() {
        let offered: Vec<_> = whole(sent).unwrap().extensions().map(|extension| extension.as_str()).collect();
        let expected: &[&str] = match name.split('-').next() {
            Some("chromium") => &["permessage-deflate; client_max_window_bits"],
            Some("firefox") => &["permessage-deflate"],
            Some("phantomjs") if version == Version::Rfc6455 => &["x-webkit-deflate-frame"],
            _ => &[],
        };
        assert_eq!(offered, expected, "{name}");
    }
}

#[test]
fn disabled_draft_0_gets_426_and_disabled_hixie_75_gets_400() {
    for (name, sent, _, version, _) in all() {
        match parse(sent, &HandshakeLimits::default()) {
            Err(reject) => {
                let status = if version == Version::Hixie75 { 400 } else { 426 };
                assert!(version.is_hixie() && reject.status() == status, "{name}: {reject}");
            }
            Ok(_) => assert!(!version.is_hixie(), "{name}"),
        }
    }
}

#[test]
fn the_hixie_75_client_accepts_the_recorded_responses() {
    for (name, sent, recorded, version, origin) in all() {
        if version != Version::Hixie75 {
            continue;
        }
        let url = format!("ws://{}/echo", whole(sent).unwrap().host());
        let (bytes, mut pending) = ClientRequest::new(version, &url)
            .origin(origin)
            .build(&mut |_: &mut [u8]| panic!("hixie-75 needs no random bytes"))
            .unwrap();
        assert!(sent.starts_with(&bytes), "{name}");
        let Ok(Status::Complete(open)) = pending.check(recorded, &HandshakeLimits::default()) else {
            panic!("{name}: {:?}", pending.check(recorded, &HandshakeLimits::default()));
        };
        assert_eq!(recorded[open.consumed], 0x00, "{name}");
    }
}

#[test]
fn the_client_accepts_the_recorded_responses_to_the_same_keys() {
    let mut checked = 0;
    for (name, sent, recorded, version, origin) in all() {
        let request = whole(sent).unwrap();
        let key = request.headers().get("Sec-WebSocket-Key").unwrap_or_default();
        if key.len() != 24 {
            continue; // keys of draft 0 cannot be chosen, and the key of ws 0.4 does not have 16 bytes
        }
        let nonce = decode(key);
        let url = format!("ws://{}/echo", request.host());
        let (bytes, mut pending) = ClientRequest::new(version, &url)
            .origin(origin)
            .build(&mut |bytes: &mut [u8]| bytes.copy_from_slice(&nonce))
            .unwrap();
        assert_eq!(whole(&bytes).unwrap().headers().get("Sec-WebSocket-Key"), Some(key), "{name}");
        let Ok(Status::Complete(open)) = pending.check(recorded, &HandshakeLimits::default()) else {
            panic!("{name}: {:?}", pending.check(recorded, &HandshakeLimits::default()));
        };
        assert_eq!((recorded[open.consumed], open.subprotocol), (0x81, None), "{name}");
        checked += 1;
    }
    assert_eq!(checked, 11);
}

/// Decodes base64 of 16 bytes without the crate's decoder.
fn decode(key: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0u32;
    let mut bytes = Vec::new();
    for (count, char) in key.bytes().filter(|&char| char != b'=').enumerate() {
        bits = bits << 6 | alphabet.iter().position(|&one| one == char).unwrap() as u32;
        if count % 4 != 0 {
            bytes.push((bits >> (6 - 2 * (count % 4))) as u8);
        }
    }
    assert_eq!(bytes.len(), 16);
    bytes
}
