//! Requests with `Expect: 100-continue`.

use clws_handshake::CONTINUE;

use super::*;
use clws_handshake::HttpResponse;

/// A request with `Expect: 100-continue`.
fn expecting(version: Version, target: &str) -> Vec<u8> {
    let request = request(version, target);
    let line_end = request.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    [&request[..line_end], b"Expect: 100-continue\r\n", &request[line_end..]].concat()
}

fn take_continue(harness: &mut Harness) {
    assert!(harness.out.starts_with(CONTINUE), "{}", String::from_utf8_lossy(&harness.out));
    harness.out.drain(..CONTINUE.len());
}

#[test]
fn sends_100_before_101_in_every_version() {
    for version in Version::ALL {
        let mut harness = Harness::new(Config::default());
        harness.send(&expecting(version, "/?greet"));
        take_continue(&mut harness);
        harness.take_101();
        harness.client = clws_proto::Receiver::new(version, Role::Client, Limits::default());
        assert_eq!(harness.received(), [Received::Text("hello".into())], "{version}");
    }
}

#[test]
fn sends_100_once_when_the_application_decides_later() {
    let mut harness = Harness::new(Config::default());
    harness.send(&expecting(Version::Rfc6455, "/?later"));
    assert!(harness.out.is_empty(), "this request has no body");
    harness.resource.decision.lock().unwrap().take().unwrap().accept(Accept::new());
    harness.drive();
    take_continue(&mut harness);
    harness.take_101();
    assert!(harness.out.is_empty());
}

#[test]
fn sends_100_before_the_body_of_draft_0() {
    // The answer is written at once, in two parts with the body between them, or after the body.
    for space in [usize::MAX, 10, 0] {
        let request = expecting(Version::Hybi00, "/");
        let (head, body) = request.split_at(request.len() - 8);
        let mut harness = Harness::new(Config::default());
        harness.space = space;
        harness.send(head);
        assert_eq!(harness.out, &CONTINUE[..space.min(CONTINUE.len())]);
        harness.send(&body[..3]);
        harness.space = usize::MAX;
        harness.send(&body[3..]);
        take_continue(&mut harness);
        harness.take_101();
        assert!(harness.out.is_empty());
        harness.expect_calls(&["connected"]);
    }
    // A client that already sends its body does not wait for the answer.
    let request = expecting(Version::Hybi00, "/");
    let mut harness = Harness::new(Config::default());
    harness.send(&request[..request.len() - 5]);
    assert!(harness.out.is_empty());
}

#[test]
fn completes_100_before_a_refusal() {
    for (space, before) in [(0, 0), (10, CONTINUE.len()), (usize::MAX, CONTINUE.len())] {
        let request = expecting(Version::Hybi00, "/none");
        let mut harness = Harness::new(Config::default());
        harness.space = space;
        harness.send(&request[..request.len() - 8]);
        harness.space = usize::MAX;
        harness.send(&request[request.len() - 8..]);
        assert_eq!(&harness.out[..before], &CONTINUE[..before]);
        harness.out.drain(..before);
        assert_eq!(harness.take_refusal_status(), 404);
    }
    // The same for refusals without further input.
    for stop in [true, false] {
        let request = expecting(Version::Hybi00, "/");
        let mut harness = Harness::new(Config::default());
        harness.space = 10;
        harness.send(&request[..request.len() - 8]);
        harness.space = usize::MAX;
        if stop {
            let context = context(&harness.shared);
            harness.connection.stop(&context);
            harness.drive();
        } else {
            let context = context(&harness.shared);
            harness.now += Config::default().handshake_timeout;
            virtual_clock::set(Some(harness.now));
            harness.connection.handle_timeout(&context);
            harness.drive();
        }
        take_continue(&mut harness);
        assert_eq!(harness.take_refusal_status(), if stop { 503 } else { 408 });
    }
}

#[test]
fn omits_100_before_a_final_answer() {
    let mut harness = Harness::new(Config::default());
    harness.send(&expecting(Version::Rfc6455, "/none"));
    assert_eq!(harness.take_refusal_status(), 404);

    let mut harness = Harness::new(Config::default());
    harness.shared.resources.http(|_| HttpResponse::text(200, "here"));
    harness.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n");
    assert_eq!(harness.take_refusal_status(), 200);
}
