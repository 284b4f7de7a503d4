//! permessage-deflate, the client's side: what is offered, and which answers to it open a connection.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy does not see that helpers are tests, too")]

mod common;

use clws_handshake::client::{AnswerError, ClientRequest, Pending};
use clws_handshake::{Acceptance, DeflateConfig, DeflateParams, HandshakeLimits, Status, Version};
use common::whole;
use proptest::prelude::*;

fn open() -> DeflateConfig {
    DeflateConfig::default().with_context_takeover(true)
}

fn request(config: &DeflateConfig) -> (Vec<u8>, Pending) {
    ClientRequest::new(Version::Rfc6455, "ws://server.example/")
        .deflate(config)
        .build(&mut |bytes: &mut [u8]| bytes.copy_from_slice(b"the sample nonce"))
        .unwrap()
}

fn offered(config: &DeflateConfig) -> String {
    let (bytes, _) = request(config);
    whole(&bytes).unwrap().headers().get("Sec-WebSocket-Extensions").unwrap().to_owned()
}

/// What a client makes of these extensions in an answer.
fn check(config: &DeflateConfig, extensions: &[&str]) -> Result<Option<DeflateParams>, AnswerError> {
    let (_, mut pending) = request(config);
    let mut answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        .to_owned();
    for line in extensions {
        answer.push_str(&format!("Sec-WebSocket-Extensions: {line}\r\n"));
    }
    answer.push_str("\r\n");
    match pending.check(answer.as_bytes(), &HandshakeLimits::default())? {
        Status::Complete(open) => Ok(open.deflate),
        Status::Partial => panic!("it is all there"),
    }
}

#[test]
fn what_is_offered() {
    assert_eq!(offered(&open()), "permessage-deflate; client_max_window_bits");
    assert_eq!(
        offered(&DeflateConfig::default()),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"
    );
    assert_eq!(
        offered(&open().with_server_max_window_bits(10).with_client_max_window_bits(11)),
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11"
    );
    for version in [Version::Hybi00, Version::Hybi07, Version::Hybi08] {
        let (bytes, _) = ClientRequest::new(version, "ws://server.example/")
            .origin("http://page.example")
            .deflate(&open())
            .build(&mut |bytes: &mut [u8]| bytes.fill(7))
            .unwrap();
        assert_eq!(whole(&bytes).unwrap().headers().get("Sec-WebSocket-Extensions"), None);
    }
}

#[test]
fn answers_that_agree() {
    let all = DeflateParams::default();
    for (answer, agreed) in [
        ("permessage-deflate", all),
        ("permessage-deflate; server_no_context_takeover", all.with_server_no_context_takeover(true)),
        ("permessage-deflate; client_no_context_takeover", all.with_client_no_context_takeover(true)),
        // "a server MAY include" it though it was not offered
        ("permessage-deflate; server_max_window_bits=8", all.with_server_max_window_bits(8)),
        ("permessage-deflate; client_max_window_bits=8", all.with_client_max_window_bits(8)),
        ("permessage-deflate;client_max_window_bits=\"12\"", all.with_client_max_window_bits(12)),
    ] {
        assert_eq!(check(&open(), &[answer]), Ok(Some(agreed)), "{answer}");
    }
    assert_eq!(check(&open(), &[]), Ok(None));
    assert_eq!(check(&open(), &[""]), Ok(None));
    // What this side said that it would not do it does not do, though the answer does not repeat it.
    let config = open().with_client_no_context_takeover(true).with_client_max_window_bits(11);
    let agreed = all.with_client_no_context_takeover(true).with_client_max_window_bits(11);
    assert_eq!(check(&config, &["permessage-deflate"]), Ok(Some(agreed)));
    assert_eq!(check(&config, &["permessage-deflate; client_max_window_bits=15"]), Ok(Some(agreed)));
    let less = agreed.with_client_max_window_bits(9);
    assert_eq!(check(&config, &["permessage-deflate; client_max_window_bits=9"]), Ok(Some(less)));
}

#[test]
fn answers_that_fail_the_connection() {
    for answer in [
        "permessage-bzip2",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate, foo",
        "permessage-deflate; unknown",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=10; client_max_window_bits=10",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate;",
        "permessage-deflate; =",
        "\u{fc}",
    ] {
        assert_eq!(check(&open(), &[answer]), Err(AnswerError::Extension), "{answer}");
    }
    let twice = ["permessage-deflate", "permessage-deflate"];
    assert_eq!(check(&open(), &twice), Err(AnswerError::Extension));
    // What was demanded of the server and is not granted.
    let config = open().with_server_max_window_bits(10);
    for answer in ["permessage-deflate", "permessage-deflate; server_max_window_bits=11"] {
        assert_eq!(check(&config, &[answer]), Err(AnswerError::Extension), "{answer}");
    }
    assert!(check(&config, &["permessage-deflate; server_max_window_bits=10"]).is_ok());
    let config = open().with_server_no_context_takeover(true);
    assert_eq!(check(&config, &["permessage-deflate"]), Err(AnswerError::Extension));
}

#[test]
fn who_offers_nothing_takes_nothing() {
    let (_, mut pending) = ClientRequest::new(Version::Rfc6455, "ws://server.example/")
        .build(&mut |bytes: &mut [u8]| bytes.copy_from_slice(b"the sample nonce"))
        .unwrap();
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    assert_eq!(pending.check(answer, &HandshakeLimits::default()).map(|_| ()), Err(AnswerError::Extension));
}

fn config() -> impl Strategy<Value = DeflateConfig> {
    (9u8..=15, 9u8..=15, any::<bool>(), any::<bool>()).prop_map(|(server, client, alone, on_their_own)| {
        DeflateConfig::default()
            .with_server_max_window_bits(server)
            .with_client_max_window_bits(client)
            .with_server_no_context_takeover(alone)
            .with_client_no_context_takeover(on_their_own)
    })
}

proptest! {
    /// Whatever each side wants, ours agree, on the same and on what both can do.
    #[test]
    fn both_sides_agree_on_the_same(server in config(), client in config()) {
        let (bytes, mut pending) = request(&client);
        let accepted = whole(&bytes).unwrap().accept(&Acceptance::new().deflate(&server)).unwrap();
        let caps = HandshakeLimits::default();
        let Ok(Status::Complete(open)) = pending.check(&accepted.response, &caps) else {
            panic!("{}", String::from_utf8_lossy(&accepted.response));
        };
        let (ours, theirs) = (accepted.deflate.unwrap(), open.deflate.unwrap());
        prop_assert_eq!(ours.client_max_window_bits, theirs.client_max_window_bits);
        prop_assert_eq!(ours.server_no_context_takeover, theirs.server_no_context_takeover);
        prop_assert_eq!(ours.client_no_context_takeover, theirs.client_no_context_takeover);
        prop_assert!(ours.server_max_window_bits <= theirs.server_max_window_bits);
        prop_assert!(ours.server_max_window_bits <= server.server_max_window_bits.min(client.server_max_window_bits));
        prop_assert!(ours.client_max_window_bits <= server.client_max_window_bits.min(client.client_max_window_bits));
    }
}
