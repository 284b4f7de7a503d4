//! Clients that send faster than a limit allows.

use super::*;
use crate::config::excess::Excess;

fn open(config: Config) -> Harness {
    let harness = Harness::with(config, Version::Rfc6455, "/");
    harness.expect_calls(&["connected"]);
    harness
}

fn texts(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|message| text(message)).collect()
}

fn ping() -> Vec<u8> {
    frames(Version::Rfc6455, |sender| sender.ping(b"?").unwrap())
}

#[test]
fn messages_beyond_the_burst_wait_and_none_is_lost() {
    let mut harness = open(Config::default().max_messages_per_second(2));
    harness.send(&texts(&["1", "2", "3", "4"]));
    harness.expect_calls(&["text 1", "text 2"]);
    assert!(!harness.connection.wants_input() && !harness.connection.can_continue());
    assert_eq!(harness.deadline, Some(harness.now + SECOND / 2));
    harness.advance(SECOND / 2);
    harness.expect_calls(&["text 3"]);
    harness.advance(SECOND / 4);
    harness.expect_calls(&[]);
    harness.advance(SECOND / 4);
    harness.expect_calls(&["text 4"]);
    // Reading waits too, although no event is left.
    assert!(!harness.connection.wants_input());
    harness.advance(SECOND / 2);
    assert!(harness.connection.wants_input());
    // After a long silence, a client has one burst.
    harness.advance(100 * SECOND);
    harness.send(&texts(&["5", "6", "7"]));
    harness.expect_calls(&["text 5", "text 6"]);
}

#[test]
fn a_client_within_its_limits_never_waits() {
    let config = Config::default().max_messages_per_second(2).max_bytes_per_second(100);
    let mut harness = open(config);
    for _ in 0..100 {
        harness.send(&texts(&["x"]));
        assert!(harness.connection.wants_input());
        harness.advance(SECOND / 2);
    }
    assert_eq!(harness.resource.take().len(), 100);
}

#[test]
fn bytes_count_as_they_arrive_and_once() {
    let mut harness = open(Config::default().max_bytes_per_second(1000));
    let message = frames(Version::Rfc6455, |sender| sender.binary(&[7; 3000], None).unwrap());
    // 3008 bytes with the header. Reading stops in the middle of the message.
    harness.send(&message[..2000]);
    assert!(!harness.connection.wants_input());
    harness.advance(SECOND);
    assert!(!harness.connection.wants_input());
    harness.advance(SECOND / 1000);
    assert!(harness.connection.wants_input());
    harness.send(&message[2000..]);
    harness.expect_calls(&["binary 3000"]);
    // The debt is 1008 bytes less the token of the last millisecond.
    harness.advance(SECOND);
    assert!(!harness.connection.wants_input());
    harness.advance(SECOND / 100);
    assert!(harness.connection.wants_input());
}

/// Nothing is read from a client that waits, so its silence means nothing.
#[test]
fn a_client_that_waits_for_its_limit_is_not_silent() {
    let mut harness = open(Config::default().max_bytes_per_second(100));
    let message = frames(Version::Rfc6455, |sender| sender.binary(&[7; 10_000], None).unwrap());
    harness.send(&message);
    harness.expect_calls(&["binary 10000"]);
    // A ping would come after 20 seconds, and the end after 40. The debt is paid after 99.
    harness.wait(98 * SECOND);
    assert!(!harness.connection.wants_input() && !harness.dropped);
    assert!(harness.out.is_empty(), "a ping");
    harness.wait(30 * SECOND);
    assert!(!harness.out.is_empty(), "no ping, although the clock runs again");
}

/// What is read is charged at once, so a large read would stop a client for long.
#[test]
fn a_client_with_limits_is_read_little_by_little() {
    let message = frames(Version::Rfc6455, |sender| sender.binary(&vec![7; 1 << 20], None).unwrap());
    for (limit, is_little) in [(0, false), (1 << 20, true)] {
        let mut harness = open(Config::default().max_bytes_per_second(limit));
        harness.send(&message[..500_000]);
        assert_eq!(harness.connection.reads_little(), is_little);
        let context = context(&harness.shared);
        let room = harness.connection.spare_capacity(&context).unwrap().len();
        assert_eq!(room <= 64 * 1024, is_little, "{room}");
    }
}

#[test]
fn headers_count() {
    let mut harness = open(Config::default().max_bytes_per_second(70));
    harness.send(&texts(&[""; 10]));
    assert_eq!(harness.resource.take().len(), 10, "60 bytes");
    assert!(harness.connection.wants_input());
    harness.send(&texts(&["", ""]));
    assert!(!harness.connection.wants_input(), "72 bytes");
}

