use super::*;

#[test]
fn begun_by_the_client_is_answered_with_its_code() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[text("a"), close(CloseCode::new(4321), "bye"), text("b")].concat());
    assert_eq!(world.got(), [Got::Text("a".into()), Got::Close(Some((4321, String::new())))]);
    world.diary(&["connected", "text a", "disconnected 4321 \"bye\": closed"]);
    assert!(world.dropped);
}

#[test]
fn without_a_code_is_1005() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&frames(Version::Rfc6455, Sender::close_without_code));
    assert_eq!(world.got(), [Got::Close(None)]);
    world.diary(&["connected", "disconnected 1005 \"\": closed"]);
}

#[test]
fn goes_out_before_the_socket_is_dropped() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.room = 0;
    world.send(&[text("a"), close(CloseCode::NORMAL, "")].concat());
    world.diary(&["connected", "text a", "disconnected 1000 \"\": closed"]);
    assert!(!world.dropped);
    world.room = 4;
    world.settle();
    assert!(!world.dropped);
    world.room = 3;
    world.settle();
    assert_eq!(world.got(), [Got::Text("a".into()), Got::Close(Some((1000, String::new())))]);
    assert!(world.dropped);
}

#[test]
fn to_a_peer_that_does_not_read_is_given_up() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.room = 0;
    world.send(&close(CloseCode::NORMAL, ""));
    world.pass(world.shared.config.write_timeout);
    assert!(world.dropped);
    assert_eq!(world.session.queued(), 0);
    world.diary(&["connected", "disconnected 1000 \"\": closed"]);
}

#[test]
fn begun_here_waits_for_the_answer() {
    for version in Version::ALL.into_iter().filter(|version| version.has_close_frame()) {
        let mut world = World::open(version, "/");
        world.send(&frames(version, |sender| {
            sender.text("close", None).unwrap();
            sender.text("after", None).unwrap();
        }));
        let said = (!version.is_hixie()).then(|| (1000, "enough".to_owned()));
        assert_eq!(world.got(), [Got::Close(said)]);
        let client = world.resource.client();
        assert_eq!(client.send_text("x"), Err(crate::SendError::Closed));
        client.close(CloseCode::NORMAL, "");
        world.pass(SECOND);
        assert!(!world.dropped && !world.shut);
        world.send(&frames(version, |sender| {
            sender.text("still not heard", None).unwrap();
            sender.close(CloseCode::GOING_AWAY, "").unwrap();
        }));
        assert!(world.dropped && world.out.is_empty());
        let code = if version.is_hixie() { 1005 } else { 1001 };
        world.diary(&[
            "connected",
            "text close",
            &format!("disconnected {code} \"\": closed, 2 undelivered"),
        ]);
    }
}

#[test]
fn that_nobody_answers_times_out() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&text("close"));
    // Pings and messages of a client that does not close do not delay it.
    world.pass(SECOND * 4);
    world.send(&frames(Version::Rfc6455, |sender| sender.ping(b"").unwrap()));
    assert_eq!(world.got(), [Got::Close(Some((1000, "enough".into())))], "and no pong");
    world.pass(SECOND);
    assert!(world.dropped);
    world.diary(&["connected", "text close", "disconnected 1006 \"\": did not answer a close frame"]);
}

#[test]
fn behind_a_backlog_times_out_too() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.room = 0;
    world.send(&text("backlog"));
    world.resource.client().close(CloseCode::NORMAL, "");
    world.settle();
    world.pass(SECOND * 5);
    assert!(world.dropped);
}

#[test]
fn waits_for_a_backlog_that_is_read() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.room = 0;
    world.send(&text(&"x".repeat(1000)));
    world.resource.client().close(CloseCode::NORMAL, "");
    world.settle();
    for _ in 0..4 {
        world.pass(SECOND * 4);
        world.room = 200;
        world.settle();
    }
    world.room = usize::MAX;
    world.settle();
    assert_eq!(world.got(), [Got::Text("x".repeat(1000)), Got::Close(Some((1000, String::new())))]);
    world.pass(SECOND * 4);
    assert!(!world.dropped);
    world.pass(SECOND);
    assert!(world.dropped);
}

#[test]
fn whoever_comes_before_the_deadline_is_told_of_it_again() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&text("close"));
    let at = world.deadline.take().unwrap();
    // A timer that is early, or another connection's that had the same slot.
    virtual_clock::set(Some(at - Duration::from_nanos(1)));
    world.session.timed_out(&context(&world.shared));
    assert!(!world.dropped);
    assert_eq!(world.session.new_deadline(), Some(at));
    assert_eq!(world.session.new_deadline(), None);
    assert_eq!(world.session.told_deadline(), Some(at));
}

#[test]
fn of_a_protocol_error_drains_what_the_peer_still_sends() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[&text("a")[..], &[0xF1, 0x80, 1, 2, 3, 4], &text("b")].concat());
    let got = world.got();
    assert_eq!(got[0], Got::Text("a".into()));
    assert!(matches!(&got[1], Got::Close(Some((1002, reason))) if !reason.is_empty()), "{got:?}");
    assert!(world.shut && !world.dropped);
    world.diary(&[
        "connected",
        "text a",
        "disconnected 1006 \"\": broke the protocol: a reserved bit is set",
    ]);
    world.send(&text("c"));
    world.diary(&[]);
    world.end_of_input();
    assert!(world.dropped);
}

#[test]
fn of_a_protocol_error_ends_though_the_peer_does_not() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[0xFF; 9]);
    assert!(world.shut && !world.dropped);
    world.pass(SECOND * 5);
    assert!(world.dropped);
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
        let mut world = World::new(limits.clone());
        world.send(&request(Version::Rfc6455, "/"));
        world.expect_101();
        world.send(&octets);
        assert!(matches!(&world.got()[..], [Got::Close(Some((got, _)))] if *got == code), "{code}");
    }
}

#[test]
fn in_draft_0_and_hixie_75_may_be_the_end_of_the_stream() {
    for version in [Version::Hybi00, Version::Hixie75] {
        for before in [&b""[..], b"\0whole\xFF", b"\x80\x02ab\x01skipped\xFF"] {
            let mut world = World::open(version, "/");
            world.send(before);
            world.end_of_input();
            assert!(world.dropped);
            assert_eq!(world.resource.take().last().unwrap(), "disconnected 1005 \"\": closed");
        }
        // But not amid a frame, however little of it has come.
        for half in [&b"\0half"[..], b"\0", b"\xFF", b"\x80\x02a", b"\x80\x82", b"\x01skip"] {
            let mut world = World::open(version, "/");
            world.send(half);
            world.end_of_input();
            world.diary(&["connected", "disconnected 1006 \"\": vanished"]);
        }
    }
}

/// The outbox was full when the client was closed, and is empty when that is noticed.
#[test]
fn what_is_not_delivered_is_counted_whatever_was_waited_for() {
    for (last, end) in [("close", "1000 \"\": closed"), ("abort", "1006 \"\": aborted")] {
        let mut world = World::open(Version::Rfc6455, "/");
        world.room = 0;
        world.send(&text("a")); // its answer cannot be written, so there is a deadline for that
        world.room = usize::MAX;
        world.send(&[text(last), text("b"), text("c")].concat());
        world.send(&close(CloseCode::NORMAL, ""));
        world.diary(&[
            "connected",
            "text a",
            &format!("text {last}"),
            &format!("disconnected {end}, 2 undelivered"),
        ]);
    }
}
