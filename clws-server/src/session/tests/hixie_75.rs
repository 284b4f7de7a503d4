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
    let mut world = World::open(Version::Hixie75, "/");
    world.send(&texts(&["close", "after"]));
    assert!(world.shut && !world.dropped && world.got().is_empty(), "not a byte tells of it");
    let client = world.resource.client();
    assert_eq!(client.send_text("x"), Err(crate::SendError::Closed));
    client.close(CloseCode::NORMAL, ""); // changes nothing
    world.pass(SECOND);
    world.send(&texts(&["still not heard"]));
    assert!(!world.dropped);
    world.end_of_input();
    assert!(world.dropped && world.out.is_empty());
    world.diary(&["connected", "text close", "disconnected 1005 \"\": closed, 2 undelivered"]);
}

#[test]
fn a_close_waits_until_all_is_written() {
    let mut world = World::open(Version::Hixie75, "/");
    world.room = 0;
    world.send(&texts(&["one", "two"]));
    world.resource.client().close(CloseCode::NORMAL, "left out");
    for _ in 0..9 {
        world.settle();
        assert!(!world.shut && !world.dropped);
        world.room = 1;
    }
    world.settle();
    assert_eq!(world.session.queued(), 1);
    assert!(!world.shut);
    world.room = 1;
    world.settle();
    assert!(world.shut && !world.dropped);
    assert_eq!(world.got(), [Got::Text("one".into()), Got::Text("two".into())]);
    world.end_of_input();
    assert!(world.dropped);
    world.diary(&["connected", "text one", "text two", "disconnected 1005 \"\": closed"]);
}

#[test]
fn a_client_that_does_not_end_its_side_is_dropped() {
    let mut world = World::open(Version::Hixie75, "/");
    world.send(&texts(&["close"]));
    world.pass(SECOND * 4);
    world.send(&texts(&["more"]));
    assert!(world.shut && !world.dropped);
    world.pass(SECOND);
    assert!(world.dropped);
    world.diary(&[
        "connected",
        "text close",
        "disconnected 1006 \"\": did not answer a close frame, 1 undelivered",
    ]);
}

#[test]
fn a_client_that_ends_amid_a_message_has_not_answered() {
    let mut world = World::open(Version::Hixie75, "/");
    world.send(&texts(&["close"]));
    world.send(b"\0half");
    world.end_of_input();
    assert!(world.dropped);
    world.diary(&["connected", "text close", "disconnected 1006 \"\": vanished"]);
}

#[test]
fn ff_00_does_not_close() {
    let mut world = World::open(Version::Hixie75, "/");
    world.send(&[b"\xFF\x00", &texts(&["a"])[..]].concat());
    assert_eq!(world.got(), [Got::Text("a".into())]);
    assert!(!world.shut && !world.dropped);
}

/// Frames that are to be discarded are bounded, as messages are.
#[test]
fn a_frame_that_is_too_long_ends_it() {
    for (octets, why) in [
        (&b"\x00123456789012"[..], "a message is larger than the limit of 10 octets"),
        (b"\xFF\x0B", "a frame to be discarded is larger than the limit of 10 octets"),
        (b"\x01123456789012", "a frame to be discarded is larger than the limit of 10 octets"),
    ] {
        let config = Config::default().max_read_message_size(10);
        let mut world = World::with(config, Version::Hixie75, "/");
        world.send(octets);
        // It may still be sending: a reset could destroy what was written before.
        assert!(world.shut && !world.dropped && world.got().is_empty());
        world.diary(&["connected", &format!("disconnected 1006 \"\": broke the protocol: {why}")]);
        world.send(&texts(&["not heard"]));
        world.end_of_input();
        assert!(world.dropped);
        world.diary(&[]);
    }
}

/// The driver is told once to end our side, whatever comes first.
#[test]
fn our_side_is_ended_once() {
    let mut world = World::with(Config::default().max_read_message_size(10), Version::Hixie75, "/");
    world.send(&texts(&["close"]));
    assert!(world.shut);
    world.send(b"\x00123456789012");
    assert!(!world.dropped);
    world.diary(&[
        "connected",
        "text close",
        "disconnected 1006 \"\": broke the protocol: a message is larger than the limit of 10 octets",
    ]);
    world.end_of_input();
    assert!(world.dropped);
}

#[test]
fn one_that_is_not_wanted_is_ended_behind_its_handshake() {
    for target in ["/?refuse", "/?refuse-badly", "/?refuse-at-length", "/?panic-connected"] {
        let mut world = World::open(Version::Hixie75, target);
        assert!(world.shut && !world.dropped && world.out.is_empty(), "{target}");
        world.end_of_input();
        assert!(world.dropped);
        world.diary(&["connected"]);
    }
    let mut world = World::open(Version::Hixie75, "/");
    world.send(&texts(&["panic"]));
    assert!(world.shut && !world.dropped);
    world.diary(&["connected", "text panic", "disconnected 1006 \"\": a handler panicked"]);
    world.end_of_input();
    assert!(world.dropped);
}

#[test]
fn a_server_that_stops_hears_it_out() {
    let mut world = World::open(Version::Hixie75, "/");
    world.session.stop(&context(&world.shared));
    world.settle();
    assert!(world.shut && !world.dropped);
    world.send(&texts(&["one", "two"]));
    world.end_of_input();
    assert!(world.dropped);
    world.diary(&["connected", "text one", "text two", "disconnected 1005 \"\": closed"]);
}

#[test]
fn early_messages_are_delivered() {
    let mut world = World::new(Config::default());
    world.send(&[request(Version::Hixie75, "/?greet"), texts(&["early"])].concat());
    world.expect_101();
    world.client = clws_proto::Receiver::new(Version::Hixie75, Role::Client, Limits::default());
    assert_eq!(world.got(), [Got::Text("hello".into()), Got::Text("early".into())]);
    world.diary(&["connected", "text early"]);
}

#[test]
fn while_it_is_off_it_is_refused() {
    let mut world = World::new(Config::default());
    world.shared = Arc::new(Shared::new(Config::default()));
    world.session = Session::new(Peer::Stream, &context(&world.shared));
    world.send(&request(Version::Hixie75, "/"));
    assert_eq!(world.refusal(), 400);
}
