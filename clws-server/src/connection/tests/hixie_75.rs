//! hixie-75 has no closing handshake: each side ends its side of the connection.

use super::*;

fn hixie_75(write: impl FnOnce(&mut Sender)) -> Vec<u8> {
    frames(Version::Hixie75, write)
}

fn texts(texts: &[&str]) -> Vec<u8> {
    hixie_75(|sender| texts.iter().for_each(|text| sender.text(text, None).unwrap()))
}

#[test]
fn a_close_ends_our_side_and_waits_for_the_clients() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.send(&texts(&["close", "after"]));
    assert!(harness.shut && !harness.dropped && harness.got().is_empty(), "not a byte tells of it");
    let client = harness.resource.client();
    assert_eq!(client.send_text("x"), Err(crate::client::outcome::SendError::Closed));
    client.close(CloseCode::NORMAL); // changes nothing
    harness.pass(SECOND);
    harness.send(&texts(&["still not heard"]));
    assert!(!harness.dropped);
    harness.end_of_input();
    assert!(harness.dropped && harness.out.is_empty());
    harness.recorder(&["connected", "text close", "disconnected 1005 \"\": closed, 2 undelivered"]);
}

#[test]
fn a_close_waits_until_all_is_written() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.room = 0;
    harness.send(&texts(&["one", "two"]));
    harness.resource.client().close((CloseCode::NORMAL, "left out"));
    for _ in 0..9 {
        harness.drive();
        assert!(!harness.shut && !harness.dropped);
        harness.room = 1;
    }
    harness.drive();
    assert_eq!(harness.connection.queued(), 1);
    assert!(!harness.shut);
    harness.room = 1;
    harness.drive();
    assert!(harness.shut && !harness.dropped);
    assert_eq!(harness.got(), [Got::Text("one".into()), Got::Text("two".into())]);
    harness.end_of_input();
    assert!(harness.dropped);
    harness.recorder(&["connected", "text one", "text two", "disconnected 1005 \"\": closed"]);
}

#[test]
fn a_client_that_does_not_end_its_side_is_dropped() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.send(&texts(&["close"]));
    harness.pass(SECOND * 4);
    harness.send(&texts(&["more"]));
    assert!(harness.shut && !harness.dropped);
    harness.pass(SECOND);
    assert!(harness.dropped);
    harness.recorder(&[
        "connected",
        "text close",
        "disconnected 1006 \"\": did not answer a close frame, 1 undelivered",
    ]);
}

#[test]
fn a_client_that_ends_amid_a_message_has_not_answered() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.send(&texts(&["close"]));
    harness.send(b"\0half");
    harness.end_of_input();
    assert!(harness.dropped);
    harness.recorder(&["connected", "text close", "disconnected 1006 \"\": vanished"]);
}

#[test]
fn ff_00_does_not_close() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.send(&[b"\xFF\x00", &texts(&["a"])[..]].concat());
    assert_eq!(harness.got(), [Got::Text("a".into())]);
    assert!(!harness.shut && !harness.dropped);
}

/// Frames that are to be discarded are bounded, as messages are.
#[test]
fn a_frame_that_is_too_long_ends_it() {
    for (octets, why) in [
        (&b"\x00123456789012"[..], "a message is longer than the limit of 10 bytes"),
        (b"\xFF\x0B", "a frame of an undefined type is longer than the limit of 10 bytes"),
        (b"\x01123456789012", "a frame of an undefined type is longer than the limit of 10 bytes"),
    ] {
        let config = Config::default().max_read_message_size(10);
        let mut harness = Harness::with(config, Version::Hixie75, "/");
        harness.send(octets);
        // It may still be sending: a reset could destroy what was written before.
        assert!(harness.shut && !harness.dropped && harness.got().is_empty());
        harness.recorder(&["connected", &format!("disconnected 1006 \"\": broke the protocol: {why}")]);
        harness.send(&texts(&["not heard"]));
        harness.end_of_input();
        assert!(harness.dropped);
        harness.recorder(&[]);
    }
}

/// The driver is told once to end our side, whatever comes first.
#[test]
fn our_side_is_ended_once() {
    let mut harness = Harness::with(Config::default().max_read_message_size(10), Version::Hixie75, "/");
    harness.send(&texts(&["close"]));
    assert!(harness.shut);
    harness.send(b"\x00123456789012");
    assert!(!harness.dropped);
    harness.recorder(&[
        "connected",
        "text close",
        "disconnected 1006 \"\": broke the protocol: a message is longer than the limit of 10 bytes",
    ]);
    harness.end_of_input();
    assert!(harness.dropped);
}

#[test]
fn one_that_is_not_wanted_is_ended_behind_its_handshake() {
    for target in ["/?refuse", "/?refuse-badly", "/?refuse-at-length", "/?panic-connected"] {
        let mut harness = Harness::open(Version::Hixie75, target);
        assert!(harness.shut && !harness.dropped && harness.out.is_empty(), "{target}");
        harness.end_of_input();
        assert!(harness.dropped);
        harness.recorder(&["connected"]);
    }
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.send(&texts(&["panic"]));
    assert!(harness.shut && !harness.dropped);
    harness.recorder(&["connected", "text panic", "disconnected 1006 \"\": a handler panicked"]);
    harness.end_of_input();
    assert!(harness.dropped);
}

#[test]
fn a_server_that_stops_hears_it_out() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    assert!(harness.shut && !harness.dropped);
    harness.send(&texts(&["one", "two"]));
    harness.end_of_input();
    assert!(harness.dropped);
    harness.recorder(&["connected", "text one", "text two", "disconnected 1005 \"\": closed"]);
}

#[test]
fn early_messages_are_delivered() {
    let mut harness = Harness::new(Config::default());
    harness.send(&[request(Version::Hixie75, "/?greet"), texts(&["early"])].concat());
    harness.expect_101();
    harness.client = clws_proto::Receiver::new(Version::Hixie75, Role::Client, Limits::default());
    assert_eq!(harness.got(), [Got::Text("hello".into()), Got::Text("early".into())]);
    harness.recorder(&["connected", "text early"]);
}

#[test]
fn while_it_is_off_it_is_refused() {
    let mut harness = Harness::new(Config::default());
    harness.shared = DriverState::new(Config::default());
    harness.connection = Connection::new(Peer::Stream, &context(&harness.shared));
    harness.send(&request(Version::Hixie75, "/"));
    assert_eq!(harness.refusal(), 400);
}
