use super::*;

#[test]
fn before_or_amid_the_request_is_no_event() {
    for sent in [0, 1, 40] {
        let mut world = World::new(Config::default());
        world.send(&request(Version::Rfc6455, "/")[..sent]);
        world.end_of_input();
        assert!(world.dropped && world.out.is_empty());
        world.diary(&[]);
    }
}

#[test]
fn of_an_open_connection_is_abnormal_and_lets_the_backlog_out() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.room = 0;
    world.send(&text("echo me"));
    world.end_of_input();
    world.diary(&["connected", "text echo me", "disconnected 1006 \"\": vanished"]);
    assert!(!world.dropped);
    world.room = usize::MAX;
    world.settle();
    assert_eq!(world.got(), [Got::Text("echo me".into())]);
    assert!(world.dropped);
}

#[test]
fn in_place_of_the_close_frame_is_abnormal() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&text("close"));
    world.end_of_input();
    assert!(world.dropped);
    world.diary(&["connected", "text close", "disconnected 1006 \"\": vanished"]);
}

#[test]
fn before_the_last_octets_are_out_waits_for_them() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.room = 0;
    world.send(&[0xFF; 9]);
    world.end_of_input();
    assert!(!world.dropped);
    world.room = usize::MAX;
    world.settle();
    assert!(world.dropped);
    assert_eq!(world.got().len(), 1);
}

/// A page on a slow line: as long as the client reads, its time begins anew.
#[test]
fn of_a_long_answer_comes_when_it_is_read() {
    let mut world = World::new(Config::default().write_timeout(2 * SECOND));
    world.shared.resources.http(|_| crate::HttpResponse::text(200, "x".repeat(1000)));
    world.room = 0;
    world.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..20 {
        world.pass(SECOND);
        world.room = 40;
        world.settle();
    }
    assert!(!world.dropped && !world.shut);
    world.pass(SECOND * 2);
    assert!(world.dropped, "it does not read any more");

    // The same for what a client had queued when it closed.
    let mut world = World::with(Config::default().write_timeout(2 * SECOND), Version::Rfc6455, "/");
    world.room = 0;
    world.resource.client().send_text(&"x".repeat(500)).unwrap();
    world.settle();
    world.send(&close(CloseCode::NORMAL, ""));
    for _ in 0..20 {
        world.pass(SECOND);
        world.room = 40;
        world.settle();
    }
    assert!(world.dropped);
    assert!(matches!(world.got()[..], [Got::Text(_), Got::Close(_)]));
}

#[test]
fn that_nobody_reads_leaves_the_application_some_time() {
    let mut world = World::with(Config::default().close_timeout(2 * SECOND), Version::Rfc6455, "/");
    world.send(&[text("pause"), text("before")].concat());
    world.diary(&["connected", "text pause"]);
    let context = context(&world.shared);
    world.session.broken(&context);
    world.settle();
    world.pass(SECOND);
    assert!(!world.dropped);
    world.pass(SECOND);
    assert!(world.dropped);
    world.diary(&["disconnected 1006 \"\": vanished, 1 undelivered"]);
}
