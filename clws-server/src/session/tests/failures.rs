use super::*;

#[test]
fn of_the_socket_are_told_once() {
    let mut world = World::open(Version::Rfc6455, "/");
    let lost = || io::Error::from(io::ErrorKind::ConnectionReset);
    world.session.read_failed(lost(), &context(&world.shared));
    world.session.read_failed(lost(), &context(&world.shared));
    world.settle();
    assert!(world.dropped);
    let lines = world.resource.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("disconnected 1006 \"\": failed"), "{lines:?}");
}

#[test]
fn of_a_handler_close_that_client_with_1011() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[text("a"), text("panic"), text("b")].concat());
    assert_eq!(world.got(), [Got::Text("a".into()), Got::Close(Some((1011, String::new())))]);
    assert!(world.shut && !world.dropped);
    let end = "disconnected 1006 \"\": a handler panicked, 1 undelivered";
    world.diary(&["connected", "text a", "text panic", end]);
    world.end_of_input();
    assert!(world.dropped);
    world.diary(&[]);
}

#[test]
fn of_the_last_handler_change_nothing() {
    let mut world = World::open(Version::Rfc6455, "/?panic-disconnected");
    world.send(&close(CloseCode::NORMAL, ""));
    assert_eq!(world.got(), [Got::Close(Some((1000, String::new())))]);
    assert!(world.dropped);
    let mut world = World::open(Version::Rfc6455, "/?panic-disconnected");
    world.session.kill();
    world.settle();
    assert!(world.dropped);
    world.diary(&["connected", "disconnected 1006 \"\": the server stopped"]);
}

#[test]
fn a_client_that_is_aborted_goes_at_once() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[text("a"), text("abort"), text("b")].concat());
    assert!(world.dropped && world.out.is_empty(), "what was queued is lost");
    world.diary(&["connected", "text a", "text abort", "disconnected 1006 \"\": aborted, 1 undelivered"]);
}

#[test]
fn a_session_that_is_dropped_tells_its_resource() {
    let world = World::open(Version::Rfc6455, "/");
    let client = world.resource.client();
    drop(world.session);
    assert_eq!(world.resource.take(), ["connected", "disconnected 1006 \"\": the server stopped"]);
    assert_eq!(client.send_text("x"), Err(crate::SendError::Closed));
}

#[test]
fn of_writing_do_not_cost_what_was_read() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[text("pause"), text("one"), text("two")].concat());
    world.resource.take();
    let failed = io::Error::from(io::ErrorKind::BrokenPipe);
    world.session.write_failed(failed, &context(&world.shared));
    world.settle();
    assert_eq!(world.resource.client().send_text("x"), Err(crate::SendError::Closed));
    world.diary(&[]);
    world.resource.client().resume();
    world.settle();
    world.diary(&["text one", "text two"]);
    assert!(world.session.has_failed_to_write() && !world.dropped);
    // What the system held is read to its end, too.
    world.send(&text("three"));
    world.end_of_input();
    let lines = world.resource.take();
    assert_eq!(lines[0], "text three");
    assert!(lines[1].starts_with("disconnected 1006 \"\": failed: "), "{lines:?}");
    assert!(world.dropped);
}

#[test]
fn of_writing_leave_the_application_some_time_and_count_what_is_left() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&[text("pause"), text("one"), text("two")].concat());
    let failed = io::Error::from(io::ErrorKind::BrokenPipe);
    world.session.write_failed(failed, &context(&world.shared));
    world.settle();
    world.pass(SECOND * 4);
    assert!(!world.dropped);
    world.pass(SECOND);
    assert!(world.dropped);
    let lines = world.resource.take();
    assert!(lines.last().unwrap().ends_with(", 2 undelivered"), "{lines:?}");
}
