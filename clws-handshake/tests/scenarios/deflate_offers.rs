//! permessage-deflate on the server side: the offers that it accepts, and its responses.
#![cfg(feature = "deflate")]

use crate::common::{HIXIE, HIXIE_BODY, RFC, head, plus, whole, with};
use clws_handshake::{Acceptance, DeflateConfig, DeflateParams, Version};

/// The response to these header lines without the extension's name, and the agreed parameters.
fn negotiate(lines: &[&str], config: &DeflateConfig) -> Option<(String, DeflateParams)> {
    let lines: Vec<_> = lines.iter().map(|line| format!("Sec-WebSocket-Extensions: {line}")).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let request = plus(RFC, &lines);
    let accepted = whole(&request).unwrap().accept(&Acceptance::new().deflate(config)).unwrap();
    let response = String::from_utf8(accepted.response).unwrap();
    let mut answers =
        response.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: permessage-deflate"));
    let answer = answers.next().map(|answer| answer.trim_start_matches("; ").to_owned());
    assert_eq!(answers.next(), None, "only one line in the response");
    assert_eq!(answer.is_some(), accepted.deflate.is_some());
    assert_eq!(answer.is_some(), response.contains("Extensions"));
    Some((answer?, accepted.deflate?))
}

/// The largest windows, and context takeover in both directions: no restriction on either side.
fn unrestricted() -> DeflateConfig {
    DeflateConfig::default().context_takeover(true)
}

#[track_caller]
fn answers(offer: &str, config: &DeflateConfig, expected: &str) {
    let answer = negotiate(&[offer], config).map(|(answer, _)| answer);
    assert_eq!(answer.as_deref(), Some(expected), "{offer}");
}

#[test]
fn offers_of_real_clients_are_accepted() {
    let browsers = [
        "permessage-deflate; client_max_window_bits", // Chromium 156, npm ws 8.23, python websockets 17
        "permessage-deflate",                         // Firefox 153, and Safari
    ];
    for offer in browsers {
        answers(offer, &DeflateConfig::default(), "server_no_context_takeover; client_no_context_takeover");
    }
    // wsproto 1.3, then npm ws and python websockets with every parameter that they support
    let wsproto = "permessage-deflate; client_max_window_bits=15; server_max_window_bits=15";
    answers(wsproto, &unrestricted(), "server_max_window_bits=15");
    let asks = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                server_max_window_bits=10; client_max_window_bits=11";
    answers(asks, &unrestricted(), asks.strip_prefix("permessage-deflate; ").unwrap());
    answers(browsers[0], &unrestricted(), "");
    answers(browsers[1], &unrestricted(), "");
    // A smaller window can be demanded only of clients that offer the parameter.
    answers(browsers[0], &unrestricted().max_window_bits(12), "client_max_window_bits=12");
    answers(browsers[1], &unrestricted().max_window_bits(12), "");
    let (_, params) = negotiate(&[browsers[1]], &unrestricted().max_window_bits(12)).unwrap();
    assert_eq!((params.server_max_window_bits, params.client_max_window_bits), (12, 15));
    // Old Safari offers a different extension.
    assert_eq!(negotiate(&["x-webkit-deflate-frame"], &unrestricted()), None);
}

#[test]
fn recorded_offers_are_accepted() {
    for (name, captured) in [
        ("chromium", include_bytes!("../captures/chromium-browser-rfc6455.c2s.bin").as_slice()),
        ("firefox", include_bytes!("../captures/firefox-esr-browser-rfc6455.c2s.bin").as_slice()),
    ] {
        let request = whole(captured).unwrap();
        let accepted =
            request.accept(&Acceptance::new().deflate(&unrestricted().max_window_bits(10))).unwrap();
        let expected = DeflateParams::default().server_max_window_bits(10);
        let expected = match name {
            "chromium" => expected.client_max_window_bits(10),
            _ => expected,
        };
        assert_eq!(accepted.deflate, Some(expected), "{name}");
    }
}

#[test]
fn every_parameter_is_negotiated() {
    let open = unrestricted();
    for (offer, answer) in [
        ("server_no_context_takeover", "server_no_context_takeover"),
        ("client_no_context_takeover", "client_no_context_takeover"),
        ("server_max_window_bits=10", "server_max_window_bits=10"),
        ("server_max_window_bits=\"10\"", "server_max_window_bits=10"),
        ("server_max_window_bits=15", "server_max_window_bits=15"),
        ("client_max_window_bits", ""),
        ("client_max_window_bits=15", ""),
        ("client_max_window_bits=8", "client_max_window_bits=8"),
        ("client_max_window_bits = 9", "client_max_window_bits=9"),
        (
            "client_max_window_bits=11 ;server_max_window_bits=10;server_no_context_takeover ; client_no_context_takeover",
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11",
        ),
    ] {
        answers(&format!("permessage-deflate; {offer}"), &open, answer);
    }
}