#[test]
fn an_excess_can_close_the_client() {
    for (config, reason) in [
        (Config::default().max_messages_per_second(2), "too many messages per second"),
        (Config::default().max_bytes_per_second(9), "too many bytes per second"),
    ] {
        let mut harness = open(config.excess(Excess::Close));
        harness.send(&texts(&["1234", "12345", "3", "4"]));
        harness.resource.take();
        let received = harness.received();
        assert_eq!(received.last(), Some(&Received::Close(Some((1008, reason.to_owned())))));
        assert!(!harness.dropped, "what the client is sending is read to its end");
        harness.end_of_input();
        assert!(harness.dropped);
    }
}

#[test]
fn the_message_of_an_excess_counts_as_undelivered() {
    let mut harness = open(Config::default().max_messages_per_second(2).excess(Excess::Close));
    harness.send(&texts(&["1", "2", "3", "4"]));
    harness.expect_calls(&["text 1", "text 2", "disconnected 1006 \"\": sent too fast, 2 undelivered"]);
}

#[test]
fn a_long_message_can_exceed_before_its_end() {
    let mut harness = open(Config::default().max_bytes_per_second(1000).excess(Excess::Close));
    let message = frames(Version::Rfc6455, |sender| sender.binary(&[7; 3000], None).unwrap());
    harness.send(&message[..1500]);
    harness.expect_calls(&["disconnected 1006 \"\": sent too fast"]);
}

#[test]
fn control_frames_have_a_limit_of_their_own() {
    let mut harness = open(Config::default().max_control_frames_per_second(2));
    harness.send(&[texts(&["1", "2", "3"]), ping(), ping(), ping(), texts(&["4"])].concat());
    harness.expect_calls(&["text 1", "text 2", "text 3"]);
    let pongs = |harness: &mut Harness| {
        harness.received().into_iter().filter(|received| matches!(received, Received::Pong(_))).count()
    };
    assert_eq!(pongs(&mut harness), 2);
    harness.advance(SECOND / 2);
    assert_eq!(pongs(&mut harness), 1);
    harness.advance(SECOND / 2);
    harness.expect_calls(&["text 4"]);

    let config = Config::default().max_control_frames_per_second(2).excess(Excess::Close);
    let mut harness = open(config);
    harness.send(&[ping(), ping(), frames(Version::Rfc6455, |s| s.pong(b"").unwrap())].concat());
    let reason = "too many control frames per second".to_owned();
    assert_eq!(harness.received().last(), Some(&Received::Close(Some((1008, reason)))));
}

/// A client is not closed because the server did not read it for a while.
#[test]
fn input_that_waited_for_the_application_is_no_burst() {
    let mut harness = open(Config::default().max_messages_per_second(2).excess(Excess::Close));
    harness.send(&texts(&["1", "pause"]));
    harness.advance(5 * SECOND);
    harness.resource.client().resume();
    // Two per second for five seconds, and the two of the burst are spent.
    harness.send(&texts(&["3"; 10]));
    assert_eq!(harness.resource.take().len(), 12);
    harness.send(&texts(&["4"]));
    harness.expect_calls(&["disconnected 1006 \"\": sent too fast, 1 undelivered"]);

    // A pause that begins while no input is there counts too, but not forever.
    let mut harness = open(Config::default().max_messages_per_second(2).excess(Excess::Close));
    harness.resource.client().pause();
    harness.advance(5 * SECOND);
    harness.resource.client().resume();
    harness.send(&texts(&["1"]));
    harness.advance(2 * SECOND);
    harness.send(&texts(&["2", "3", "4"]));
    harness.expect_calls(&[
        "text 1",
        "text 2",
        "text 3",
        "disconnected 1006 \"\": sent too fast, 1 undelivered",
    ]);
}

/// Only input that may have piled up in a pause counts for its time.
#[test]
fn a_pause_long_ago_permits_no_burst() {
    let mut harness = open(Config::default().max_messages_per_second(2).excess(Excess::Close));
    harness.resource.client().pause();
    harness.advance(SECOND);
    harness.resource.client().resume();
    harness.drive();
    harness.advance(100 * SECOND);
    harness.send(&texts(&["1", "2", "3"]));
    harness.expect_calls(&["text 1", "text 2", "disconnected 1006 \"\": sent too fast, 1 undelivered"]);

    // A second pause does not make the first one longer.
    let mut harness = open(Config::default().max_messages_per_second(2).excess(Excess::Close));
    for wait in [100, 1] {
        harness.resource.client().pause();
        harness.resource.client().resume();
        harness.drive();
        harness.advance(wait * SECOND);
    }
    harness.send(&texts(&["1"; 10]));
    assert!(harness.resource.take().len() < 6);
}

