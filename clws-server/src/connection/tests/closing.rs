use super::*;

#[test]
fn begun_by_the_client_is_answered_with_its_code() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("a"), close(CloseCode::new(4321), "bye"), text("b")].concat());
    assert_eq!(harness.got(), [Got::Text("a".into()), Got::Close(Some((4321, String::new())))]);
    harness.recorder(&["connected", "text a", "disconnected 4321 \"bye\": closed"]);
    assert!(harness.dropped);
}

#[test]
fn without_a_code_is_1005() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&frames(Version::Rfc6455, Sender::close_without_code));
    assert_eq!(harness.got(), [Got::Close(None)]);
    harness.recorder(&["connected", "disconnected 1005 \"\": closed"]);
}

#[test]
fn goes_out_before_the_socket_is_dropped() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.room = 0;
    harness.send(&[text("a"), close(CloseCode::NORMAL, "")].concat());
    harness.recorder(&["connected", "text a", "disconnected 1000 \"\": closed"]);
    assert!(!harness.dropped);
    harness.room = 4;
    harness.drive();
    assert!(!harness.dropped);
    harness.room = 3;
    harness.drive();
    assert_eq!(harness.got(), [Got::Text("a".into()), Got::Close(Some((1000, String::new())))]);
    assert!(harness.dropped);
}

#[test]
fn to_a_peer_that_does_not_read_is_given_up() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.room = 0;
    harness.send(&close(CloseCode::NORMAL, ""));
    harness.pass(harness.shared.config().write_timeout);
    assert!(harness.dropped);
    assert_eq!(harness.connection.queued(), 0);
    harness.recorder(&["connected", "disconnected 1000 \"\": closed"]);
}

#[test]
fn begun_here_waits_for_the_answer() {
    for version in Version::ALL.into_iter().filter(|version| version.has_close_frame()) {
        let mut harness = Harness::open(version, "/");
        harness.send(&frames(version, |sender| {
            sender.text("close", None).unwrap();
            sender.text("after", None).unwrap();
        }));
        let said = (!version.is_hixie()).then(|| (1000, "enough".to_owned()));
        assert_eq!(harness.got(), [Got::Close(said)]);
        let client = harness.resource.client();
        assert_eq!(client.send_text("x"), Err(crate::client::outcome::SendError::Closed));
        client.close(CloseCode::NORMAL);
        harness.pass(SECOND);
        assert!(!harness.dropped && !harness.shut);
        harness.send(&frames(version, |sender| {
            sender.text("still not heard", None).unwrap();
            sender.close(CloseCode::GOING_AWAY, "").unwrap();
        }));
        assert!(harness.dropped && harness.out.is_empty());
        let code = if version.is_hixie() { 1005 } else { 1001 };
        harness.recorder(&[
            "connected",
            "text close",
            &format!("disconnected {code} \"\": closed, 2 undelivered"),
        ]);
    }
}

#[test]
fn that_nobody_answers_times_out() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("close"));
    // Pings and messages of a client that does not close do not delay it.
    harness.pass(SECOND * 4);
    harness.send(&frames(Version::Rfc6455, |sender| sender.ping(b"").unwrap()));
    assert_eq!(harness.got(), [Got::Close(Some((1000, "enough".into())))], "and no pong");
    harness.pass(SECOND);
    assert!(harness.dropped);
    harness.recorder(&["connected", "text close", "disconnected 1006 \"\": did not answer a close frame"]);
}

#[test]
fn behind_a_backlog_times_out_too() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.room = 0;
    harness.send(&text("backlog"));
    harness.resource.client().close(CloseCode::NORMAL);
    harness.drive();
    harness.pass(SECOND * 5);
    assert!(harness.dropped);
}

#[test]
fn waits_for_a_backlog_that_is_read() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.room = 0;
    harness.send(&text(&"x".repeat(1000)));
    harness.resource.client().close(CloseCode::NORMAL);
    harness.drive();
    for _ in 0..4 {
        harness.pass(SECOND * 4);
        harness.room = 200;
        harness.drive();
    }
    harness.room = usize::MAX;
    harness.drive();
    assert_eq!(harness.got(), [Got::Text("x".repeat(1000)), Got::Close(Some((1000, String::new())))]);
    harness.pass(SECOND * 4);
    assert!(!harness.dropped);
    harness.pass(SECOND);
    assert!(harness.dropped);
}

