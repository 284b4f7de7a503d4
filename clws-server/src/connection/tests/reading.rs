use super::*;

/// A client for which more is queued than its socket takes.
fn who_does_not_read() -> Harness {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.room = 10;
    harness.resource.client().send_text(&"x".repeat(1000)).unwrap();
    harness.drive();
    harness.recorder(&["connected"]);
    harness
}

#[test]
fn nothing_in_time_ends_the_connection() {
    let mut harness = who_does_not_read();
    harness.pass(59 * SECOND);
    assert!(!harness.dropped);
    harness.pass(SECOND);
    assert!(harness.dropped);
    harness.recorder(&["disconnected 1006 \"\": did not read what was sent"]);
}

#[test]
fn a_little_now_and_then_is_enough() {
    let mut harness = who_does_not_read();
    for _ in 0..50 {
        harness.pass(40 * SECOND);
        harness.room = 1;
        harness.drive();
    }
    assert!(!harness.dropped);
    harness.pass(60 * SECOND);
    assert!(harness.dropped);
}

#[test]
fn all_of_it_has_no_deadline_any_more() {
    let mut harness = who_does_not_read();
    harness.room = usize::MAX;
    harness.drive();
    harness.pass(1000 * SECOND);
    assert!(!harness.dropped);
    assert_eq!(harness.got(), [Got::Text("x".repeat(1000))]);
    assert!(harness.deadline.is_none());
}

#[test]
fn nothing_while_it_is_closed_is_a_matter_of_the_close_time_out() {
    let mut harness = who_does_not_read();
    harness.pass(10 * SECOND);
    harness.resource.client().close(CloseCode::NORMAL);
    harness.drive();
    harness.pass(5 * SECOND);
    assert!(harness.dropped);
    harness.recorder(&["disconnected 1006 \"\": did not answer a close frame"]);
}
