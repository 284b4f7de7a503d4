//! Opening handshakes.

use super::*;

#[test]
fn accepts_a_request_byte_by_byte_in_every_version() {
    for version in Version::ALL {
        let mut harness = Harness::new(Config::default());
        for byte in request(version, "/?greet") {
            assert!(harness.out.is_empty());
            harness.send(&[byte]);
        }
        harness.take_101();
        harness.client = clws_proto::Receiver::new(version, Role::Client, Limits::default());
        assert_eq!(harness.received(), [Received::Text("hello".into())], "{version}");
        harness.expect_calls(&["connected"]);
        assert_eq!(harness.resource.client().websocket_version(), version);
    }
}

#[test]
fn accepts_a_late_key_in_draft_0() {
    let request = request(Version::Hybi00, "/");
    let mut harness = Harness::new(Config::default());
    harness.send(&request[..request.len() - 8]);
    harness.send(&request[request.len() - 8..request.len() - 1]);
    assert!(harness.out.is_empty());
    harness.expect_calls(&[]);
    // The last byte of the key, and a message.
    harness.send(&[&request[request.len() - 1..], b"\0hi\xFF"].concat());
    harness.take_101();
    harness.expect_calls(&["connected", "text hi"]);
    assert_eq!(harness.out, b"\0hi\xFF");
}

#[test]
fn delivers_messages_that_follow_the_request() {
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
        harness.expect_calls(&["connected", "text one", "text two"]);
    }
}

#[test]
fn holds_no_buffer_before_input_and_at_most_max_header_size() {
    let mut harness = Harness::new(Config::default().max_header_size(1000));
    let Stage::Handshake(handshake) = &harness.connection.stage else { panic!() };
    assert_eq!(handshake.received.capacity(), 0);
    harness.send(b"GET / HTTP/1.1\r\n");
    for _ in 0..110 {
        harness.send(b"a: 345678\r");
        let Stage::Handshake(handshake) = &harness.connection.stage else { break };
        assert!(handshake.received.capacity() <= 2000);
    }
    assert_eq!(harness.take_refusal_status(), 431);
}

#[test]
fn answers_408_when_the_request_takes_too_long() {
    let mut harness = Harness::new(Config::default().handshake_timeout(3 * SECOND).close_timeout(2 * SECOND));
    harness.send(b"GET / HT");
    harness.advance(SECOND);
    harness.send(b"TP/1.1\r\n");
    harness.advance(SECOND * 2 - Duration::from_nanos(1));
    assert!(harness.out.is_empty());
    harness.advance(Duration::from_nanos(1));
    assert_eq!(harness.take_refusal_status(), 408);
    assert!(harness.shut && !harness.dropped);
    // Further input is discarded.
    harness.send(b"Host: server\r\n\r\n");
    assert!(harness.out.is_empty());
    harness.advance(SECOND * 2);
    assert!(harness.dropped);
    harness.expect_calls(&[]);
}

#[test]
fn answers_408_wherever_the_request_stops() {
    let [whole, draft_0] = [Version::Rfc6455, Version::Hybi00].map(|version| request(version, "/"));
    // Draft 0 has eight bytes after its head.
    for sent in [b"", &whole[..12], &whole[..whole.len() - 1], &draft_0[..draft_0.len() - 3]] {
        let mut harness = Harness::new(Config::default().handshake_timeout(SECOND));
        harness.send(sent);
        harness.advance(SECOND - Duration::from_nanos(1));
        assert!(harness.out.is_empty() && !harness.shut);
        harness.advance(Duration::from_nanos(1));
        assert_eq!(harness.take_refusal_status(), 408, "{}", String::from_utf8_lossy(sent));
        assert!(harness.shut);
    }
}

#[test]
fn has_no_deadline_after_the_handshake() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.advance(SECOND * 1_000_000);
    harness.send(&text("still there"));
    assert_eq!(harness.received(), [Received::Text("still there".into())]);
}

#[test]
fn accepts_an_unlimited_timeout() {
    let config = Config::default().handshake_timeout(Duration::MAX).close_timeout(Duration::MAX);
    let mut harness = Harness::new(config);
    harness.advance(SECOND * 60 * 60 * 24);
    harness.send(&request(Version::Rfc6455, "/"));
    harness.take_101();
    harness.send(&text("close"));
    harness.advance(SECOND * 60 * 60 * 24);
    assert!(!harness.dropped);
}

#[test]
fn answers_a_failed_handshake_and_reads_to_the_end() {
    for (bytes, status) in [
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
        harness.space = 10;
        harness.send(&bytes);
        assert!(!harness.shut, "the answer is not written completely");
        harness.space = usize::MAX;
        harness.drive();
        assert_eq!(harness.take_refusal_status(), status);
        // Our side ends, but the socket stays open until the peer ends its side. Otherwise the
        // answer could be lost.
        assert!(harness.shut && !harness.dropped);
        harness.send(&[0; 100]);
        assert!(!harness.dropped && harness.out.is_empty());
        harness.end_of_input();
        assert!(harness.dropped);
        harness.expect_calls(&[]);
    }
}

#[test]
fn refuses_a_client_beyond_max_clients_without_reading() {
    let mut harness = Harness::new(Config::default());
    harness.connection =
        Connection::refused(&Reject::unavailable(None), HandshakeOutcome::Full, &context(&harness.shared));
    harness.drive();
    assert_eq!(harness.take_refusal_status(), 503);
    assert!(harness.shut && !harness.dropped);
    harness.send(&request(Version::Rfc6455, "/"));
    harness.expect_calls(&[]);
    harness.end_of_input();
    assert!(harness.dropped);
}

#[test]
fn a_client_refused_in_connected_gets_a_close_frame() {
    for (target, close) in [
        ("/?refuse", Some((4000, "go".to_owned()))),
        ("/?refuse-badly", None),
        ("/?refuse-at-length", Some((1008, "x".repeat(123)))),
        ("/?panic-connected", Some((1011, String::new()))),
    ] {
        let mut harness = Harness::open(Version::Rfc6455, target);
        assert_eq!(harness.received(), [Received::Close(close)], "{target}");
        assert!(!harness.resource.client().is_open());
        harness.send(&text("ignored"));
        harness.send(&super::close(CloseCode::NORMAL, ""));
        assert!(harness.dropped);
        harness.expect_calls(&["connected"]);
    }
}

/// A resource that hands a client to a mailbox after the first text. The mailbox reports the
/// disconnect.
struct HandsToMailbox(crate::handler::mailbox::sender::MailboxSender<()>);

impl Resource for HandsToMailbox {
    fn text(&self, client: &Client, _: Text<'_>) {
        self.0.connected(client).unwrap();
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        self.0.disconnected(client, end);
    }
}

#[test]
fn registers_no_host_for_a_client_handed_to_a_mailbox_later() {
    let mut harness = Harness::new(Config::default());
    let (sender, _mailbox) = crate::handler::mailbox::mailbox();
    harness.shared.resources.register("/later", Origins::any(), HandsToMailbox(sender)).unwrap();
    harness.send(&request(Version::Rfc6455, "/later"));
    harness.take_101();
    harness.send(&text("Ada"));
    assert_eq!(harness.shared.context.shared.hosts.len(), 0);
    harness.send(&close(CloseCode::NORMAL, ""));
    assert_eq!(harness.shared.context.shared.hosts.len(), 0);
}
