use super::*;

#[test]
fn of_the_socket_are_told_once() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    let lost = || io::Error::from(io::ErrorKind::ConnectionReset);
    harness.connection.read_failed(lost(), &context(&harness.shared));
    harness.connection.read_failed(lost(), &context(&harness.shared));
    harness.drive();
    assert!(harness.dropped);
    let lines = harness.resource.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("disconnected 1006 \"\": failed"), "{lines:?}");
}

#[test]
fn of_a_handler_close_that_client_with_1011() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("a"), text("panic"), text("b")].concat());
    assert_eq!(harness.got(), [Got::Text("a".into()), Got::Close(Some((1011, String::new())))]);
    assert!(harness.shut && !harness.dropped);
    let end = "disconnected 1006 \"\": a handler panicked, 1 undelivered";
    harness.recorder(&["connected", "text a", "text panic", end]);
    harness.end_of_input();
    assert!(harness.dropped);
    harness.recorder(&[]);
}

#[test]
fn of_the_last_handler_change_nothing() {
    let mut harness = Harness::open(Version::Rfc6455, "/?panic-disconnected");
    harness.send(&close(CloseCode::NORMAL, ""));
    assert_eq!(harness.got(), [Got::Close(Some((1000, String::new())))]);
    assert!(harness.dropped);
    let mut harness = Harness::open(Version::Rfc6455, "/?panic-disconnected");
    harness.connection.kill();
    harness.drive();
    assert!(harness.dropped);
    harness.recorder(&["connected", "disconnected 1006 \"\": the server stopped"]);
}

#[test]
fn a_client_that_is_aborted_goes_at_once() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("a"), text("abort"), text("b")].concat());
    assert!(harness.dropped && harness.out.is_empty(), "what was queued is lost");
    harness.recorder(&[
        "connected",
        "text a",
        "text abort",
        "disconnected 1006 \"\": aborted, 1 undelivered",
    ]);
}

#[test]
fn a_session_that_is_dropped_tells_its_resource() {
    let harness = Harness::open(Version::Rfc6455, "/");
    let client = harness.resource.client();
    drop(harness.connection);
    assert_eq!(harness.resource.take(), ["connected", "disconnected 1006 \"\": the server stopped"]);
    assert_eq!(client.send_text("x"), Err(crate::client::outcome::SendError::Closed));
}

#[test]
fn of_writing_do_not_cost_what_was_read() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("one"), text("two")].concat());
    harness.resource.take();
    let failed = io::Error::from(io::ErrorKind::BrokenPipe);
    harness.connection.write_failed(failed, &context(&harness.shared));
    harness.drive();
    assert_eq!(harness.resource.client().send_text("x"), Err(crate::client::outcome::SendError::Closed));
    harness.recorder(&[]);
    harness.resource.client().resume();
    harness.drive();
    harness.recorder(&["text one", "text two"]);
    assert!(harness.connection.has_failed_to_write() && !harness.dropped);
    // What the system held is read to its end, too.
    harness.send(&text("three"));
    harness.end_of_input();
    let lines = harness.resource.take();
    assert_eq!(lines[0], "text three");
    assert!(lines[1].starts_with("disconnected 1006 \"\": failed: "), "{lines:?}");
    assert!(harness.dropped);
}

#[test]
fn of_writing_leave_the_application_some_time_and_count_what_is_left() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("one"), text("two")].concat());
    let failed = io::Error::from(io::ErrorKind::BrokenPipe);
    harness.connection.write_failed(failed, &context(&harness.shared));
    harness.drive();
    harness.pass(SECOND * 4);
    assert!(!harness.dropped);
    harness.pass(SECOND);
    assert!(harness.dropped);
    let lines = harness.resource.take();
    assert!(lines.last().unwrap().ends_with(", 2 undelivered"), "{lines:?}");
}
