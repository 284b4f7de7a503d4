//! The end of input.

use super::*;

#[test]
fn ends_without_an_event_before_the_request_is_complete() {
    for sent in [0, 1, 40] {
        let mut harness = Harness::new(Config::default());
        harness.send(&request(Version::Rfc6455, "/")[..sent]);
        harness.end_of_input();
        assert!(harness.dropped && harness.out.is_empty());
        harness.expect_calls(&[]);
    }
}

#[test]
fn an_open_connection_ends_with_1006_after_its_backlog_is_written() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.space = 0;
    harness.send(&text("echo me"));
    harness.end_of_input();
    harness.expect_calls(&["connected", "text echo me", "disconnected 1006 \"\": vanished"]);
    assert!(!harness.dropped);
    harness.space = usize::MAX;
    harness.drive();
    assert_eq!(harness.received(), [Received::Text("echo me".into())]);
    assert!(harness.dropped);
}

#[test]
fn ends_with_1006_without_a_close_frame() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("close"));
    harness.end_of_input();
    assert!(harness.dropped);
    harness.expect_calls(&["connected", "text close", "disconnected 1006 \"\": vanished"]);
}

#[test]
fn waits_until_the_last_bytes_are_written() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.space = 0;
    harness.send(&[0xFF; 9]);
    harness.end_of_input();
    assert!(!harness.dropped);
    harness.space = usize::MAX;
    harness.drive();
    assert!(harness.dropped);
    assert_eq!(harness.received().len(), 1);
}

/// A slow client: each read restarts the write deadline.
#[test]
fn waits_until_a_long_answer_is_read() {
    let mut harness = Harness::new(Config::default().write_timeout(2 * SECOND).min_rate(0));
    harness.shared.resources.http(|_| clws_handshake::HttpResponse::text(200, "x".repeat(1000)));
    harness.space = 0;
    harness.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..20 {
        harness.advance(SECOND);
        harness.space = 40;
        harness.drive();
    }
    assert!(!harness.dropped && !harness.shut);
    harness.advance(SECOND * 2);
    assert!(harness.dropped, "the client stopped reading");

    // The same for data queued before a close.
    let mut harness =
        Harness::with(Config::default().write_timeout(2 * SECOND).min_rate(0), Version::Rfc6455, "/");
    harness.space = 0;
    harness.resource.client().send_text(&"x".repeat(500)).unwrap();
    harness.drive();
    harness.send(&close(CloseCode::NORMAL, ""));
    for _ in 0..20 {
        harness.advance(SECOND);
        harness.space = 40;
        harness.drive();
    }
    assert!(harness.dropped);
    assert!(matches!(harness.received()[..], [Received::Text(_), Received::Close(_)]));
}

#[test]
fn a_broken_socket_leaves_the_application_close_timeout() {
    let mut harness = Harness::with(Config::default().close_timeout(2 * SECOND), Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("before")].concat());
    harness.expect_calls(&["connected", "text pause"]);
    let context = context(&harness.shared);
    harness.connection.broken(&context);
    harness.drive();
    harness.advance(SECOND);
    assert!(!harness.dropped);
    harness.advance(SECOND);
    assert!(harness.dropped);
    harness.expect_calls(&["disconnected 1006 \"\": vanished, 1 undelivered"]);
}
