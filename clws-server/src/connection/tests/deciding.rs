//! Handshakes that the application decides on later.

use super::*;
use crate::resource::decision::Decision;

/// A connection whose request is complete, and the decision on it.
fn asked(config: Config, octets: &[u8]) -> (Harness, Decision) {
    let mut harness = Harness::new(config);
    harness.send(octets);
    assert!(harness.out.is_empty() && !harness.connection.wants_input());
    let decision = harness.resource.decision.lock().unwrap().take().unwrap();
    (harness, decision)
}

fn deadline_after(version: Version) -> Vec<u8> {
    request(version, "/?later")
}

#[test]
fn are_answered_when_it_has() {
    for version in Version::ALL {
        let (mut harness, decision) = asked(Config::default(), &deadline_after(version));
        harness.pass(SECOND);
        decision.accept(Accept::new().header("X-Decided", "yes").data(7u32));
        harness.drive();
        assert!(String::from_utf8_lossy(&harness.out).contains("\r\nX-Decided: yes\r\n"));
        harness.expect_101();
        assert!(harness.connection.wants_input());
        harness.recorder(&["connected"]);
        assert_eq!(harness.resource.client().data::<u32>(), Some(&7));
        harness.pass(SECOND * 1000);
        assert!(!harness.dropped && !harness.shut);
    }
}

#[test]
fn may_be_refused() {
    let (mut harness, decision) = asked(Config::default(), &deadline_after(Version::Rfc6455));
    decision.reject(Reject::custom(401, "who are you?"));
    harness.drive();
    assert_eq!(harness.refusal(), 401);
    harness.recorder(&[]);
}

#[test]
fn that_nobody_answers_get_500() {
    let (mut harness, decision) = asked(Config::default(), &deadline_after(Version::Rfc6455));
    drop(decision);
    harness.drive();
    assert_eq!(harness.refusal(), 500);
}

#[test]
fn that_take_too_long_get_503() {
    let config = Config::default().handshake_timeout(3 * SECOND);
    let (mut harness, decision) = asked(config, &deadline_after(Version::Rfc6455));
    harness.pass(SECOND * 2);
    assert!(harness.out.is_empty());
    harness.pass(SECOND);
    assert_eq!(harness.refusal(), 503);
    decision.accept(Accept::new());
    harness.drive();
    assert!(harness.out.is_empty(), "too late");
    harness.recorder(&[]);
}

#[test]
fn keep_what_came_behind_the_request() {
    let octets = [deadline_after(Version::Rfc6455), text("one"), text("two")].concat();
    for cut in [0, 50, octets.len() - 12] {
        let mut harness = Harness::new(Config::default());
        harness.send(&octets[..cut]);
        harness.send(&octets[cut..]);
        let decision = harness.resource.decision.lock().unwrap().take().unwrap();
        harness.recorder(&[]);
        decision.accept(Accept::new());
        harness.drive();
        harness.expect_101();
        harness.recorder(&["connected", "text one", "text two"]);
        assert_eq!(harness.got(), [Got::Text("one".into()), Got::Text("two".into())]);
    }
}

#[test]
fn may_be_decided_before_anybody_waits_or_put_off_again() {
    let (mut harness, decision) = asked(Config::default(), &request(Version::Rfc6455, "/?later"));
    let (again, second) = Accept::later();
    second.accept(Accept::new());
    decision.accept(again);
    harness.drive();
    harness.drive(); // the second was there already, and has touched the connection's home
    harness.expect_101();
    harness.recorder(&["connected"]);
}

#[test]
fn are_dropped_when_the_peer_ends_or_the_server_stops() {
    for stop in [false, true] {
        let (mut harness, decision) = asked(Config::default(), &deadline_after(Version::Rfc6455));
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
        harness.recorder(&[]);
    }
}