#[test]
fn a_close_frame_does_not_wait_and_a_stop_delivers() {
    let mut harness = open(Config::default().max_messages_per_second(1));
    harness.send(&[texts(&["1"]), close(CloseCode::NORMAL, "bye")].concat());
    harness.expect_calls(&["text 1", "disconnected 1000 \"bye\": closed"]);

    let mut harness = open(Config::default().max_messages_per_second(1));
    harness.send(&texts(&["1", "2", "3"]));
    harness.expect_calls(&["text 1"]);
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    harness.expect_calls(&["text 2", "text 3"]);
    assert!(harness.connection.wants_input());
}

/// A client that is throttled and does not read has two deadlines.
#[test]
fn waits_for_a_limit_and_for_the_client_to_read() {
    let config = Config::default().max_messages_per_second(1).write_timeout(5 * SECOND / 2);
    let mut harness = open(config);
    harness.space = 0;
    harness.send(&texts(&["1", "2", "3", "4"]));
    for message in ["text 1", "text 2"] {
        harness.expect_calls(&[message]);
        harness.advance(SECOND / 2);
        harness.expect_calls(&[]);
        harness.advance(SECOND / 2);
    }
    harness.expect_calls(&["text 3"]);
    harness.advance(SECOND / 2);
    harness.expect_calls(&["disconnected 1006 \"\": did not read what was sent, 1 undelivered"]);
    assert!(harness.dropped);
}

#[test]
fn a_broken_connection_delivers_at_once() {
    let mut harness = open(Config::default().max_messages_per_second(1));
    harness.send(&texts(&["1", "2", "3"]));
    harness.expect_calls(&["text 1"]);
    harness.is_reset = true;
    let _ = harness.resource.client().send_text("x");
    harness.drive();
    harness.expect_calls(&["text 2", "text 3"]);
    harness.end_of_input();
    assert!(harness.dropped);
}

/// The server does not read from a client that waits for a limit, so it cannot hear it either.
#[test]
fn no_deadline_for_input_runs_while_a_client_waits_for_a_limit() {
    let big = frames(Version::Rfc6455, |sender| sender.binary(&[7; 200_000], None).unwrap());
    let config = Config::default().max_bytes_per_second(1000).message_timeout(10 * SECOND);
    for config in [config.clone(), config.min_rate(0).idle_timeout(Some(30 * SECOND))] {
        // A whole message, and a message in progress.
        for length in [big.len(), 100_000] {
            let mut harness = open(config.clone());
            harness.send(&big[..length]);
            harness.resource.take();
            let debt = u32::try_from(length / 1000 - 1).unwrap();
            harness.wait((debt - 1) * SECOND);
            harness.expect_calls(&[]);
            assert!(!harness.connection.wants_input());
            assert_eq!(harness.received(), [], "a ping that the client cannot answer");
            // The deadlines begin when the client is read from.
            harness.wait(2 * SECOND);
            assert!(harness.connection.wants_input());
            harness.wait(8 * SECOND);
            harness.expect_calls(&[]);
            harness.wait(60 * SECOND);
            assert_eq!(harness.resource.take().len(), 1, "disconnected");
        }
    }
}

/// The other versions have the same limits, but no control frames.
#[test]
fn hixie_clients_wait_too() {
    for version in [Version::Hixie75, Version::Hybi00] {
        let mut harness = Harness::with(Config::default().max_messages_per_second(1), version, "/");
        let messages = frames(version, |sender| {
            sender.text("1", None).unwrap();
            sender.text("2", None).unwrap();
        });
        harness.send(&messages);
        harness.expect_calls(&["connected", "text 1"]);
        harness.advance(SECOND);
        harness.expect_calls(&["text 2"]);
    }
}

/// A client that is not read from cannot show that it is alive, or advance its message.
#[test]
fn silence_does_not_count_while_the_client_waits() {
    let config = Config::default()
        .max_bytes_per_second(1000)
        .ping_interval(Some(SECOND))
        .ping_timeout(SECOND)
        .message_timeout(SECOND)
        .idle_timeout(Some(3 * SECOND));
    let message = frames(Version::Rfc6455, |sender| sender.binary(&[7; 60_000], None).unwrap());
    let mut harness = open(config);
    // The rest of the message waits in the socket for a minute.
    harness.send(&message[..59_000]);
    assert!(!harness.connection.wants_input());
    harness.wait(57 * SECOND);
    assert!(!harness.connection.wants_input());
    harness.expect_calls(&[]);
    harness.wait(2 * SECOND);
    assert!(harness.connection.wants_input());
    harness.send(&message[59_000..]);
    harness.expect_calls(&["binary 60000"]);
    // The clock restarts with reading.
    harness.wait(10 * SECOND);
    harness.expect_calls(&["disconnected 1006 \"\": did not answer a ping"]);
}