#[test]
fn the_smaller_window_wins() {
    for ours in 9..=15u8 {
        for theirs in 8..=15u8 {
            let config = unrestricted().max_window_bits(ours);
            let offer = format!("permessage-deflate; server_max_window_bits={theirs}");
            match negotiate(&[&offer], &config) {
                Some((answer, params)) => {
                    assert_eq!(params.server_max_window_bits, ours.min(theirs));
                    assert_eq!(answer, format!("server_max_window_bits={}", ours.min(theirs)));
                }
                None => assert_eq!(theirs, 8, "zlib cannot compress with a window of 256 bytes"),
            }
            let offer = format!("permessage-deflate; client_max_window_bits={theirs}");
            let (answer, params) = negotiate(&[&offer], &config).unwrap();
            assert_eq!(params.client_max_window_bits, ours.min(theirs));
            let expected = if ours.min(theirs) < 15 {
                format!("client_max_window_bits={}", ours.min(theirs))
            } else {
                String::new()
            };
            assert_eq!(answer, expected);
        }
    }
}

#[test]
fn the_response_has_no_window_parameter_that_was_not_offered() {
    // Context takeover is the exception: a server may disable it for both directions.
    for takeover in [false, true] {
        for bits in 9..=15 {
            let config = DeflateConfig::default().context_takeover(takeover).max_window_bits(bits);
            let (answer, params) = negotiate(&["permessage-deflate"], &config).unwrap();
            assert!(!answer.contains("window"), "{answer}");
            assert_eq!(params.client_max_window_bits, 15, "the client did not offer a smaller window");
            assert_eq!(params.server_max_window_bits, bits);
            assert_eq!(params.server_no_context_takeover, !takeover);
            assert_eq!(params.client_no_context_takeover, !takeover);
        }
    }
}

#[test]
fn invalid_offers_are_declined() {
    for offer in [
        "permessage-bzip2",
        "PERMESSAGE-DEFLATE",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; Client_max_window_bits",
        "permessage-deflate; server_no_context_takeover=true",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=10; client_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=11",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=9.0",
        "permessage-deflate; server_max_window_bits=true",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=00000000000000000010",
        "permessage-deflate; client_max_window_bits=4294967306",
    ] {
        assert_eq!(negotiate(&[offer], &unrestricted()), None, "{offer}");
        // The next offer is tried, in the same line or in another.
        let good = "permessage-deflate; server_max_window_bits=11";
        for lines in [&[&format!("{offer}, {good}")[..]][..], &[offer, good], &["foo; bar=1", offer, good]] {
            let answer = negotiate(lines, &unrestricted()).map(|(answer, _)| answer);
            assert_eq!(answer.as_deref(), Some("server_max_window_bits=11"), "{lines:?}");
        }
    }
}

#[test]
fn the_first_acceptable_offer_wins() {
    let offers =
        "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=14";
    answers(offers, &unrestricted(), "server_max_window_bits=9");
    let offers = "permessage-deflate; server_max_window_bits=8, permessage-deflate; client_max_window_bits, \
                  permessage-deflate";
    answers(offers, &unrestricted().max_window_bits(11), "client_max_window_bits=11");
}

#[test]
fn deflate_needs_an_offer_and_a_server_that_wants_it() {
    assert_eq!(negotiate(&[], &unrestricted()), None);
    let bytes = plus(RFC, &["Sec-WebSocket-Extensions: permessage-deflate"]);
    let accepted = whole(&bytes).unwrap().accept(&Acceptance::new()).unwrap();
    assert_eq!(accepted.deflate, None);
    assert!(!String::from_utf8(accepted.response).unwrap().contains("Extensions"));
}

#[test]
fn drafts_do_not_negotiate_deflate() {
    let acceptance = Acceptance::new().deflate(&unrestricted());
    for number in ["7", "8"] {
        let version = format!("Sec-WebSocket-Version: {number}");
        let bytes = with(
            RFC,
            "Sec-WebSocket-Version",
            &[&version, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
        );
        let request = whole(&bytes).unwrap();
        assert_ne!(request.version(), Version::Rfc6455);
        let accepted = request.accept(&acceptance).unwrap();
        assert_eq!(accepted.deflate, None);
        assert!(!String::from_utf8(accepted.response).unwrap().contains("Extensions"));
    }
    let lines = HIXIE.iter().chain(&["Sec-WebSocket-Extensions: permessage-deflate"]);
    let bytes = [head(lines), HIXIE_BODY.to_vec()].concat();
    assert_eq!(whole(&bytes).unwrap().accept(&acceptance).unwrap().deflate, None);
}
