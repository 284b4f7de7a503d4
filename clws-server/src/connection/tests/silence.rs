//! Clients that send no message, and messages that do not advance.

use super::*;

/// Without keepalive, which would find most of these clients earlier.
fn config() -> Config {
    Config::default().ping_interval(None)
}

fn open(config: Config, version: Version) -> Harness {
    let harness = Harness::with(config, version, "/");
    harness.expect_calls(&["connected"]);
    harness
}

/// A message of `len` bytes.
fn message(version: Version, len: usize) -> Vec<u8> {
    frames(version, |sender| sender.text(&"x".repeat(len), None).unwrap())
}

#[test]
fn a_client_without_messages_is_closed() {
    for version in Version::ALL {
        let mut harness = open(config().idle_timeout(Some(30 * SECOND)), version);
        harness.wait(29 * SECOND);
        harness.send(&message(version, 3));
        harness.expect_calls(&["text xxx"]);
        harness.out.clear();
        harness.wait(29 * SECOND);
        harness.expect_calls(&[]);
        if version.has_control_frames() {
            // A ping is no message.
            harness.send(&frames(version, |sender| sender.ping(b"?").unwrap()));
            harness.out.clear();
        }
        harness.wait(SECOND);
        harness.expect_calls(&["disconnected 1006 \"\": sent no message"]);
        if version == Version::Rfc6455 {
            assert_eq!(harness.received(), [Received::Close(Some((1001, "no message".to_owned())))]);
        }
        assert!(harness.shut || harness.dropped, "{version}");
    }
}

#[test]
fn a_long_message_is_not_idle() {
    let big = message(Version::Rfc6455, 300_000);
    let mut harness = open(config().idle_timeout(Some(30 * SECOND)), Version::Rfc6455);
    for piece in big.chunks(30_000) {
        harness.send(piece);
        harness.wait(20 * SECOND);
    }
    assert_eq!(harness.resource.take().len(), 1);
    assert!(harness.resource.client().is_open());
}

#[test]
fn a_paused_client_is_not_idle() {
    let mut harness = open(config().idle_timeout(Some(30 * SECOND)), Version::Rfc6455);
    harness.resource.client().pause();
    harness.drive();
    harness.wait(1000 * SECOND);
    harness.resource.client().resume();
    harness.drive();
    harness.wait(29 * SECOND);
    harness.expect_calls(&[]);
    harness.wait(SECOND);
    harness.expect_calls(&["disconnected 1006 \"\": sent no message"]);
}

#[test]
fn a_message_that_stops_is_ended() {
    for version in Version::ALL {
        for sent in [1, 10, 5000] {
            let mut harness = open(config().min_rate(0), version);
            harness.send(&message(version, 10_000)[..sent]);
            harness.wait(59 * SECOND);
            harness.expect_calls(&[]);
            harness.wait(10 * SECOND);
            harness.expect_calls(&["disconnected 1006 \"\": did not complete a message"]);
            if version == Version::Rfc6455 {
                let reason = "the message is too slow".to_owned();
                assert_eq!(harness.received(), [Received::Close(Some((1008, reason)))]);
            }
        }
    }
}

#[test]
fn one_byte_a_minute_is_too_slow() {
    let mut harness = open(config(), Version::Rfc6455);
    let big = message(Version::Rfc6455, 10_000);
    let mut sent = 0;
    while harness.resource.client().is_open() && sent < 10 {
        harness.send(&big[sent..=sent]);
        sent += 1;
        harness.wait(55 * SECOND);
    }
    assert!(sent < 5, "{sent}");
    harness.expect_calls(&["disconnected 1006 \"\": did not complete a message"]);
    // Without a least speed, only silence ends a message.
    let mut harness = open(config().min_rate(0), Version::Rfc6455);
    for byte in &big[..100] {
        harness.send(&[*byte]);
        harness.wait(55 * SECOND);
    }
    assert!(harness.resource.client().is_open());
}

/// Control frames are life, but they do not complete a message.
#[test]
fn pings_do_not_advance_a_message() {
    for (rate, payload) in [(0, ""), (1024, ""), (1024, "x".repeat(125).as_str())] {
        let mut harness = open(config().min_rate(rate), Version::Rfc6455);
        let pings = frames(Version::Rfc6455, |sender| {
            (0..100).for_each(|_| sender.ping(payload.as_bytes()).unwrap());
        });
        harness.send(&[0x01, 0x80 | 3, 0, 0, 0, 0, b'x', b'x', b'x']);
        for _ in 0..9 {
            harness.send(&pings);
            harness.out.clear();
            harness.wait(9 * SECOND);
        }
        harness.expect_calls(&["disconnected 1006 \"\": did not complete a message"]);
    }
}

