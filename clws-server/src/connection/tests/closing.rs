//! Closing handshakes.

use super::*;

#[test]
fn echoes_the_code_of_the_clients_close_frame() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("a"), close(CloseCode::new(4321), "bye"), text("b")].concat());
    assert_eq!(
        harness.received(),
        [Received::Text("a".into()), Received::Close(Some((4321, String::new())))]
    );
    harness.expect_calls(&["connected", "text a", "disconnected 4321 \"bye\": closed"]);
    assert!(harness.dropped);
}

#[test]
fn reports_1005_for_a_close_frame_without_a_code() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&frames(Version::Rfc6455, Sender::close_without_code));
    assert_eq!(harness.received(), [Received::Close(None)]);
    harness.expect_calls(&["connected", "disconnected 1005 \"\": closed"]);
}

#[test]
fn writes_the_close_frame_before_it_drops_the_socket() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.space = 0;
    harness.send(&[text("a"), close(CloseCode::NORMAL, "")].concat());
    harness.expect_calls(&["connected", "text a", "disconnected 1000 \"\": closed"]);
    assert!(!harness.dropped);
    harness.space = 4;
    harness.drive();
    assert!(!harness.dropped);
    harness.space = 3;
    harness.drive();
    assert_eq!(
        harness.received(),
        [Received::Text("a".into()), Received::Close(Some((1000, String::new())))]
    );
    assert!(harness.dropped);
}

#[test]
fn drops_a_closing_peer_that_does_not_read() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.space = 0;
    harness.send(&close(CloseCode::NORMAL, ""));
    harness.advance(harness.shared.config().write_timeout);
    assert!(harness.dropped);
    assert_eq!(harness.connection.queued(), 0);
    harness.expect_calls(&["connected", "disconnected 1000 \"\": closed"]);
}

#[test]
fn waits_for_the_answer_to_its_close_frame() {
    for version in Version::ALL.into_iter().filter(|version| version.has_close_frame()) {
        let mut harness = Harness::open(version, "/");
        harness.send(&frames(version, |sender| {
            sender.text("close", None).unwrap();
            sender.text("after", None).unwrap();
        }));
        let close = (!version.is_hixie()).then(|| (1000, "enough".to_owned()));
        assert_eq!(harness.received(), [Received::Close(close)]);
        let client = harness.resource.client();
        assert_eq!(client.send_text("x"), Err(crate::client::outcome::SendError::Closed));
        client.close(CloseCode::NORMAL);
        harness.advance(SECOND);
        assert!(!harness.dropped && !harness.shut);
        harness.send(&frames(version, |sender| {
            sender.text("discarded", None).unwrap();
            sender.close(CloseCode::GOING_AWAY, "").unwrap();
        }));
        assert!(harness.dropped && harness.out.is_empty());
        let code = if version.is_hixie() { 1005 } else { 1001 };
        harness.expect_calls(&[
            "connected",
            "text close",
            &format!("disconnected {code} \"\": closed, 2 undelivered"),
        ]);
    }
}

#[test]
fn drops_a_client_that_does_not_answer_the_close_frame() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("close"));
    // Pings and messages do not extend the deadline.
    harness.advance(SECOND * 4);
    harness.send(&frames(Version::Rfc6455, |sender| sender.ping(b"").unwrap()));
    assert_eq!(harness.received(), [Received::Close(Some((1000, "enough".into())))], "no pong");
    harness.advance(SECOND);
    assert!(harness.dropped);
    harness.expect_calls(&[
        "connected",
        "text close",
        "disconnected 1006 \"\": did not answer a close frame",
    ]);
}

#[test]
fn drops_a_closing_client_that_does_not_read_its_backlog() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.space = 0;
    harness.send(&text("backlog"));
    harness.resource.client().close(CloseCode::NORMAL);
    harness.drive();
    harness.advance(SECOND * 5);
    assert!(harness.dropped);
}

#[test]
fn waits_while_a_closing_client_reads_its_backlog() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.space = 0;
    harness.send(&text(&"x".repeat(1000)));
    harness.resource.client().close(CloseCode::NORMAL);
    harness.drive();
    for _ in 0..4 {
        harness.advance(SECOND * 4);
        harness.space = 200;
        harness.drive();
    }
    harness.space = usize::MAX;
    harness.drive();
    assert_eq!(
        harness.received(),
        [Received::Text("x".repeat(1000)), Received::Close(Some((1000, String::new())))]
    );
    harness.advance(SECOND * 4);
    assert!(!harness.dropped);
    harness.advance(SECOND);
    assert!(harness.dropped);
}

