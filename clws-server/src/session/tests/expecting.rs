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

fn take_continue(world: &mut World) {
    assert!(world.out.starts_with(CONTINUE), "{}", String::from_utf8_lossy(&world.out));
    world.out.drain(..CONTINUE.len());
}

#[test]
fn it_comes_before_101_in_every_version() {
    for version in Version::ALL {
        let mut world = World::new(Config::default());
        world.send(&expecting(version, "/?greet"));
        take_continue(&mut world);
        world.expect_101();
        world.client = clws_proto::Receiver::new(version, Role::Client, Limits::default());
        assert_eq!(world.got(), [Got::Text("hello".into())], "{version}");
    }
}

#[test]
fn it_comes_once_when_the_application_decides_later() {
    let mut world = World::new(Config::default());
    world.send(&expecting(Version::Rfc6455, "/?later"));
    assert!(world.out.is_empty(), "no body is waited for");
    world.resource.decision.lock().unwrap().take().unwrap().accept(Accept::new());
    world.settle();
    take_continue(&mut world);
    world.expect_101();
    assert!(world.out.is_empty());
}

#[test]
fn draft_0_gets_it_before_it_sends_its_body() {
    // It goes out in one piece, in two with the body between them, or not before the body.
    for room in [usize::MAX, 10, 0] {
        let request = expecting(Version::Hybi00, "/");
        let (head, body) = request.split_at(request.len() - 8);
        let mut world = World::new(Config::default());
        world.room = room;
        world.send(head);
        assert_eq!(world.out, &CONTINUE[..room.min(CONTINUE.len())]);
        world.send(&body[..3]);
        world.room = usize::MAX;
        world.send(&body[3..]);
        take_continue(&mut world);
        world.expect_101();
        assert!(world.out.is_empty());
        world.diary(&["connected"]);
    }
    // A client that sends some of it does not wait.
    let request = expecting(Version::Hybi00, "/");
    let mut world = World::new(Config::default());
    world.send(&request[..request.len() - 5]);
    assert!(world.out.is_empty());
}

#[test]
fn an_interim_answer_is_whole_before_a_refusal() {
    for (room, before) in [(0, 0), (10, CONTINUE.len()), (usize::MAX, CONTINUE.len())] {
        let request = expecting(Version::Hybi00, "/none");
        let mut world = World::new(Config::default());
        world.room = room;
        world.send(&request[..request.len() - 8]);
        world.room = usize::MAX;
        world.send(&request[request.len() - 8..]);
        assert_eq!(&world.out[..before], &CONTINUE[..before]);
        world.out.drain(..before);
        assert_eq!(world.refusal(), 404);
    }
    // Those that come by themselves, too.
    for stop in [true, false] {
        let request = expecting(Version::Hybi00, "/");
        let mut world = World::new(Config::default());
        world.room = 10;
        world.send(&request[..request.len() - 8]);
        world.room = usize::MAX;
        if stop {
            let context = context(&world.shared);
            world.session.stop(&context);
            world.settle();
        } else {
            let context = context(&world.shared);
            world.now += Config::default().handshake_timeout;
            virtual_clock::set(Some(world.now));
            world.session.timed_out(&context);
            world.settle();
        }
        take_continue(&mut world);
        assert_eq!(world.refusal(), if stop { 503 } else { 408 });
    }
}

#[test]
fn a_final_answer_makes_it_needless() {
    let mut world = World::new(Config::default());
    world.send(&expecting(Version::Rfc6455, "/none"));
    assert_eq!(world.refusal(), 404);

    let mut world = World::new(Config::default());
    world.shared.resources.http(|_| HttpResponse::text(200, "here"));
    world.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n");
    assert_eq!(world.refusal(), 200);
}
