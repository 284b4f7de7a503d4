//! Clients that expect 100 (Continue).

use clws_handshake::CONTINUE;

use super::*;
use crate::HttpResponse;

/// A request with one more header.
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
fn it_comes_before_101_in_every_version() {
    for version in Version::ALL {
        let mut harness = Harness::new(Config::default());
        harness.send(&expecting(version, "/?greet"));
        take_continue(&mut harness);
        harness.expect_101();
        harness.client = clws_proto::Receiver::new(version, Role::Client, Limits::default());
        assert_eq!(harness.got(), [Got::Text("hello".into())], "{version}");
    }
}

#[test]
fn it_comes_once_when_the_application_decides_later() {
    let mut harness = Harness::new(Config::default());
    harness.send(&expecting(Version::Rfc6455, "/?later"));
    assert!(harness.out.is_empty(), "no body is waited for");
    harness.resource.decision.lock().unwrap().take().unwrap().accept(Accept::new());
    harness.drive();
    take_continue(&mut harness);
    harness.expect_101();
    assert!(harness.out.is_empty());
}

#[test]
fn draft_0_gets_it_before_it_sends_its_body() {
    // It goes out in one piece, in two with the body between them, or not before the body.
    for room in [usize::MAX, 10, 0] {
        let request = expecting(Version::Hybi00, "/");
        let (head, body) = request.split_at(request.len() - 8);
        let mut harness = Harness::new(Config::default());
        harness.room = room;
        harness.send(head);
        assert_eq!(harness.out, &CONTINUE[..room.min(CONTINUE.len())]);
        harness.send(&body[..3]);
        harness.room = usize::MAX;
        harness.send(&body[3..]);
        take_continue(&mut harness);
        harness.expect_101();
        assert!(harness.out.is_empty());
        harness.recorder(&["connected"]);
    }
    // A client that sends some of it does not wait.
    let request = expecting(Version::Hybi00, "/");
    let mut harness = Harness::new(Config::default());
    harness.send(&request[..request.len() - 5]);
    assert!(harness.out.is_empty());
}

#[test]
fn an_interim_answer_is_whole_before_a_refusal() {
    for (room, before) in [(0, 0), (10, CONTINUE.len()), (usize::MAX, CONTINUE.len())] {
        let request = expecting(Version::Hybi00, "/none");
        let mut harness = Harness::new(Config::default());
        harness.room = room;
        harness.send(&request[..request.len() - 8]);
        harness.room = usize::MAX;
        harness.send(&request[request.len() - 8..]);
        assert_eq!(&harness.out[..before], &CONTINUE[..before]);
        harness.out.drain(..before);
        assert_eq!(harness.refusal(), 404);
    }
    // Those that come by themselves, too.
    for stop in [true, false] {
        let request = expecting(Version::Hybi00, "/");
        let mut harness = Harness::new(Config::default());
        harness.room = 10;
        harness.send(&request[..request.len() - 8]);
        harness.room = usize::MAX;
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
        assert_eq!(harness.refusal(), if stop { 503 } else { 408 });
    }
}

#[test]
fn a_final_answer_makes_it_needless() {
    let mut harness = Harness::new(Config::default());
    harness.send(&expecting(Version::Rfc6455, "/none"));
    assert_eq!(harness.refusal(), 404);

    let mut harness = Harness::new(Config::default());
    harness.shared.resources.http(|_| HttpResponse::text(200, "here"));
    harness.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n");
    assert_eq!(harness.refusal(), 200);
}
