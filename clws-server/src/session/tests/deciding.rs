//! Handshakes that the application decides on later.

use super::*;
use crate::Decision;

/// A session whose request is complete, and the decision on it.
fn asked(config: Config, octets: &[u8]) -> (World, Decision) {
    let mut world = World::new(config);
    world.send(octets);
    assert!(world.out.is_empty() && !world.session.wants_input());
    let decision = world.resource.decision.lock().unwrap().take().unwrap();
    (world, decision)
}

fn later(version: Version) -> Vec<u8> {
    request(version, "/?later")
}

#[test]
fn are_answered_when_it_has() {
    for version in Version::ALL {
        let (mut world, decision) = asked(Config::default(), &later(version));
        world.pass(SECOND);
        decision.accept(Accept::new().header("X-Decided", "yes").data(7u32));
        world.settle();
        assert!(String::from_utf8_lossy(&world.out).contains("\r\nX-Decided: yes\r\n"));
        world.expect_101();
        assert!(world.session.wants_input());
        world.diary(&["connected"]);
        assert_eq!(world.resource.client().data::<u32>(), Some(&7));
        world.pass(SECOND * 1000);
        assert!(!world.dropped && !world.shut);
    }
}

#[test]
fn may_be_refused() {
    let (mut world, decision) = asked(Config::default(), &later(Version::Rfc6455));
    decision.reject(Reject::custom(401, "who are you?"));
    world.settle();
    assert_eq!(world.refusal(), 401);
    world.diary(&[]);
}

#[test]
fn that_nobody_answers_get_500() {
    let (mut world, decision) = asked(Config::default(), &later(Version::Rfc6455));
    drop(decision);
    world.settle();
    assert_eq!(world.refusal(), 500);
}

#[test]
fn that_take_too_long_get_503() {
    let config = Config::default().handshake_timeout(3 * SECOND);
    let (mut world, decision) = asked(config, &later(Version::Rfc6455));
    world.pass(SECOND * 2);
    assert!(world.out.is_empty());
    world.pass(SECOND);
    assert_eq!(world.refusal(), 503);
    decision.accept(Accept::new());
    world.settle();
    assert!(world.out.is_empty(), "too late");
    world.diary(&[]);
}

#[test]
fn keep_what_came_behind_the_request() {
    let octets = [later(Version::Rfc6455), text("one"), text("two")].concat();
    for cut in [0, 50, octets.len() - 12] {
        let mut world = World::new(Config::default());
        world.send(&octets[..cut]);
        world.send(&octets[cut..]);
        let decision = world.resource.decision.lock().unwrap().take().unwrap();
        world.diary(&[]);
        decision.accept(Accept::new());
        world.settle();
        world.expect_101();
        world.diary(&["connected", "text one", "text two"]);
        assert_eq!(world.got(), [Got::Text("one".into()), Got::Text("two".into())]);
    }
}

#[test]
fn may_be_decided_before_anybody_waits_or_put_off_again() {
    let (mut world, decision) = asked(Config::default(), &request(Version::Rfc6455, "/?later"));
    let (again, second) = Accept::later();
    second.accept(Accept::new());
    decision.accept(again);
    world.settle();
    world.settle(); // the second was there already, and has touched the session's home
    world.expect_101();
    world.diary(&["connected"]);
}

#[test]
fn are_dropped_when_the_peer_ends_or_the_server_stops() {
    for stop in [false, true] {
        let (mut world, decision) = asked(Config::default(), &later(Version::Rfc6455));
        if stop {
            world.session.stop(&context(&world.shared));
            world.settle();
        } else {
            world.end_of_input();
        }
        assert!(world.dropped || (stop && world.shut));
        assert!(!decision.is_waiting());
        decision.accept(Accept::new());
        world.settle();
        world.diary(&[]);
    }
}
