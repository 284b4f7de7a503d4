//! Clients that do not read sent data.

use super::*;

/// A client with more queued data than its socket takes.
fn stalled() -> Harness {
    stalled_with(Config::default(), 1000)
}

fn stalled_with(config: Config, len: usize) -> Harness {
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.space = 10;
    harness.resource.client().send_text(&"x".repeat(len)).unwrap();
    harness.drive();
    harness.expect_calls(&["connected"]);
    harness
}

#[test]
fn drops_a_client_that_does_not_read() {
    let mut harness = stalled();
    harness.advance(59 * SECOND);
    assert!(!harness.dropped);
    harness.advance(SECOND);
    assert!(harness.dropped);
    harness.expect_calls(&["disconnected 1006 \"\": did not read what was sent"]);
}

/// Without a least speed.
#[test]
fn keeps_a_client_that_reads_slowly() {
    let mut harness = stalled_with(Config::default().min_rate(0), 1000);
    for _ in 0..50 {
        harness.advance(40 * SECOND);
        harness.space = 1;
        harness.drive();
    }
    assert!(!harness.dropped);
    harness.advance(60 * SECOND);
    assert!(harness.dropped);
}

#[test]
fn drops_a_client_that_reads_too_slowly() {
    let mut harness = stalled();
    for _ in 0..3 {
        harness.advance(15 * SECOND);
        harness.space = 1;
        harness.drive();
    }
    assert!(!harness.dropped);
    harness.advance(15 * SECOND);
    assert!(harness.dropped);
    harness.expect_calls(&["disconnected 1006 \"\": did not read what was sent"]);
}

#[test]
fn keeps_a_client_that_reads_slowly_but_steadily() {
    let mut harness = stalled_with(Config::default(), 1_000_000);
    for _ in 0..150 {
        harness.advance(5 * SECOND);
        harness.space = 6000;
        harness.drive();
    }
    assert!(!harness.dropped);
}

/// The last data of a closed client, in the open stage and in the closing stage.
#[test]
fn drops_a_closed_client_that_reads_too_slowly() {
    for answers in [false, true] {
        let mut harness = stalled_with(Config::default().min_rate(100), 10_000);
        harness.resource.client().close(CloseCode::NORMAL);
        harness.drive();
        if answers {
            harness.send(&close(CloseCode::NORMAL, ""));
        }
        for _ in 0..20 {
            harness.advance(4 * SECOND);
            harness.space = 1;
            harness.drive();
        }
        assert!(harness.dropped, "{answers}");
    }
}

#[test]
fn has_no_deadline_after_all_data_is_read() {
    let mut harness = stalled();
    harness.space = usize::MAX;
    harness.drive();
    harness.advance(1000 * SECOND);
    assert!(!harness.dropped);
    assert_eq!(harness.received(), [Received::Text("x".repeat(1000))]);
    assert!(harness.deadline.is_none());
}

#[test]
fn close_timeout_bounds_a_closing_client_that_does_not_read() {
    let mut harness = stalled();
    harness.advance(10 * SECOND);
    harness.resource.client().close(CloseCode::NORMAL);
    harness.drive();
    harness.advance(5 * SECOND);
    assert!(harness.dropped);
    harness.expect_calls(&["disconnected 1006 \"\": did not answer a close frame"]);
}