#[test]
fn an_early_timeout_arms_the_deadline_again() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("close"));
    let at = harness.deadline.take().unwrap();
    // The timer is early, or belongs to an earlier connection in the same slot.
    virtual_clock::set(Some(at - Duration::from_nanos(1)));
    harness.connection.handle_timeout(&context(&harness.shared));
    assert!(!harness.dropped);
    assert_eq!(harness.connection.poll_timeout(), Some(at));
    assert_eq!(harness.connection.poll_timeout(), None);
    assert_eq!(harness.connection.armed_timeout(), Some(at));
}

#[test]
fn discards_input_after_a_protocol_error() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[&text("a")[..], &[0xF1, 0x80, 1, 2, 3, 4], &text("b")].concat());
    let received = harness.received();
    assert_eq!(received[0], Received::Text("a".into()));
    assert!(
        matches!(&received[1], Received::Close(Some((1002, reason))) if !reason.is_empty()),
        "{received:?}"
    );
    assert!(harness.shut && !harness.dropped);
    harness.expect_calls(&[
        "connected",
        "text a",
        "disconnected 1006 \"\": broke the protocol: a reserved bit is set that no extension defines",
    ]);
    harness.send(&text("c"));
    harness.expect_calls(&[]);
    harness.end_of_input();
    assert!(harness.dropped);
}

#[test]
fn drops_the_connection_after_a_protocol_error_if_the_peer_stays() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[0xFF; 9]);
    assert!(harness.shut && !harness.dropped);
    harness.advance(SECOND * 5);
    assert!(harness.dropped);
}

#[test]
fn sends_the_close_code_of_the_error() {
    let limits = Config::default().max_read_message_size(1000).max_read_frame_size(100).max_fragments(3);
    let fragments = |count: usize| {
        frames(Version::Rfc6455, |sender| {
            sender.binary(&vec![0; count * 10], NonZeroUsize::new(10)).unwrap();
        })
    };
    for (bytes, code) in [
        (frames(Version::Rfc6455, |sender| sender.text(&"x".repeat(101), None).unwrap()), 1009),
        (fragments(4), 1008),
        (b"\x81\x82\0\0\0\0\xC3\x28".to_vec(), 1007),
        (b"\x81\x02hi".to_vec(), 1002),
        (b"\x88\x81\0\0\0\0\x03".to_vec(), 1002),
    ] {
        let mut harness = Harness::new(limits.clone());
        harness.send(&request(Version::Rfc6455, "/"));
        harness.take_101();
        harness.send(&bytes);
        assert!(
            matches!(&harness.received()[..], [Received::Close(Some((received, _)))] if *received == code),
            "{code}"
        );
    }
}

#[test]
fn accepts_the_end_of_input_as_a_close_in_draft_0_and_hixie_75() {
    for version in [Version::Hybi00, Version::Hixie75] {
        for before in [&b""[..], b"\0whole\xFF", b"\x80\x02ab\x01skipped\xFF"] {
            let mut harness = Harness::open(version, "/");
            harness.send(before);
            harness.end_of_input();
            assert!(harness.dropped);
            assert_eq!(harness.resource.take().last().unwrap(), "disconnected 1005 \"\": closed");
        }
        // But not within a frame.
        for half in [&b"\0half"[..], b"\0", b"\xFF", b"\x80\x02a", b"\x80\x82", b"\x01skip"] {
            let mut harness = Harness::open(version, "/");
            harness.send(half);
            harness.end_of_input();
            harness.expect_calls(&["connected", "disconnected 1006 \"\": vanished"]);
        }
    }
}

/// The outbox is full when the client is closed, and empty when the connection notices the close.
#[test]
fn counts_undelivered_messages_if_the_outbox_was_full() {
    for (last, end) in [("close", "1000 \"\": closed"), ("abort", "1006 \"\": aborted")] {
        let mut harness = Harness::open(Version::Rfc6455, "/");
        harness.space = 0;
        harness.send(&text("a")); // its answer cannot be written, so the write deadline is armed
        harness.space = usize::MAX;
        harness.send(&[text(last), text("b"), text("c")].concat());
        harness.send(&close(CloseCode::NORMAL, ""));
        harness.expect_calls(&[
            "connected",
            "text a",
            &format!("text {last}"),
            &format!("disconnected {end}, 2 undelivered"),
        ]);
    }
}