/// The message has advanced since the last check, although its end is far.
#[test]
fn fragments_between_pings_advance_a_message() {
    let mut harness = open(config().min_rate(0), Version::Rfc6455);
    harness.send(&[0x01, 0x80, 0, 0, 0, 0]);
    for _ in 0..20 {
        harness.send(&frames(Version::Rfc6455, |sender| sender.ping(b"?").unwrap()));
        harness.wait(25 * SECOND);
        harness.send(&[0x00, 0x80 | 1, 0, 0, 0, 0, b'x']);
        harness.wait(25 * SECOND);
    }
    assert!(harness.resource.client().is_open());
    harness.send(&[0x80, 0x80, 0, 0, 0, 0]);
    harness.expect_calls(&[&format!("text {}", "x".repeat(20))]);
}

#[test]
fn a_slow_but_steady_upload_is_not_ended() {
    for version in [Version::Rfc6455, Version::Hybi00] {
        let mut harness = open(config(), version);
        for piece in message(version, 2_000_000).chunks(6000) {
            harness.send(piece);
            harness.wait(5 * SECOND);
        }
        assert!(harness.resource.take().iter().any(|call| call.starts_with("text x")), "{version}");
    }
}

/// Fragments of one message, with pings between them, are one message.
#[test]
fn pings_between_fragments_do_not_help() {
    let mut harness = open(config(), Version::Rfc6455);
    let ping = frames(Version::Rfc6455, |sender| sender.ping(b"?").unwrap());
    harness.send(&[0x01, 0x81, 0, 0, 0, 0, b'x']); // the first fragment
    for _ in 0..20 {
        harness.send(&ping);
        harness.wait(10 * SECOND);
    }
    harness.expect_calls(&["disconnected 1006 \"\": did not complete a message"]);
}

#[test]
fn time_without_reading_does_not_count() {
    let big = message(Version::Rfc6455, 300_000);
    let mut harness = open(config(), Version::Rfc6455);
    let client = harness.resource.client();
    for piece in big.chunks(70_000) {
        harness.send(piece);
        harness.wait(30 * SECOND);
        client.pause();
        harness.drive();
        harness.wait(500 * SECOND);
        client.resume();
        harness.drive();
        harness.wait(20 * SECOND);
    }
    assert_eq!(harness.resource.take().len(), 1);
    // The same for silence.
    let mut harness = open(config().min_rate(0), Version::Rfc6455);
    let client = harness.resource.client();
    harness.send(&big[..100]);
    harness.wait(40 * SECOND);
    client.pause();
    harness.drive();
    harness.wait(500 * SECOND);
    client.resume();
    harness.drive();
    harness.wait(40 * SECOND);
    assert!(client.is_open());
}

#[test]
fn bytes_that_arrived_in_time_count() {
    let big = message(Version::Rfc6455, 300_000);
    let mut harness = open(config().min_rate(0), Version::Rfc6455);
    harness.send(&big[..100]);
    // The driver is held up for longer than the deadline, and then reads first.
    harness.now += 200 * SECOND;
    virtual_clock::set(Some(harness.now));
    let shared = Arc::clone(&harness.shared);
    harness.connection.check(&context(&shared));
    harness.send(&big[100..200]);
    harness.advance(Duration::ZERO);
    assert!(harness.resource.client().is_open());
}

/// The message has stood still over the end of a window. The next window has just begun, so its
/// speed says nothing yet.
#[test]
fn a_late_byte_does_not_make_a_message_slow() {
    let big = message(Version::Rfc6455, 300_000);
    let mut harness = open(config(), Version::Rfc6455);
    let shared = Arc::clone(&harness.shared);
    let start = harness.now;
    let check_at = |harness: &mut Harness, seconds: u32| {
        harness.now = start + seconds * SECOND;
        virtual_clock::set(Some(harness.now));
        harness.connection.check(&context(&shared));
    };
    harness.send(&big[..10]);
    check_at(&mut harness, 7);
    harness.send(&big[10..70_000]);
    for seconds in [15, 67, 77] {
        check_at(&mut harness, seconds);
    }
    harness.send(&big[70_000..=70_000]); // the driver reads before the deadline takes effect
    harness.advance(Duration::ZERO);
    assert!(harness.resource.client().is_open());
}

#[test]
fn many_messages_are_many_messages() {
    let mut harness = open(config(), Version::Rfc6455);
    let two = [text("a"), text("b")].concat();
    harness.send(&two[..3]);
    for _ in 0..50 {
        // Each read completes a message and begins the next one.
        harness.wait(50 * SECOND);
        harness.send(&[&two[3..], &two[..3]].concat());
    }
    assert!(harness.resource.client().is_open());
}
