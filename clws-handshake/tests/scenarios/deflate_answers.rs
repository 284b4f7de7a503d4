//! permessage-deflate on the client side: its offers, and the responses that it accepts.
#![cfg(feature = "deflate")]

use crate::common::whole;
use clws_handshake::client::{AnswerError, ClientRequest, Pending};
use clws_handshake::{Acceptance, DeflateConfig, DeflateParams, HandshakeLimits, Status, Version};
use proptest::prelude::*;

fn unrestricted() -> DeflateConfig {
    DeflateConfig::default().context_takeover(true)
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

/// The result of a response with these extensions.
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
        Status::Partial => panic!("the response is complete"),
    }
}

#[test]
fn offers_follow_the_config() {
    assert_eq!(offered(&unrestricted()), "permessage-deflate; client_max_window_bits");
    assert_eq!(
        offered(&DeflateConfig::default()),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"
    );
    assert_eq!(
        offered(&unrestricted().server_max_window_bits(10).client_max_window_bits(11)),
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11"
    );
    for version in [Version::Hybi00, Version::Hybi07, Version::Hybi08] {
        let (bytes, _) = ClientRequest::new(version, "ws://server.example/")
            .origin("http://page.example")
            .deflate(&unrestricted())
            .build(&mut |bytes: &mut [u8]| bytes.fill(7))
            .unwrap();
        assert_eq!(whole(&bytes).unwrap().headers().get("Sec-WebSocket-Extensions"), None);
    }
}

#[test]
fn valid_responses_are_accepted() {
    let all = DeflateParams::default();
    for (answer, agreed) in [
        ("permessage-deflate", all),
        ("permessage-deflate; server_no_context_takeover", all.server_no_context_takeover(true)),
        ("permessage-deflate; client_no_context_takeover", all.client_no_context_takeover(true)),
        // "a server MAY include" it without an offer
        ("permessage-deflate; server_max_window_bits=8", all.server_max_window_bits(8)),
        ("permessage-deflate; client_max_window_bits=8", all.client_max_window_bits(8)),
        ("permessage-deflate;client_max_window_bits=\"12\"", all.client_max_window_bits(12)),
    ] {
        assert_eq!(check(&unrestricted(), &[answer]), Ok(Some(agreed)), "{answer}");
    }
    assert_eq!(check(&unrestricted(), &[]), Ok(None));
    assert_eq!(check(&unrestricted(), &[""]), Ok(None));
    // The client keeps to its own offer, although the response does not repeat it.
    let config = unrestricted().client_no_context_takeover(true).client_max_window_bits(11);
    let agreed = all.client_no_context_takeover(true).client_max_window_bits(11);
    assert_eq!(check(&config, &["permessage-deflate"]), Ok(Some(agreed)));
    assert_eq!(check(&config, &["permessage-deflate; client_max_window_bits=15"]), Ok(Some(agreed)));
    let less = agreed.client_max_window_bits(9);
    assert_eq!(check(&config, &["permessage-deflate; client_max_window_bits=9"]), Ok(Some(less)));
}

#[test]
fn invalid_responses_fail_the_connection() {
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
        assert_eq!(check(&unrestricted(), &[answer]), Err(AnswerError::Extension), "{answer}");
    }
    let twice = ["permessage-deflate", "permessage-deflate"];
    assert_eq!(check(&unrestricted(), &twice), Err(AnswerError::Extension));
    // The server does not grant a demand of the client.
    let config = unrestricted().server_max_window_bits(10);
    for answer in ["permessage-deflate", "permessage-deflate; server_max_window_bits=11"] {
        assert_eq!(check(&config, &[answer]), Err(AnswerError::Extension), "{answer}");
    }
    assert!(check(&config, &["permessage-deflate; server_max_window_bits=10"]).is_ok());
    let config = unrestricted().server_no_context_takeover(true);
    assert_eq!(check(&config, &["permessage-deflate"]), Err(AnswerError::Extension));
}

#[test]
fn a_client_without_an_offer_accepts_no_extension() {
    let (_, mut pending) = ClientRequest::new(Version::Rfc6455, "ws://server.example/")
        .build(&mut |bytes: &mut [u8]| bytes.copy_from_slice(b"the sample nonce"))
        .unwrap();
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    assert_eq!(pending.check(answer, &HandshakeLimits::default()).map(|_| ()), Err(AnswerError::Extension));
}

fn config() -> impl Strategy<Value = DeflateConfig> {
    (9u8..=15, 9u8..=15, any::<bool>(), any::<bool>()).prop_map(
        |(server, client, server_alone, client_alone)| {
            DeflateConfig::default()
                .server_max_window_bits(server)
                .client_max_window_bits(client)
                .server_no_context_takeover(server_alone)
                .client_no_context_takeover(client_alone)
        },
    )
}

proptest! {
    /// Any two configurations agree on parameters that both sides support.
    #[test]
    fn any_server_and_client_agree(server in config(), client in config()) {
        let (bytes, mut pending) = request(&client);
        let accepted = whole(&bytes).unwrap().accept(&Acceptance::new().deflate(&server)).unwrap();
        let limits = HandshakeLimits::default();
        let Ok(Status::Complete(open)) = pending.check(&accepted.response, &limits) else {
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
