use super::*;

#[test]
fn comes_octet_by_octet_in_every_version() {
    for version in Version::ALL {
        let mut world = World::new(Config::default());
        for octet in request(version, "/?greet") {
            assert!(world.out.is_empty());
            world.send(&[octet]);
        }
        world.expect_101();
        world.client = clws_proto::Receiver::new(version, Role::Client, Limits::default());
        assert_eq!(world.got(), [Got::Text("hello".into())], "{version}");
        world.diary(&["connected"]);
        assert_eq!(world.resource.client().websocket_version(), version);
    }
}

#[test]
fn draft_0_key_octets_may_come_late() {
    let request = request(Version::Hybi00, "/");
    let mut world = World::new(Config::default());
    world.send(&request[..request.len() - 8]);
    world.send(&request[request.len() - 8..request.len() - 1]);
    assert!(world.out.is_empty());
    world.diary(&[]);
    // The last of them, and a message right behind.
    world.send(&[&request[request.len() - 1..], b"\0hi\xFF"].concat());
    world.expect_101();
    world.diary(&["connected", "text hi"]);
    assert_eq!(world.out, b"\0hi\xFF");
}

#[test]
fn messages_behind_the_request_are_not_lost() {
    for (cut, version) in [(0, Version::Rfc6455), (40, Version::Rfc6455), (0, Version::Hybi00)] {
        let early = frames(version, |sender| {
            sender.text("one", None).unwrap();
            sender.text("two", None).unwrap();
        });
        let all = [request(version, "/"), early].concat();
        let mut world = World::new(Config::default());
        world.send(&all[..cut]);
        world.send(&all[cut..all.len() - 2]);
        world.send(&all[all.len() - 2..]);
        world.diary(&["connected", "text one", "text two"]);
    }
}

#[test]
fn holds_nothing_until_something_comes_and_never_more_than_the_cap() {
    let mut world = World::new(Config::default().max_header_size(1000));
    let Stage::Handshake(handshake) = &world.session.stage else { panic!() };
    assert_eq!(handshake.received.capacity(), 0);
    world.send(b"GET / HTTP/1.1\r\n");
    for _ in 0..110 {
        world.send(b"a: 345678\r");
        let Stage::Handshake(handshake) = &world.session.stage else { break };
        assert!(handshake.received.capacity() <= 2000);
    }
    assert_eq!(world.refusal(), 431);
}

#[test]
fn that_takes_too_long_gets_408() {
    let mut world = World::new(Config::default().handshake_timeout(3 * SECOND).close_timeout(2 * SECOND));
    world.send(b"GET / HT");
    world.pass(SECOND);
    world.send(b"TP/1.1\r\n");
    world.pass(SECOND * 2 - Duration::from_nanos(1));
    assert!(world.out.is_empty());
    world.pass(Duration::from_nanos(1));
    assert_eq!(world.refusal(), 408);
    assert!(world.shut && !world.dropped);
    // It goes on sending, and is heard no more.
    world.send(b"Host: server\r\n\r\n");
    assert!(world.out.is_empty());
    world.pass(SECOND * 2);
    assert!(world.dropped);
    world.diary(&[]);
}

#[test]
fn that_is_done_has_no_deadline() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.pass(SECOND * 1_000_000);
    world.send(&text("still there"));
    assert_eq!(world.got(), [Got::Text("still there".into())]);
}

#[test]
fn a_time_out_without_end_is_no_panic() {
    let config = Config::default().handshake_timeout(Duration::MAX).close_timeout(Duration::MAX);
    let mut world = World::new(config);
    world.pass(SECOND * 60 * 60 * 24);
    world.send(&request(Version::Rfc6455, "/"));
    world.expect_101();
    world.send(&text("close"));
    world.pass(SECOND * 60 * 60 * 24);
    assert!(!world.dropped);
}

#[test]
fn that_fails_is_answered_and_read_to_its_end() {
    for (octets, status) in [
        (request(Version::Rfc6455, "/none"), 404),
        (request(Version::Rfc6455, "/?forbidden"), 403),
        (request(Version::Rfc6455, "/?panic-accept"), 500),
        (request(Version::Rfc6455, "/?not-offered"), 500),
        (request(Version::Rfc6455, "/origin-panics"), 500),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 405),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 426),
        (b"\x16\x03\x01\x02\x00".to_vec(), 400),
    ] {
        let mut world = World::new(Config::default());
        world.room = 10;
        world.send(&octets);
        assert!(!world.shut, "there is more to write");
        world.room = usize::MAX;
        world.settle();
        assert_eq!(world.refusal(), status);
        // Our side ends; the socket stays until the peer has ended its own, or the answer may be lost.
        assert!(world.shut && !world.dropped);
        world.send(&[0; 100]);
        assert!(!world.dropped && world.out.is_empty());
        world.end_of_input();
        assert!(world.dropped);
        world.diary(&[]);
    }
}

#[test]
fn of_a_client_over_the_number_is_refused_unread() {
    let mut world = World::new(Config::default());
    world.session = Session::refused(&Reject::unavailable(None), &context(&world.shared));
    world.settle();
    assert_eq!(world.refusal(), 503);
    assert!(world.shut && !world.dropped);
    world.send(&request(Version::Rfc6455, "/"));
    world.diary(&[]);
    world.end_of_input();
    assert!(world.dropped);
}

#[test]
fn refused_right_after_it_is_a_close_frame_and_no_other_call() {
    for (target, close) in [
        ("/?refuse", Some((4000, "go".to_owned()))),
        ("/?refuse-badly", None),
        ("/?refuse-at-length", Some((1008, "x".repeat(123)))),
        ("/?panic-connected", Some((1011, String::new()))),
    ] {
        let mut world = World::open(Version::Rfc6455, target);
        assert_eq!(world.got(), [Got::Close(close)], "{target}");
        assert!(!world.resource.client().is_open());
        world.send(&text("ignored"));
        world.send(&super::close(CloseCode::NORMAL, ""));
        assert!(world.dropped);
        world.diary(&["connected"]);
    }
}

/// A resource that lets its clients say who they are first. It hands them to a mailbox then, which hears of their end from it.
struct HandsOn(crate::MailboxSender<()>);

impl Resource for HandsOn {
    fn text(&self, client: &Client, _: Text<'_>) {
        self.0.connected(client).unwrap();
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        self.0.disconnected(client, end);
    }
}

#[test]
fn nothing_is_kept_for_a_client_that_is_handed_on_later() {
    let mut world = World::new(Config::default());
    let (sender, _mailbox) = crate::mailbox();
    world.shared.resources.register("/later", Origins::any(), HandsOn(sender)).unwrap();
    world.send(&request(Version::Rfc6455, "/later"));
    world.expect_101();
    world.send(&text("Ada"));
    assert_eq!(world.shared.hosts.len(), 0);
    world.send(&close(CloseCode::NORMAL, ""));
    assert_eq!(world.shared.hosts.len(), 0);
}
