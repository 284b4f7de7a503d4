//! Clients that are not read, because they are paused or do not read their answers.

use super::*;

#[test]
fn keeps_received_messages_and_continues_in_order() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("one"), text("pause"), text("two"), text("three")].concat());
    harness.expect_calls(&["connected", "text one", "text pause"]);
    assert!(!harness.connection.wants_input());
    harness.drive();
    harness.expect_calls(&[]);

    harness.resource.client().resume();
    assert!(
        harness.connection.can_continue() && !harness.connection.wants_input(),
        "unread events come first"
    );
    harness.drive();
    assert!(harness.connection.wants_input());
    harness.expect_calls(&["text two", "text three"]);
    harness.send(&text("four"));
    harness.expect_calls(&["text four"]);
}

#[test]
fn can_pause_again_within_kept_messages() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("one"), text("pause"), text("two")].concat());
    harness.resource.client().resume();
    harness.drive();
    harness.expect_calls(&["connected", "text pause", "text one", "text pause"]);
    harness.resource.client().resume();
    harness.drive();
    harness.expect_calls(&["text two"]);
}

#[test]
fn can_pause_before_the_first_message() {
    let mut harness = Harness::new(Config::default());
    harness.send(&[request(Version::Rfc6455, "/?pause"), text("early")].concat());
    harness.take_101();
    harness.expect_calls(&["connected"]);
    harness.resource.client().resume();
    harness.drive();
    harness.expect_calls(&["text early"]);
}

#[test]
fn can_pause_within_a_large_message() {
    let big = frames(Version::Rfc6455, |sender| sender.binary(&[7; 100_000], None).unwrap());
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), big[..50_000].to_vec()].concat());
    harness.resource.client().resume();
    harness.drive();
    harness.send(&big[50_000..]);
    harness.expect_calls(&["connected", "text pause", "binary 100000"]);
}

#[test]
fn a_close_by_the_application_ends_the_pause() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("dropped"), close(CloseCode::NORMAL, "")].concat());
    harness.expect_calls(&["connected", "text pause"]);
    harness.resource.client().close(CloseCode::GOING_AWAY);
    harness.drive();
    harness.expect_calls(&["disconnected 1000 \"\": closed, 1 undelivered"]);
    assert!(harness.dropped);
}

#[test]
fn a_paused_client_can_be_stopped_or_aborted() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("one"), close(CloseCode::NORMAL, "")].concat());
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    assert_eq!(
        harness.received(),
        [Received::Text("pause".into()), Received::Close(Some((1001, String::new())))]
    );
    harness.expect_calls(&["connected", "text pause"]);
    harness.resource.client().resume();
    harness.drive();
    harness.expect_calls(&["text one", "disconnected 1000 \"\": closed"]);

    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("pause"));
    harness.resource.client().abort();
    harness.drive();
    assert!(harness.dropped);
}

#[test]
fn reports_drained_once() {
    let config = Config::default().write_high_water(1000);
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.space = 0;
    let client = harness.resource.client();
    client.send_binary(&[0; 900]).unwrap();
    harness.drive();
    assert_eq!(client.send_binary(&[0; 900]), Ok(crate::client::outcome::Sent::AboveHighWater));
    harness.space = 1200;
    harness.drive();
    harness.expect_calls(&["connected"]); // 608 are left
    harness.space = 200;
    harness.drive();
    harness.expect_calls(&["drained"]);
    harness.space = usize::MAX;
    harness.drive();
    harness.expect_calls(&[]);
    client.send_binary(&[0; 900]).unwrap();
    harness.drive();
    harness.expect_calls(&[]);
}

