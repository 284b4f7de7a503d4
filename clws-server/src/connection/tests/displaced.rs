//! Connections whose request does not arrive while many others connect.

use super::*;

/// A harness of two connections that have sent nothing: the second has displaced the first.
fn displaced() -> (Harness, Connection) {
    let harness = Harness::new(Config::default().max_handshakes(1));
    let second = Connection::new(Peer::Stream, &context(&harness.shared));
    (harness, second)
}

#[test]
fn the_oldest_connection_gets_503_and_is_dropped_at_once() {
    let (mut harness, second) = displaced();
    harness.drive();
    assert_eq!(harness.deadline, Some(harness.now), "the driver reads once before the end");
    assert!(harness.out.is_empty());
    harness.advance(Duration::ZERO);
    assert_eq!(harness.take_refusal_status(), 503);
    assert!(harness.dropped && !harness.shut);
    assert_eq!(harness.shared.handshakes(), 1);
    drop(second);
    assert_eq!(harness.shared.handshakes(), 0);
}

#[test]
fn a_request_that_has_arrived_counts() {
    let (mut harness, _second) = displaced();
    harness.drive();
    harness.send(&request(Version::Rfc6455, "/"));
    harness.take_101();
    harness.advance(SECOND);
    assert!(!harness.dropped);
    harness.send(&text("hello"));
    harness.expect_calls(&["connected", "text hello"]);
}

/// A connection that sends its request byte by byte does not keep its place.
#[test]
fn a_part_of_a_request_does_not_delay_the_end() {
    let (mut harness, _second) = displaced();
    harness.send(b"GET / HTTP/1.1\r\n");
    let context = context(&harness.shared);
    assert!(!harness.connection.has_grace(&context));
    harness.advance(Duration::ZERO);
    assert_eq!(harness.take_refusal_status(), 503);
    assert!(harness.dropped);
}

/// A complete request gives up the place, whether the application has decided on it or not.
#[test]
fn a_complete_request_is_never_displaced() {
    let mut harness = Harness::new(Config::default().max_handshakes(1));
    harness.send(&request(Version::Rfc6455, "/?later"));
    assert_eq!(harness.shared.handshakes(), 0);
    let others: Vec<_> = (0..3).map(|_| Connection::new(Peer::Stream, &context(&harness.shared))).collect();
    harness.advance(SECOND);
    assert!(!harness.dropped && harness.out.is_empty());
    let decision = harness.resource.decision.lock().unwrap().take().unwrap();
    drop(others);
    decision.accept(Accept::new());
    harness.drive();
    harness.take_101();
}

#[test]
fn every_end_gives_up_the_place() {
    for end in 0..5 {
        let mut harness = Harness::new(Config::default().max_handshakes(1));
        assert_eq!(harness.shared.handshakes(), 1);
        match end {
            0 => harness.send(b"nonsense\n\n"),
            1 => harness.end_of_input(),
            2 => harness.advance(60 * SECOND),
            3 => harness.connection.stop(&context(&harness.shared)),
            _ => harness.send(&request(Version::Rfc6455, "/?panic-accept")),
        }
        assert_eq!(harness.shared.handshakes(), 0, "{end}");
    }
}
