use super::*;

#[test]
fn comes_octet_by_octet_in_every_version() {
    for version in Version::ALL {
        let mut harness = Harness::new(Config::default());
        for octet in request(version, "/?greet") {
            assert!(harness.out.is_empty());
            harness.send(&[octet]);
        }
        harness.expect_101();
        harness.client = clws_proto::Receiver::new(version, Role::Client, Limits::default());
        assert_eq!(harness.got(), [Got::Text("hello".into())], "{version}");
        harness.recorder(&["connected"]);
        assert_eq!(harness.resource.client().websocket_version(), version);
    }
}

#[test]
fn draft_0_key_octets_may_come_late() {
    let request = request(Version::Hybi00, "/");
    let mut harness = Harness::new(Config::default());
    harness.send(&request[..request.len() - 8]);
    harness.send(&request[request.len() - 8..request.len() - 1]);
    assert!(harness.out.is_empty());
    harness.recorder(&[]);
    // The last of them, and a message right behind.
    harness.send(&[&request[request.len() - 1..], b"\0hi\xFF"].concat());
    harness.expect_101();
    harness.recorder(&["connected", "text hi"]);
    assert_eq!(harness.out, b"\0hi\xFF");
}

#[test]
fn messages_behind_the_request_are_not_lost() {
    for (cut, version) in [(0, Version::Rfc6455), (40, Version::Rfc6455), (0, Version::Hybi00)] {
        let early = frames(version, |sender| {
            sender.text("one", None).unwrap();
            sender.text("two", None).unwrap();
        });
        let all = [request(version, "/"), early].concat();
        let mut harness = Harness::new(Config::default());
        harness.send(&all[..cut]);
        harness.send(&all[cut..all.len() - 2]);
        harness.send(&all[all.len() - 2..]);
        harness.recorder(&["connected", "text one", "text two"]);
    }
}

#[test]
fn holds_nothing_until_something_comes_and_never_more_than_the_cap() {
    let mut harness = Harness::new(Config::default().max_header_size(1000));
    let Stage::Handshake(handshake) = &harness.connection.stage else { panic!() };
    assert_eq!(handshake.received.capacity(), 0);
    harness.send(b"GET / HTTP/1.1\r\n");
    for _ in 0..110 {
        harness.send(b"a: 345678\r");
        let Stage::Handshake(handshake) = &harness.connection.stage else { break };
        assert!(handshake.received.capacity() <= 2000);
    }
    assert_eq!(harness.refusal(), 431);
}

#[test]
fn that_takes_too_long_gets_408() {
    let mut harness = Harness::new(Config::default().handshake_timeout(3 * SECOND).close_timeout(2 * SECOND));
    harness.send(b"GET / HT");
    harness.pass(SECOND);
    harness.send(b"TP/1.1\r\n");
    harness.pass(SECOND * 2 - Duration::from_nanos(1));
    assert!(harness.out.is_empty());
    harness.pass(Duration::from_nanos(1));
    assert_eq!(harness.refusal(), 408);
    assert!(harness.shut && !harness.dropped);
    // It goes on sending, and is heard no more.
    harness.send(b"Host: server\r\n\r\n");
    assert!(harness.out.is_empty());
    harness.pass(SECOND * 2);
    assert!(harness.dropped);
    harness.recorder(&[]);
}

#[test]
fn that_is_done_has_no_deadline() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.pass(SECOND * 1_000_000);
    harness.send(&text("still there"));
    assert_eq!(harness.got(), [Got::Text("still there".into())]);
}

#[test]
fn a_time_out_without_end_is_no_panic() {
    let config = Config::default().handshake_timeout(Duration::MAX).close_timeout(Duration::MAX);
    let mut harness = Harness::new(config);
    harness.pass(SECOND * 60 * 60 * 24);
    harness.send(&request(Version::Rfc6455, "/"));
    harness.expect_101();
    harness.send(&text("close"));
    harness.pass(SECOND * 60 * 60 * 24);
    assert!(!harness.dropped);
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
        let mut harness = Harness::new(Config::default());
        harness.room = 10;
        harness.send(&octets);
        assert!(!harness.shut, "there is more to write");
        harness.room = usize::MAX;
        harness.drive();
        assert_eq!(harness.refusal(), status);
        // Our side ends; the socket stays until the peer has ended its own, or the answer may be lost.
        assert!(harness.shut && !harness.dropped);
        harness.send(&[0; 100]);
        assert!(!harness.dropped && harness.out.is_empty());
        harness.end_of_input();
        assert!(harness.dropped);
        harness.recorder(&[]);
    }
}

#[test]
fn of_a_client_over_the_number_is_refused_unread() {
    let mut harness = Harness::new(Config::default());
    harness.connection = Connection::refused(&Reject::unavailable(None), &context(&harness.shared));
    harness.drive();
    assert_eq!(harness.refusal(), 503);
    assert!(harness.shut && !harness.dropped);
    harness.send(&request(Version::Rfc6455, "/"));
    harness.recorder(&[]);
    harness.end_of_input();
    assert!(harness.dropped);
}

#[test]
fn refused_right_after_it_is_a_close_frame_and_no_other_call() {
    for (target, close) in [
        ("/?refuse", Some((4000, "go".to_owned()))),
        ("/?refuse-badly", None),
        ("/?refuse-at-length", Some((1008, "x".repeat(123)))),
        ("/?panic-connected", Some((1011, String::new()))),
    ] {
        let mut harness = Harness::open(Version::Rfc6455, target);
        assert_eq!(harness.got(), [Got::Close(close)], "{target}");
        assert!(!harness.resource.client().is_open());
        harness.send(&text("ignored"));
        harness.send(&super::close(CloseCode::NORMAL, ""));
        assert!(harness.dropped);
        harness.recorder(&["connected"]);
    }
}

/// A resource that lets its clients say who they are first. It hands them to a mailbox then, which hears of their end from it.
struct HandsOn(crate::handler::mailbox::sender::MailboxSender<()>);

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
    let mut harness = Harness::new(Config::default());
    let (sender, _mailbox) = crate::handler::mailbox::mailbox();
    harness.shared.resources.register("/later", Origins::any(), HandsOn(sender)).unwrap();
    harness.send(&request(Version::Rfc6455, "/later"));
    harness.expect_101();
    harness.send(&text("Ada"));
    assert_eq!(harness.shared.context.hosts.len(), 0);
    harness.send(&close(CloseCode::NORMAL, ""));
    assert_eq!(harness.shared.context.hosts.len(), 0);
}