#[test]
fn holds_back_events_while_the_client_does_not_read_its_answers() {
    let config = Config::default().write_high_water(1000);
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.space = 0;
    let requests = (0..10).map(|n| text(&format!("{n}{}", "x".repeat(600)))).collect::<Vec<_>>();
    harness.send(&requests.concat());
    assert_eq!(harness.resource.take().len(), 1 + 2, "the second answer exceeds the mark");
    assert!(!harness.connection.wants_input() && !harness.connection.can_continue());
    // Reading continues only when the outbox is at most half the mark.
    harness.space = 605 + 100;
    harness.drive();
    assert!(harness.resource.take().is_empty());
    harness.space = 100;
    harness.drive();
    assert_eq!(harness.resource.take().len(), 2, "drained, and one more message");
    harness.space = usize::MAX;
    harness.drive();
    assert_eq!(harness.received().len(), 10);
}

#[test]
fn answers_pings_while_the_client_does_not_read_its_answers() {
    let ping = |payload: &[u8]| frames(Version::Rfc6455, |sender| sender.ping(payload).unwrap());
    let config = Config::default().write_high_water(1000);
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.space = 0;
    let client = harness.resource.client();
    client.send_text(&"x".repeat(1200)).unwrap();
    harness.drive();
    harness.expect_calls(&["connected"]);
    assert!(harness.connection.wants_input() && harness.connection.reads_little());
    let queued = client.buffered_amount();
    harness.send(&[ping(b"1"), ping(b"2")].concat());
    assert_eq!(client.buffered_amount(), queued + 6);
    // A ping may arrive byte by byte.
    for byte in ping(b"3") {
        assert!(harness.connection.wants_input());
        harness.send(&[byte]);
    }
    assert_eq!(client.buffered_amount(), queued + 9);
    // A ping before a message is answered. A ping after a message waits with it.
    harness.send(&[ping(b"4"), text("waits"), ping(b"5")].concat());
    assert_eq!(client.buffered_amount(), queued + 12);
    assert!(!harness.connection.wants_input() && !harness.connection.can_continue());
    harness.expect_calls(&[]);

    harness.space = usize::MAX;
    harness.drive();
    harness.expect_calls(&["drained", "text waits"]);
    let pongs = harness.received().into_iter().filter(|received| matches!(received, Received::Pong(_)));
    assert_eq!(
        pongs.collect::<Vec<_>>(),
        [b"1", b"2", b"3", b"4", b"5"].map(|payload| Received::Pong(payload.to_vec()))
    );
}

#[test]
fn reads_only_pings_while_the_client_does_not_read_its_answers() {
    let message = frames(Version::Rfc6455, |sender| sender.binary(&[7; 3000], None).unwrap());
    for (version, wants_input) in
        [(Version::Rfc6455, true), (Version::Hybi07, true), (Version::Hybi00, false)]
    {
        let mut harness = Harness::with(Config::default().write_high_water(1000), version, "/");
        harness.space = 0;
        harness.resource.client().send_text(&"x".repeat(1200)).unwrap();
        harness.drive();
        assert_eq!(harness.connection.wants_input(), wants_input, "{version}: draft 0 has no pings");
    }
    // Reading stops at the beginning of a message, even of one that began before.
    for before in [true, false] {
        let mut harness = Harness::with(Config::default().write_high_water(1000), Version::Rfc6455, "/");
        harness.space = 0;
        if before {
            harness.send(&message[..100]);
        }
        harness.resource.client().send_text(&"x".repeat(1200)).unwrap();
        harness.drive();
        if !before {
            harness.send(&message[..100]);
        }
        assert!(!harness.connection.wants_input());
        harness.space = usize::MAX;
        harness.drive();
        harness.send(&message[100..]);
        harness.expect_calls(&["connected", "drained", "binary 3000"]);
    }
}

#[test]
fn pings_wait_while_the_client_is_paused() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("pause"));
    assert!(!harness.connection.wants_input());
    harness.send(&frames(Version::Rfc6455, |sender| sender.ping(b"?").unwrap()));
    assert_eq!(harness.received(), [Received::Text("pause".into())]);
    harness.resource.client().resume();
    harness.drive();
    assert_eq!(harness.received(), [Received::Pong(b"?".to_vec())]);
}
