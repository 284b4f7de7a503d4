//! Clients that are not read from, because the application has enough of their messages.

use super::*;

#[test]
fn keeps_what_has_come_and_goes_on_with_it_in_order() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[text("one"), text("pause"), text("two"), text("three")].concat());
    world.diary(&["connected", "text one", "text pause"]);
    assert!(!world.session.wants_input());
    world.settle();
    world.diary(&[]);

    world.resource.client().resume();
    assert!(world.session.may_go_on() && !world.session.wants_input(), "what was read comes first");
    world.settle();
    assert!(world.session.wants_input());
    world.diary(&["text two", "text three"]);
    world.send(&text("four"));
    world.diary(&["text four"]);
}

#[test]
fn may_begin_again_in_what_was_kept() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[text("pause"), text("one"), text("pause"), text("two")].concat());
    world.resource.client().resume();
    world.settle();
    world.diary(&["connected", "text pause", "text one", "text pause"]);
    world.resource.client().resume();
    world.settle();
    world.diary(&["text two"]);
}

#[test]
fn may_begin_before_the_first_message() {
    let mut world = World::new(Config::default());
    world.send(&[request(Version::Rfc6455, "/?pause"), text("early")].concat());
    world.expect_101();
    world.diary(&["connected"]);
    world.resource.client().resume();
    world.settle();
    world.diary(&["text early"]);
}

#[test]
fn holds_in_the_middle_of_a_big_message_too() {
    let big = frames(Version::Rfc6455, |sender| sender.binary(&[7; 100_000], None).unwrap());
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[text("pause"), big[..50_000].to_vec()].concat());
    world.resource.client().resume();
    world.settle();
    world.send(&big[50_000..]);
    world.diary(&["connected", "text pause", "binary 100000"]);
}

#[test]
fn ends_when_this_side_closes_so_that_the_answer_is_seen() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[text("pause"), text("dropped"), close(CloseCode::NORMAL, "")].concat());
    world.diary(&["connected", "text pause"]);
    world.resource.client().close(CloseCode::GOING_AWAY, "");
    world.settle();
    world.diary(&["disconnected 1000 \"\": closed, 1 undelivered"]);
    assert!(world.dropped);
}

#[test]
fn is_no_reason_not_to_stop_or_to_abort() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[text("pause"), text("one"), close(CloseCode::NORMAL, "")].concat());
    world.session.stop(&context(&world.shared));
    world.settle();
    assert_eq!(world.got(), [Got::Text("pause".into()), Got::Close(Some((1001, String::new())))]);
    world.diary(&["connected", "text pause"]);
    world.resource.client().resume();
    world.settle();
    world.diary(&["text one", "disconnected 1000 \"\": closed"]);

    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&text("pause"));
    world.resource.client().abort();
    world.settle();
    assert!(world.dropped);
}

#[test]
fn a_slow_client_that_has_read_is_told_of_once() {
    let config = Config::default().write_high_water(1000);
    let mut world = World::with(config, Version::Rfc6455, "/");
    world.room = 0;
    let client = world.resource.client();
    client.send_binary(&[0; 900]).unwrap();
    world.settle();
    assert_eq!(client.send_binary(&[0; 900]), Ok(crate::Sent::AboveHighWater));
    world.room = 1200;
    world.settle();
    world.diary(&["connected"]); // 608 are left
    world.room = 200;
    world.settle();
    world.diary(&["drained"]);
    world.room = usize::MAX;
    world.settle();
    world.diary(&[]);
    client.send_binary(&[0; 900]).unwrap();
    world.settle();
    world.diary(&[]);
}

