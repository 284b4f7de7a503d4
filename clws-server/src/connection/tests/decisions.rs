//! Handshakes that the application decides later.

use super::*;
use crate::resource::decision::Decision;

/// A connection whose request is complete, and its pending decision.
fn asked(config: Config, bytes: &[u8]) -> (Harness, Decision) {
    let mut harness = Harness::new(config);
    harness.send(bytes);
    assert!(harness.out.is_empty() && !harness.connection.wants_input());
    let decision = harness.resource.decision.lock().unwrap().take().unwrap();
    (harness, decision)
}

fn later_request(version: Version) -> Vec<u8> {
    request(version, "/?later")
}

#[test]
fn answers_when_the_application_has_decided() {
    for version in Version::ALL {
        let (mut harness, decision) = asked(Config::default(), &later_request(version));
        harness.advance(SECOND);
        decision.accept(Accept::new().header("X-Decided", "yes").data(7u32));
        harness.drive();
        assert!(String::from_utf8_lossy(&harness.out).contains("\r\nX-Decided: yes\r\n"));
        harness.take_101();
        assert!(harness.connection.wants_input());
        harness.expect_calls(&["connected"]);
        assert_eq!(harness.resource.client().data::<u32>(), Some(&7));
        harness.advance(SECOND * 1000);
        assert!(!harness.dropped && !harness.shut);
    }
}

#[test]
fn sends_the_rejection_of_the_application() {
    let (mut harness, decision) = asked(Config::default(), &later_request(Version::Rfc6455));
    decision.reject(Reject::custom(401, "not authorized"));
    harness.drive();
    assert_eq!(harness.take_refusal_status(), 401);
    harness.expect_calls(&[]);
}

#[test]
fn answers_500_when_the_decision_is_dropped() {
    let (mut harness, decision) = asked(Config::default(), &later_request(Version::Rfc6455));
    drop(decision);
    harness.drive();
    assert_eq!(harness.take_refusal_status(), 500);
}

#[test]
fn answers_503_when_the_decision_takes_too_long() {
    let config = Config::default().handshake_timeout(3 * SECOND);
    let (mut harness, decision) = asked(config, &later_request(Version::Rfc6455));
    harness.advance(SECOND * 2);
    assert!(harness.out.is_empty());
    harness.advance(SECOND);
    assert_eq!(harness.take_refusal_status(), 503);
    decision.accept(Accept::new());
    harness.drive();
    assert!(harness.out.is_empty(), "the decision comes too late");
    harness.expect_calls(&[]);
}

#[test]
fn keeps_messages_that_follow_the_request() {
    let bytes = [later_request(Version::Rfc6455), text("one"), text("two")].concat();
    for cut in [0, 50, bytes.len() - 12] {
        let mut harness = Harness::new(Config::default());
        harness.send(&bytes[..cut]);
        harness.send(&bytes[cut..]);
        let decision = harness.resource.decision.lock().unwrap().take().unwrap();
        harness.expect_calls(&[]);
        decision.accept(Accept::new());
        harness.drive();
        harness.take_101();
        harness.expect_calls(&["connected", "text one", "text two"]);
        assert_eq!(harness.received(), [Received::Text("one".into()), Received::Text("two".into())]);
    }
}

#[test]
fn a_decision_may_be_ready_early_or_postponed_again() {
    let (mut harness, decision) = asked(Config::default(), &request(Version::Rfc6455, "/?later"));
    let (again, second) = Accept::later();
    second.accept(Accept::new());
    decision.accept(again);
    harness.drive();
    harness.drive(); // the second decision was ready, and has woken the connection
    harness.take_101();
    harness.expect_calls(&["connected"]);
}

#[test]
fn drops_the_decision_when_the_peer_ends_or_the_server_stops() {
    for stop in [false, true] {
        let (mut harness, decision) = asked(Config::default(), &later_request(Version::Rfc6455));
        if stop {
            harness.connection.stop(&context(&harness.shared));
            harness.drive();
        } else {
            harness.end_of_input();
        }
        assert!(harness.dropped || (stop && harness.shut));
        assert!(!decision.is_waiting());
        decision.accept(Accept::new());
        harness.drive();
        harness.expect_calls(&[]);
    }
}
