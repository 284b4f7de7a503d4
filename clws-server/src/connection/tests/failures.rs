//! Errors of the socket and panics of handlers.

use super::*;

#[test]
fn reports_a_socket_error_once() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    harness.connection.read_failed(reset(), &context(&harness.shared));
    harness.connection.read_failed(reset(), &context(&harness.shared));
    harness.drive();
    assert!(harness.dropped);
    let calls = harness.resource.take();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[1].starts_with("disconnected 1006 \"\": failed"), "{calls:?}");
}

#[test]
fn closes_with_1011_when_a_handler_panics() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("a"), text("panic"), text("b")].concat());
    assert_eq!(
        harness.received(),
        [Received::Text("a".into()), Received::Close(Some((1011, String::new())))]
    );
    assert!(harness.shut && !harness.dropped);
    let end = "disconnected 1006 \"\": a handler panicked, 1 undelivered";
    harness.expect_calls(&["connected", "text a", "text panic", end]);
    harness.end_of_input();
    assert!(harness.dropped);
    harness.expect_calls(&[]);
}

#[test]
fn ignores_a_panic_in_disconnected() {
    let mut harness = Harness::open(Version::Rfc6455, "/?panic-disconnected");
    harness.send(&close(CloseCode::NORMAL, ""));
    assert_eq!(harness.received(), [Received::Close(Some((1000, String::new())))]);
    assert!(harness.dropped);
    let mut harness = Harness::open(Version::Rfc6455, "/?panic-disconnected");
    harness.connection.kill();
    harness.drive();
    assert!(harness.dropped);
    harness.expect_calls(&["connected", "disconnected 1006 \"\": the server stopped"]);
}

#[test]
fn drops_an_aborted_client_at_once() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("a"), text("abort"), text("b")].concat());
    assert!(harness.dropped && harness.out.is_empty(), "queued output is discarded");
    harness.expect_calls(&[
        "connected",
        "text a",
        "text abort",
        "disconnected 1006 \"\": aborted, 1 undelivered",
    ]);
}

#[test]
fn dropping_a_connection_notifies_its_resource() {
    let harness = Harness::open(Version::Rfc6455, "/");
    let client = harness.resource.client();
    drop(harness.connection);
    assert_eq!(harness.resource.take(), ["connected", "disconnected 1006 \"\": the server stopped"]);
    assert_eq!(client.send_text("x"), Err(crate::client::outcome::SendError::Closed));
}

#[test]
fn a_write_error_does_not_discard_received_messages() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("one"), text("two")].concat());
    harness.resource.take();
    let failed = io::Error::from(io::ErrorKind::BrokenPipe);
    harness.connection.write_failed(failed, &context(&harness.shared));
    harness.drive();
    assert_eq!(harness.resource.client().send_text("x"), Err(crate::client::outcome::SendError::Closed));
    harness.expect_calls(&[]);
    harness.resource.client().resume();
    harness.drive();
    harness.expect_calls(&["text one", "text two"]);
    assert!(harness.connection.has_failed_to_write() && !harness.dropped);
    // Data in the system's buffer is also read to its end.
    harness.send(&text("three"));
    harness.end_of_input();
    let calls = harness.resource.take();
    assert_eq!(calls[0], "text three");
    assert!(calls[1].starts_with("disconnected 1006 \"\": failed: "), "{calls:?}");
    assert!(harness.dropped);
}

#[test]
fn after_a_write_error_the_application_has_until_close_timeout() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&[text("pause"), text("one"), text("two")].concat());
    let failed = io::Error::from(io::ErrorKind::BrokenPipe);
    harness.connection.write_failed(failed, &context(&harness.shared));
    harness.drive();
    harness.advance(SECOND * 4);
    assert!(!harness.dropped);
    harness.advance(SECOND);
    assert!(harness.dropped);
    let calls = harness.resource.take();
    assert!(calls.last().unwrap().ends_with(", 2 undelivered"), "{calls:?}");
}

/// Its messages waited because it read no answers. Now no answer is left to read.
#[test]
fn a_reset_above_the_high_water_mark_does_not_delay_received_messages() {
    let mut harness = Harness::with(Config::default().write_high_water(0), Version::Rfc6455, "/");
    harness.space = 0;
    harness.send(&[text("one"), text("two"), text("three")].concat());
    harness.expect_calls(&["connected", "text one"]);
    (harness.is_reset, harness.space) = (true, usize::MAX);
    harness.drive();
    harness.expect_calls(&["text two", "text three"]);
    harness.end_of_input();
    assert!(harness.dropped);
}

/// A request that stays would take the place of other recordings.
#[cfg(feature = "capture")]
#[test]
fn forgets_the_recording_of_a_client_that_ends_before_it_begins() {
    use crate::capture::Capture;
    use crate::capture::recorder::Recorder;
    use crate::guard::DebugOn;

    let directory = std::env::temp_dir().join(format!("clws-forgets-{}", std::process::id()));
    let recorder = Recorder::start(Capture::new(&directory), DebugOn::default()).unwrap();
    let mut harness = Harness::open(Version::Rfc6455, "/");
    let _ = harness.shared.context.shared.recorder.set(Arc::clone(&recorder));
    harness.space = 0;
    harness.send(&text("queued")); // a recording waits until everything is written
    harness.resource.client().capture().unwrap();
    assert!(recorder.has_requests());
    harness.send(&[0xFF; 2]); // breaks the protocol
    harness.space = usize::MAX;
    harness.drive();
    assert!(harness.shut && !harness.dropped);
    harness.end_of_input();
    assert!(harness.dropped && !recorder.has_requests());
    let _ = std::fs::remove_dir_all(directory);
}