#[test]
fn holds_back_everything_while_the_client_does_not_read_its_answers() {
    let config = Config::default().write_high_water(1000);
    let mut world = World::with(config, Version::Rfc6455, "/");
    world.room = 0;
    let requests = (0..10).map(|n| text(&format!("{n}{}", "x".repeat(600)))).collect::<Vec<_>>();
    world.send(&requests.concat());
    assert_eq!(world.resource.take().len(), 1 + 2, "the second answer goes beyond the mark");
    assert!(!world.session.wants_input() && !world.session.may_go_on());
    // A bit is not enough: half of the mark has to be read.
    world.room = 605 + 100;
    world.settle();
    assert!(world.resource.take().is_empty());
    world.room = 100;
    world.settle();
    assert_eq!(world.resource.take().len(), 2, "drained, and one more message");
    world.room = usize::MAX;
    world.settle();
    assert_eq!(world.got().len(), 10);
}

#[test]
fn pings_are_answered_while_the_client_does_not_read_its_answers() {
    let ping = |payload: &[u8]| frames(Version::Rfc6455, |sender| sender.ping(payload).unwrap());
    let config = Config::default().write_high_water(1000);
    let mut world = World::with(config, Version::Rfc6455, "/");
    world.room = 0;
    let client = world.resource.client();
    client.send_text(&"x".repeat(1200)).unwrap();
    world.settle();
    world.diary(&["connected"]);
    assert!(world.session.wants_input() && world.session.reads_little());
    let queued = client.buffered_amount();
    world.send(&[ping(b"1"), ping(b"2")].concat());
    assert_eq!(client.buffered_amount(), queued + 6);
    // One that comes byte by byte.
    for byte in ping(b"3") {
        assert!(world.session.wants_input());
        world.send(&[byte]);
    }
    assert_eq!(client.buffered_amount(), queued + 9);
    // One before a message; one behind it waits with it.
    world.send(&[ping(b"4"), text("waits"), ping(b"5")].concat());
    assert_eq!(client.buffered_amount(), queued + 12);
    assert!(!world.session.wants_input() && !world.session.may_go_on());
    world.diary(&[]);

    world.room = usize::MAX;
    world.settle();
    world.diary(&["drained", "text waits"]);
    let pongs = world.got().into_iter().filter(|got| matches!(got, Got::Pong(_)));
    assert_eq!(
        pongs.collect::<Vec<_>>(),
        [b"1", b"2", b"3", b"4", b"5"].map(|payload| Got::Pong(payload.to_vec()))
    );
}

#[test]
fn no_more_than_pings_is_read_meanwhile() {
    let message = frames(Version::Rfc6455, |sender| sender.binary(&[7; 3000], None).unwrap());
    for (version, wants_input) in
        [(Version::Rfc6455, true), (Version::Hybi07, true), (Version::Hybi00, false)]
    {
        let mut world = World::with(Config::default().write_high_water(1000), version, "/");
        world.room = 0;
        world.resource.client().send_text(&"x".repeat(1200)).unwrap();
        world.settle();
        assert_eq!(world.session.wants_input(), wants_input, "{version}: draft 0 has no pings");
    }
    // The beginning of a message ends it, and so does one that has begun before.
    for before in [true, false] {
        let mut world = World::with(Config::default().write_high_water(1000), Version::Rfc6455, "/");
        world.room = 0;
        if before {
            world.send(&message[..100]);
        }
        world.resource.client().send_text(&"x".repeat(1200)).unwrap();
        world.settle();
        if !before {
            world.send(&message[..100]);
        }
        assert!(!world.session.wants_input());
        world.room = usize::MAX;
        world.settle();
        world.send(&message[100..]);
        world.diary(&["connected", "drained", "binary 3000"]);
    }
}

#[test]
fn pings_wait_while_the_application_has_enough() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&text("pause"));
    assert!(!world.session.wants_input());
    world.send(&frames(Version::Rfc6455, |sender| sender.ping(b"?").unwrap()));
    assert_eq!(world.got(), [Got::Text("pause".into())]);
    world.resource.client().resume();
    world.settle();
    assert_eq!(world.got(), [Got::Pong(b"?".to_vec())]);
}
