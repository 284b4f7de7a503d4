//! Clients that are not read from, because the application has enough of their messages.

use super::*;

#[test]
fn keeps_what_has_come_and_goes_on_with_it_in_order() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("one"), text("pause"), text("two"), text("three")].concat());
    harness.recorder(&["connected", "text one", "text pause"]);
    assert!(!harness.connection.wants_input());
    harness.drive();
    harness.recorder(&[]);

    harness.resource.client().resume();
    assert!(
        harness.connection.can_continue() && !harness.connection.wants_input(),
        "what was read comes first"
    );
    harness.drive();
    assert!(harness.connection.wants_input());
    harness.recorder(&["text two", "text three"]);
    harness.send(&text("four"));
    harness.recorder(&["text four"]);
}

#[test]
fn may_begin_again_in_what_was_kept() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("one"), text("pause"), text("two")].concat());
    harness.resource.client().resume();
    harness.drive();
    harness.recorder(&["connected", "text pause", "text one", "text pause"]);
    harness.resource.client().resume();
    harness.drive();
    harness.recorder(&["text two"]);
}

#[test]
fn may_begin_before_the_first_message() {
    let mut harness = Harness::new(Config::default());
    harness.send(&[request(Version::Rfc6455, "/?pause"), text("early")].concat());
    harness.expect_101();
    harness.recorder(&["connected"]);
    harness.resource.client().resume();
    harness.drive();
    harness.recorder(&["text early"]);
}

#[test]
fn holds_in_the_middle_of_a_big_message_too() {
    let big = frames(Version::Rfc6455, |sender| sender.binary(&[7; 100_000], None).unwrap());
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), big[..50_000].to_vec()].concat());
    harness.resource.client().resume();
    harness.drive();
    harness.send(&big[50_000..]);
    harness.recorder(&["connected", "text pause", "binary 100000"]);
}

#[test]
fn ends_when_this_side_closes_so_that_the_answer_is_seen() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("dropped"), close(CloseCode::NORMAL, "")].concat());
    harness.recorder(&["connected", "text pause"]);
    harness.resource.client().close(CloseCode::GOING_AWAY);
    harness.drive();
    harness.recorder(&["disconnected 1000 \"\": closed, 1 undelivered"]);
    assert!(harness.dropped);
}

#[test]
fn is_no_reason_not_to_stop_or_to_abort() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("one"), close(CloseCode::NORMAL, "")].concat());
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    assert_eq!(harness.got(), [Got::Text("pause".into()), Got::Close(Some((1001, String::new())))]);
    harness.recorder(&["connected", "text pause"]);
    harness.resource.client().resume();
    harness.drive();
    harness.recorder(&["text one", "disconnected 1000 \"\": closed"]);

    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("pause"));
    harness.resource.client().abort();
    harness.drive();
    assert!(harness.dropped);
}

#[test]
fn a_slow_client_that_has_read_is_told_of_once() {
    let config = Config::default().write_high_water(1000);
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.room = 0;
    let client = harness.resource.client();
    client.send_binary(&[0; 900]).unwrap();
    harness.drive();
    assert_eq!(client.send_binary(&[0; 900]), Ok(crate::client::outcome::Sent::AboveHighWater));
    harness.room = 1200;
    harness.drive();
    harness.recorder(&["connected"]); // 608 are left
    harness.room = 200;
    harness.drive();
    harness.recorder(&["drained"]);
    harness.room = usize::MAX;
    harness.drive();
    harness.recorder(&[]);
    client.send_binary(&[0; 900]).unwrap();
    harness.drive();
    harness.recorder(&[]);
}

#[test]
fn holds_back_everything_while_the_client_does_not_read_its_answers() {
    let config = Config::default().write_high_water(1000);
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.room = 0;
    let requests = (0..10).map(|n| text(&format!("{n}{}", "x".repeat(600)))).collect::<Vec<_>>();
    harness.send(&requests.concat());
    assert_eq!(harness.resource.take().len(), 1 + 2, "the second answer goes beyond the mark");
    assert!(!harness.connection.wants_input() && !harness.connection.can_continue());
    // A bit is not enough: half of the mark has to be read.
    harness.room = 605 + 100;
    harness.drive();
    assert!(harness.resource.take().is_empty());
    harness.room = 100;
    harness.drive();
    assert_eq!(harness.resource.take().len(), 2, "drained, and one more message");
    harness.room = usize::MAX;
    harness.drive();
    assert_eq!(harness.got().len(), 10);
}

#[test]
fn pings_are_answered_while_the_client_does_not_read_its_answers() {
    let ping = |payload: &[u8]| frames(Version::Rfc6455, |sender| sender.ping(payload).unwrap());
    let config = Config::default().write_high_water(1000);
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.room = 0;
    let client = harness.resource.client();
    client.send_text(&"x".repeat(1200)).unwrap();
    harness.drive();
    harness.recorder(&["connected"]);
    assert!(harness.connection.wants_input() && harness.connection.reads_little());
    let queued = client.buffered_amount();
    harness.send(&[ping(b"1"), ping(b"2")].concat());
    assert_eq!(client.buffered_amount(), queued + 6);
    // One that comes byte by byte.
    for byte in ping(b"3") {
        assert!(harness.connection.wants_input());
        harness.send(&[byte]);
    }
    assert_eq!(client.buffered_amount(), queued + 9);
    // One before a message; one behind it waits with it.
    harness.send(&[ping(b"4"), text("waits"), ping(b"5")].concat());
    assert_eq!(client.buffered_amount(), queued + 12);
    assert!(!harness.connection.wants_input() && !harness.connection.can_continue());
    harness.recorder(&[]);

    harness.room = usize::MAX;
    harness.drive();
    harness.recorder(&["drained", "text waits"]);
    let pongs = harness.got().into_iter().filter(|got| matches!(got, Got::Pong(_)));
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
        let mut harness = Harness::with(Config::default().write_high_water(1000), version, "/");
        harness.room = 0;
        harness.resource.client().send_text(&"x".repeat(1200)).unwrap();
        harness.drive();
        assert_eq!(harness.connection.wants_input(), wants_input, "{version}: draft 0 has no pings");
    }
    // The beginning of a message ends it, and so does one that has begun before.
    for before in [true, false] {
        let mut harness = Harness::with(Config::default().write_high_water(1000), Version::Rfc6455, "/");
        harness.room = 0;
        if before {
            harness.send(&message[..100]);
        }
        harness.resource.client().send_text(&"x".repeat(1200)).unwrap();
        harness.drive();
        if !before {
            harness.send(&message[..100]);
        }
        assert!(!harness.connection.wants_input());
        harness.room = usize::MAX;
        harness.drive();
        harness.send(&message[100..]);
        harness.recorder(&["connected", "drained", "binary 3000"]);
    }
}

#[test]
fn pings_wait_while_the_application_has_enough() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("pause"));
    assert!(!harness.connection.wants_input());
    harness.send(&frames(Version::Rfc6455, |sender| sender.ping(b"?").unwrap()));
    assert_eq!(harness.got(), [Got::Text("pause".into())]);
    harness.resource.client().resume();
    harness.drive();
    assert_eq!(harness.got(), [Got::Pong(b"?".to_vec())]);
}
