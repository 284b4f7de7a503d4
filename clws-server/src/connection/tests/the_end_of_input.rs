use super::*;

#[test]
fn before_or_amid_the_request_is_no_event() {
    for sent in [0, 1, 40] {
        let mut harness = Harness::new(Config::default());
        harness.send(&request(Version::Rfc6455, "/")[..sent]);
        harness.end_of_input();
        assert!(harness.dropped && harness.out.is_empty());
        harness.recorder(&[]);
    }
}

#[test]
fn of_an_open_connection_is_abnormal_and_lets_the_backlog_out() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.room = 0;
    harness.send(&text("echo me"));
    harness.end_of_input();
    harness.recorder(&["connected", "text echo me", "disconnected 1006 \"\": vanished"]);
    assert!(!harness.dropped);
    harness.room = usize::MAX;
    harness.drive();
    assert_eq!(harness.got(), [Got::Text("echo me".into())]);
    assert!(harness.dropped);
}

#[test]
fn in_place_of_the_close_frame_is_abnormal() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("close"));
    harness.end_of_input();
    assert!(harness.dropped);
    harness.recorder(&["connected", "text close", "disconnected 1006 \"\": vanished"]);
}

#[test]
fn before_the_last_octets_are_out_waits_for_them() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.room = 0;
    harness.send(&[0xFF; 9]);
    harness.end_of_input();
    assert!(!harness.dropped);
    harness.room = usize::MAX;
    harness.drive();
    assert!(harness.dropped);
    assert_eq!(harness.got().len(), 1);
}

/// A page on a slow line: as long as the client reads, its time begins anew.
#[test]
fn of_a_long_answer_comes_when_it_is_read() {
    let mut harness = Harness::new(Config::default().write_timeout(2 * SECOND));
    harness.shared.resources.http(|_| crate::HttpResponse::text(200, "x".repeat(1000)));
    harness.room = 0;
    harness.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..20 {
        harness.pass(SECOND);
        harness.room = 40;
        harness.drive();
    }
    assert!(!harness.dropped && !harness.shut);
    harness.pass(SECOND * 2);
    assert!(harness.dropped, "it does not read any more");

    // The same for what a client had queued when it closed.
    let mut harness = Harness::with(Config::default().write_timeout(2 * SECOND), Version::Rfc6455, "/");
    harness.room = 0;
    harness.resource.client().send_text(&"x".repeat(500)).unwrap();
    harness.drive();
    harness.send(&close(CloseCode::NORMAL, ""));
    for _ in 0..20 {
        harness.pass(SECOND);
        harness.room = 40;
        harness.drive();
    }
    assert!(harness.dropped);
    assert!(matches!(harness.got()[..], [Got::Text(_), Got::Close(_)]));
}

#[test]
fn that_nobody_reads_leaves_the_application_some_time() {
    let mut harness = Harness::with(Config::default().close_timeout(2 * SECOND), Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("before")].concat());
    harness.recorder(&["connected", "text pause"]);
    let context = context(&harness.shared);
    harness.connection.broken(&context);
    harness.drive();
    harness.pass(SECOND);
    assert!(!harness.dropped);
    harness.pass(SECOND);
    assert!(harness.dropped);
    harness.recorder(&["disconnected 1006 \"\": vanished, 1 undelivered"]);
}
