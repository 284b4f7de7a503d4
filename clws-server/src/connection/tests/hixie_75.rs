//! Connections in hixie-75. It has no closing handshake: each endpoint ends its side of the
//! connection.

use super::*;

fn hixie_75(write: impl FnOnce(&mut Sender)) -> Vec<u8> {
    frames(Version::Hixie75, write)
}

fn texts(texts: &[&str]) -> Vec<u8> {
    hixie_75(|sender| texts.iter().for_each(|text| sender.text(text, None).unwrap()))
}

#[test]
fn a_close_ends_our_side_and_waits_for_the_clients_end() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.send(&texts(&["close", "after"]));
    assert!(harness.shut && !harness.dropped && harness.received().is_empty(), "a close writes no bytes");
    let client = harness.resource.client();
    assert_eq!(client.send_text("x"), Err(crate::client::outcome::SendError::Closed));
    client.close(CloseCode::NORMAL); // changes nothing
    harness.advance(SECOND);
    harness.send(&texts(&["discarded"]));
    assert!(!harness.dropped);
    harness.end_of_input();
    assert!(harness.dropped && harness.out.is_empty());
    harness.expect_calls(&["connected", "text close", "disconnected 1005 \"\": closed, 2 undelivered"]);
}

#[test]
fn a_close_waits_until_all_data_is_written() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.space = 0;
    harness.send(&texts(&["one", "two"]));
    harness.resource.client().close((CloseCode::NORMAL, "left out"));
    for _ in 0..9 {
        harness.drive();
        assert!(!harness.shut && !harness.dropped);
        harness.space = 1;
    }
    harness.drive();
    assert_eq!(harness.connection.queued(), 1);
    assert!(!harness.shut);
    harness.space = 1;
    harness.drive();
    assert!(harness.shut && !harness.dropped);
    assert_eq!(harness.received(), [Received::Text("one".into()), Received::Text("two".into())]);
    harness.end_of_input();
    assert!(harness.dropped);
    harness.expect_calls(&["connected", "text one", "text two", "disconnected 1005 \"\": closed"]);
}

#[test]
fn drops_a_client_that_does_not_end_its_side() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.send(&texts(&["close"]));
    harness.advance(SECOND * 4);
    harness.send(&texts(&["more"]));
    assert!(harness.shut && !harness.dropped);
    harness.advance(SECOND);
    assert!(harness.dropped);
    harness.expect_calls(&[
        "connected",
        "text close",
        "disconnected 1006 \"\": did not answer a close frame, 1 undelivered",
    ]);
}

#[test]
fn an_end_within_a_message_is_no_answer_to_a_close() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.send(&texts(&["close"]));
    harness.send(b"\0half");
    harness.end_of_input();
    assert!(harness.dropped);
    harness.expect_calls(&["connected", "text close", "disconnected 1006 \"\": vanished"]);
}

#[test]
fn ff_00_does_not_close() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.send(&[b"\xFF\x00", &texts(&["a"])[..]].concat());
    assert_eq!(harness.received(), [Received::Text("a".into())]);
    assert!(!harness.shut && !harness.dropped);
}

/// Frames to be discarded have the same limit as messages.
#[test]
fn ends_the_connection_when_a_frame_is_too_long() {
    for (bytes, why) in [
        (&b"\x00123456789012"[..], "a message is longer than the limit of 10 bytes"),
        (b"\xFF\x0B", "a frame of an undefined type is longer than the limit of 10 bytes"),
        (b"\x01123456789012", "a frame of an undefined type is longer than the limit of 10 bytes"),
    ] {
        let config = Config::default().max_read_message_size(10);
        let mut harness = Harness::with(config, Version::Hixie75, "/");
        harness.send(bytes);
        // The client may still be sending, and a reset could destroy earlier output.
        assert!(harness.shut && !harness.dropped && harness.received().is_empty());
        harness.expect_calls(&["connected", &format!("disconnected 1006 \"\": broke the protocol: {why}")]);
        harness.send(&texts(&["discarded"]));
        harness.end_of_input();
        assert!(harness.dropped);
        harness.expect_calls(&[]);
    }
}

/// The driver is asked only once to shut down writing.
#[test]
fn shuts_down_writing_once() {
    let mut harness = Harness::with(Config::default().max_read_message_size(10), Version::Hixie75, "/");
    harness.send(&texts(&["close"]));
    assert!(harness.shut);
    harness.send(b"\x00123456789012");
    assert!(!harness.dropped);
    harness.expect_calls(&[
        "connected",
        "text close",
        "disconnected 1006 \"\": broke the protocol: a message is longer than the limit of 10 bytes",
    ]);
    harness.end_of_input();
    assert!(harness.dropped);
}

#[test]
fn ends_a_refused_client_after_its_handshake() {
    for target in ["/?refuse", "/?refuse-badly", "/?refuse-at-length", "/?panic-connected"] {
        let mut harness = Harness::open(Version::Hixie75, target);
        assert!(harness.shut && !harness.dropped && harness.out.is_empty(), "{target}");
        harness.end_of_input();
        assert!(harness.dropped);
        harness.expect_calls(&["connected"]);
    }
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.send(&texts(&["panic"]));
    assert!(harness.shut && !harness.dropped);
    harness.expect_calls(&["connected", "text panic", "disconnected 1006 \"\": a handler panicked"]);
    harness.end_of_input();
    assert!(harness.dropped);
}

#[test]
fn a_stopping_server_still_delivers_messages() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    assert!(harness.shut && !harness.dropped);
    harness.send(&texts(&["one", "two"]));
    harness.end_of_input();
    assert!(harness.dropped);
    harness.expect_calls(&["connected", "text one", "text two", "disconnected 1005 \"\": closed"]);
}

#[test]
fn delivers_messages_sent_with_the_request() {
    let mut harness = Harness::new(Config::default());
    harness.send(&[request(Version::Hixie75, "/?greet"), texts(&["early"])].concat());
    harness.take_101();
    harness.client = clws_proto::Receiver::new(Version::Hixie75, Role::Client, Limits::default());
    assert_eq!(harness.received(), [Received::Text("hello".into()), Received::Text("early".into())]);
    harness.expect_calls(&["connected", "text early"]);
}

#[test]
fn refuses_hixie_75_unless_it_is_enabled() {
    let mut harness = Harness::new(Config::default());
    harness.shared = DriverState::new(Config::default());
    harness.connection = Connection::new(Peer::Stream, &context(&harness.shared));
    harness.send(&request(Version::Hixie75, "/"));
    assert_eq!(harness.take_refusal_status(), 400);
}