#[test]
fn whoever_comes_before_the_deadline_is_told_of_it_again() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("close"));
    let at = harness.deadline.take().unwrap();
    // A timer that is early, or another connection's that had the same slot.
    virtual_clock::set(Some(at - Duration::from_nanos(1)));
    harness.connection.handle_timeout(&context(&harness.shared));
    assert!(!harness.dropped);
    assert_eq!(harness.connection.poll_timeout(), Some(at));
    assert_eq!(harness.connection.poll_timeout(), None);
    assert_eq!(harness.connection.armed_timeout(), Some(at));
}

#[test]
fn of_a_protocol_error_drains_what_the_peer_still_sends() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[&text("a")[..], &[0xF1, 0x80, 1, 2, 3, 4], &text("b")].concat());
    let got = harness.got();
    assert_eq!(got[0], Got::Text("a".into()));
    assert!(matches!(&got[1], Got::Close(Some((1002, reason))) if !reason.is_empty()), "{got:?}");
    assert!(harness.shut && !harness.dropped);
    harness.recorder(&[
        "connected",
        "text a",
        "disconnected 1006 \"\": broke the protocol: a reserved bit is set that no extension defines",
    ]);
    harness.send(&text("c"));
    harness.recorder(&[]);
    harness.end_of_input();
    assert!(harness.dropped);
}

#[test]
fn of_a_protocol_error_ends_though_the_peer_does_not() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[0xFF; 9]);
    assert!(harness.shut && !harness.dropped);
    harness.pass(SECOND * 5);
    assert!(harness.dropped);
}

#[test]
fn has_the_code_of_what_went_wrong() {
    let limits = Config::default().max_read_message_size(1000).max_read_frame_size(100).max_fragments(3);
    let fragments = |count: usize| {
        frames(Version::Rfc6455, |sender| {
            sender.binary(&vec![0; count * 10], NonZeroUsize::new(10)).unwrap();
        })
    };
    for (octets, code) in [
        (frames(Version::Rfc6455, |sender| sender.text(&"x".repeat(101), None).unwrap()), 1009),
        (fragments(4), 1008),
        (b"\x81\x82\0\0\0\0\xC3\x28".to_vec(), 1007),
        (b"\x81\x02hi".to_vec(), 1002),
        (b"\x88\x81\0\0\0\0\x03".to_vec(), 1002),
    ] {
        let mut harness = Harness::new(limits.clone());
        harness.send(&request(Version::Rfc6455, "/"));
        harness.expect_101();
        harness.send(&octets);
        assert!(matches!(&harness.got()[..], [Got::Close(Some((got, _)))] if *got == code), "{code}");
    }
}

#[test]
fn in_draft_0_and_hixie_75_may_be_the_end_of_the_stream() {
    for version in [Version::Hybi00, Version::Hixie75] {
        for before in [&b""[..], b"\0whole\xFF", b"\x80\x02ab\x01skipped\xFF"] {
            let mut harness = Harness::open(version, "/");
            harness.send(before);
            harness.end_of_input();
            assert!(harness.dropped);
            assert_eq!(harness.resource.take().last().unwrap(), "disconnected 1005 \"\": closed");
        }
        // But not amid a frame, however little of it has come.
        for half in [&b"\0half"[..], b"\0", b"\xFF", b"\x80\x02a", b"\x80\x82", b"\x01skip"] {
            let mut harness = Harness::open(version, "/");
            harness.send(half);
            harness.end_of_input();
            harness.recorder(&["connected", "disconnected 1006 \"\": vanished"]);
        }
    }
}

/// The outbox was full when the client was closed, and is empty when that is noticed.
#[test]
fn what_is_not_delivered_is_counted_whatever_was_waited_for() {
    for (last, end) in [("close", "1000 \"\": closed"), ("abort", "1006 \"\": aborted")] {
        let mut harness = Harness::open(Version::Rfc6455, "/");
        harness.room = 0;
        harness.send(&text("a")); // its answer cannot be written, so there is a deadline for that
        harness.room = usize::MAX;
        harness.send(&[text(last), text("b"), text("c")].concat());
        harness.send(&close(CloseCode::NORMAL, ""));
        harness.recorder(&[
            "connected",
            "text a",
            &format!("text {last}"),
            &format!("disconnected {end}, 2 undelivered"),
        ]);
    }
}
