//! A drain of the server.

use super::*;
use crate::connection::draining::DrainStep;
use crate::drain::options::Drain;

impl Harness {
    fn drain(&mut self, step: DrainStep) -> bool {
        let drain = Drain::new().code(CloseCode::SERVICE_RESTART).reason("again");
        self.shared.begin_drain(drain);
        let is_done = self.connection.drain(step, &context(&self.shared));
        self.drive();
        is_done
    }

    fn take_answer(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }
}

fn restart() -> Received {
    Received::Close(Some((1012, "again".into())))
}

#[test]
fn closes_in_its_turn_with_the_code_of_the_drain() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    assert!(harness.drain(DrainStep::Begin));
    harness.send(&text("still served"));
    assert_eq!(harness.received(), [Received::Text("still served".into())]);
    assert!(harness.drain(DrainStep::Turn));
    assert_eq!(harness.received(), [Received::Text("last words".into()), restart()]);
    harness.send(&[text("in flight"), close(CloseCode::SERVICE_RESTART, "")].concat());
    assert!(harness.dropped);
    harness.expect_calls(&[
        "connected",
        "text still served",
        "draining",
        "text in flight",
        "disconnected 1012 \"\": closed",
    ]);
    let report = harness.shared.drain().counts.report();
    assert_eq!((report.closed, report.cut, report.lost, report.undelivered), (1, 0, 0, 0));
    assert_eq!(harness.shared.drain().open(), 0);
}

#[test]
fn waits_for_unread_messages_unless_it_is_forced() {
    let mut harness = Harness::open(Version::Rfc6455, "/?pause");
    harness.send(&[text("one"), text("two")].concat());
    assert!(!harness.drain(DrainStep::Turn));
    assert_eq!(harness.received(), []);
    harness.resource.client().resume();
    harness.drive();
    assert!(harness.drain(DrainStep::Turn));
    let echo = |text: &str| Received::Text(text.into());
    assert_eq!(harness.received(), [echo("one"), echo("two"), echo("last words"), restart()]);

    let mut harness = Harness::open(Version::Rfc6455, "/?pause");
    harness.send(&text("one"));
    assert!(harness.drain(DrainStep::Force));
    assert_eq!(harness.received(), [restart()]);
    harness.connection.kill();
    harness.expect_calls(&["connected", "disconnected 1006 \"\": the server stopped, 1 undelivered"]);
    let report = harness.shared.drain().counts.report();
    assert_eq!((report.closed, report.cut, report.undelivered), (0, 1, 1));
}

#[test]
fn refuses_handshakes_of_every_kind_with_503() {
    for (target, length) in [("/?later", usize::MAX), ("/", 20), ("/", 0)] {
        let mut harness = Harness::new(Config::default());
        let mut request = request(Version::Rfc6455, target);
        request.truncate(length);
        harness.send(&request);
        assert!(harness.drain(DrainStep::Begin));
        let answer = harness.take_answer();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 5\r\n"), "{answer}");
        if let Some(decision) = harness.resource.decision.lock().unwrap().take() {
            assert!(!decision.is_waiting());
            decision.accept(Accept::new());
        }
        harness.drive();
        assert!(harness.shut && !harness.dropped && harness.out.is_empty());
        harness.end_of_input();
        assert!(harness.dropped);
        harness.expect_calls(&[]);
    }
}

#[test]
fn later_handshakes_get_503_and_other_requests_the_hook() {
    for (bytes, expected) in [
        (request(Version::Rfc6455, "/"), "HTTP/1.1 503 "),
        (request(Version::Hybi00, "/"), "HTTP/1.1 503 "),
        (b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(), "HTTP/1.1 418 "),
    ] {
        let mut harness = Harness::new(Config::default());
        harness.shared.resources.http(|_| Reject::custom(418, "").into());
        harness.shared.begin_drain(Drain::new());
        harness.send(&bytes);
        let answer = harness.take_answer();
        assert!(answer.starts_with(expected), "{answer}");
        assert_eq!(answer.contains("Retry-After"), expected.contains("503"));
        harness.expect_calls(&[]);
    }
}

#[test]
fn old_versions_end_cleanly() {
    let mut harness = Harness::open(Version::Hixie75, "/");
    assert!(harness.drain(DrainStep::Turn));
    assert_eq!(harness.received(), [Received::Text("last words".into())]);
    assert!(harness.shut && !harness.dropped);
    harness.end_of_input();
    assert!(harness.dropped);
    harness.expect_calls(&["connected", "draining", "disconnected 1005 \"\": closed"]);

    let mut harness = Harness::open(Version::Hybi00, "/");
    assert!(harness.drain(DrainStep::Turn));
    assert_eq!(harness.received(), [Received::Text("last words".into()), Received::Close(None)]);
    harness.send(&frames(Version::Hybi00, |sender| sender.close(CloseCode::NORMAL, "").unwrap()));
    assert!(harness.dropped);
    assert_eq!(harness.shared.drain().counts.report().closed, 1);

    let mut harness = Harness::open(Version::Hybi07, "/");
    assert!(harness.drain(DrainStep::Turn));
    let close = Received::Close(Some((1001, "again".into())));
    assert_eq!(harness.received(), [Received::Text("last words".into()), close]);
}

#[test]
fn a_client_that_is_closing_has_no_turn() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("close"));
    assert!(harness.drain(DrainStep::Turn) && harness.drain(DrainStep::Force));
    assert_eq!(harness.received(), [Received::Close(Some((1000, "enough".into())))]);
    harness.expect_calls(&["connected", "text close"]);
}

#[test]
fn a_panic_in_draining_closes_with_1011() {
    let mut harness = Harness::open(Version::Rfc6455, "/?panic-draining");
    assert!(harness.drain(DrainStep::Turn));
    assert_eq!(harness.received(), [Received::Close(Some((1011, String::new())))]);
    harness.expect_calls(&["connected", "draining", "disconnected 1006 \"\": a handler panicked"]);
}

/// A throttled client is no client that reads no answers.
#[test]
fn waits_for_messages_that_a_limit_delays() {
    let config = Config::default().max_messages_per_second(1);
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.send(&[text("one"), text("two")].concat());
    assert!(!harness.drain(DrainStep::Turn) && !harness.drain(DrainStep::LateTurn));
    harness.advance(SECOND);
    assert!(harness.drain(DrainStep::LateTurn));
    let echo = |text: &str| Received::Text(text.into());
    assert_eq!(harness.received(), [echo("one"), echo("two"), echo("last words"), restart()]);
}
