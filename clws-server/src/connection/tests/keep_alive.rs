//! HTTP connections that are kept alive for a page, its assets and its WebSocket.

use super::*;
use crate::connection::draining::DrainStep;
use crate::drain::options::Drain;
use clws_handshake::HttpResponse;

const GET: &str = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n";

/// A server whose pages are their paths.
fn harness() -> Harness {
    let harness = Harness::new(Config::default());
    harness.shared.resources.http(|request| HttpResponse::text(200, request.path().to_owned()));
    harness
}

impl Harness {
    fn ask(&mut self, request: &str) -> String {
        self.send(request.as_bytes());
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }

    fn count(&self, outcome: HandshakeOutcome) -> u64 {
        self.shared.stats().handshakes_with(outcome)
    }
}

#[track_caller]
fn assert_kept(harness: &Harness, answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"), "{answer}");
    assert!(!harness.shut && !harness.dropped);
}

#[track_caller]
fn assert_closes(harness: &Harness, answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n"), "{answer}");
    assert!(harness.shut);
}

#[test]
fn a_websocket_follows_the_pages_on_one_connection() {
    let mut harness = harness();
    for _ in 0..2 {
        let answer = harness.ask(GET);
        assert_kept(&harness, &answer);
        assert!(answer.ends_with("\r\n\r\n/page"), "{answer}");
    }
    harness.send(&request(Version::Rfc6455, "/"));
    harness.take_101();
    harness.send(&text("hello"));
    assert_eq!(harness.received(), [Received::Text("hello".into())]);
    harness.expect_calls(&["connected", "text hello"]);
    assert_eq!((harness.count(HandshakeOutcome::Http), harness.count(HandshakeOutcome::Accepted)), (2, 1));
}

#[test]
fn requests_come_in_any_parts() {
    let two = [GET, &GET.replace("/page", "/other")].concat();
    for cut in 1..two.len() {
        let mut harness = harness();
        harness.send(&two.as_bytes()[..cut]);
        let answer = harness.ask(&two[cut..]);
        assert_kept(&harness, &answer);
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{cut}");
        assert!(answer.ends_with("/other"), "{answer}");
    }
}

#[test]
fn nothing_is_read_until_the_answer_is_written() {
    let mut harness = harness();
    harness.space = 10;
    harness.send([GET, GET].concat().as_bytes());
    assert!(!harness.connection.wants_input() && !harness.connection.can_continue());
    assert_eq!(harness.count(HandshakeOutcome::Http), 1, "the second request waits");
    assert!(harness.connection.held_input() >= GET.len());
    harness.space = usize::MAX;
    harness.drive();
    let answer = String::from_utf8(std::mem::take(&mut harness.out)).unwrap();
    assert_eq!(answer.matches("\r\n\r\n/page").count(), 2, "{answer}");
    assert!(harness.connection.wants_input());
}

#[test]
fn other_requests_end_the_connection() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut harness = harness();
        let answer = harness.ask(GET);
        assert_kept(&harness, &answer);
        let answer = harness.ask(&[request, GET].concat());
        assert_closes(&harness, &answer);
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "data after it is no request");
    }
    for request in [
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut harness = harness();
        let answer = harness.ask(request);
        assert_kept(&harness, &answer);
    }
    let mut harness = harness();
    harness.ask(GET);
    harness.send(b"nonsense\r\n\r\n");
    assert_eq!(harness.take_refusal_status(), 400);
    assert!(harness.shut);
}

#[test]
fn a_connection_makes_a_hundred_requests() {
    let mut harness = harness();
    for _ in 1..100 {
        let answer = harness.ask(GET);
        assert_kept(&harness, &answer);
    }
    let answer = harness.ask(GET);
    assert_closes(&harness, &answer);
    assert_eq!(harness.count(HandshakeOutcome::Http), 100);
}

#[test]
fn each_request_has_a_deadline() {
    let timeout = Config::default().handshake_timeout;
    let mut harness = harness();
    harness.advance(timeout / 2);
    harness.ask(GET);
    harness.advance(timeout / 2);
    harness.ask(GET);
    harness.advance(timeout - Duration::from_millis(1));
    assert!(!harness.shut);
    // Without a request, it ends without an answer.
    harness.advance(Duration::from_millis(1));
    assert!(harness.shut && harness.out.is_empty());
    assert_eq!(harness.count(HandshakeOutcome::TimedOut), 0);

    let mut harness = self::harness();
    harness.ask(GET);
    harness.send(b"GET /p");
    harness.advance(timeout);
    assert_eq!(harness.take_refusal_status(), 408);
    assert_eq!(harness.count(HandshakeOutcome::TimedOut), 1);
}

#[test]
fn a_client_that_does_not_read_the_answer_is_dropped() {
    let mut harness = harness();
    harness.space = 10;
    harness.send(GET.as_bytes());
    harness.advance(Config::default().write_timeout);
    assert!(harness.dropped);
}

#[test]
fn a_client_may_end_its_side() {
    let mut harness = harness();
    harness.ask(GET);
    harness.end_of_input();
    assert!(harness.dropped);
    assert_eq!(harness.count(HandshakeOutcome::Abandoned), 0);
    let mut harness = self::harness();
    harness.ask(GET);
    harness.send(b"GET /p");
    harness.end_of_input();
    assert_eq!(harness.count(HandshakeOutcome::Abandoned), 1);
}

#[test]
fn stop_and_drain_end_idle_connections() {
    for (drains, is_writing) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut harness = harness();
        harness.space = if is_writing { 10 } else { usize::MAX };
        harness.send([GET, GET].concat().as_bytes());
        if drains {
            harness.shared.begin_drain(Drain::new());
            harness.connection.drain(DrainStep::Begin, &context(&harness.shared));
        } else {
            harness.connection.stop(&context(&harness.shared));
        }
        harness.space = usize::MAX;
        harness.drive();
        assert!(harness.shut);
        let answer = String::from_utf8(std::mem::take(&mut harness.out)).unwrap();
        let answers = if is_writing { 1 } else { 2 };
        assert_eq!(answer.matches("\r\n\r\n/page").count(), answers, "{answer}");
        assert_eq!(harness.count(HandshakeOutcome::Stopping), 0);
    }
    let mut harness = harness();
    harness.shared.begin_drain(Drain::new());
    let answer = harness.ask(GET);
    assert_closes(&harness, &answer);
}

#[test]
fn too_many_connections_without_a_request_displace_an_idle_one() {
    let mut harness = Harness::new(Config::default().max_handshakes(1));
    harness.shared.resources.http(|_| HttpResponse::new(204));
    harness.ask(GET);
    let shared = Arc::clone(&harness.shared);
    let context = context(&shared);
    let _another = Connection::new(Peer::Stream, &context);
    harness.drive();
    harness.connection.handle_timeout(&context);
    harness.drive();
    assert!(harness.dropped && harness.out.is_empty());
    assert_eq!(harness.count(HandshakeOutcome::HandshakeLimit), 0);
}

#[test]
fn a_client_that_has_the_page_gets_304() {
    let mut harness = Harness::new(Config::default());
    harness.shared.resources.http(|_| HttpResponse::html("page").append_header("ETag", "\"1\"").unwrap());
    for (condition, status, ends) in [("\"0\"", "200 OK", "page"), ("\"1\"", "304 Not Modified", "\r\n\r\n")]
    {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: {condition}\r\n\r\n");
        let answer = harness.ask(&request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\nConnection: keep-alive\r\n")), "{answer}");
        assert!(answer.ends_with(ends) && answer.contains("\r\nETag: \"1\"\r\n"), "{answer}");
    }
}
