//! The stop of the server.

use super::*;

#[test]
fn closes_with_1001_and_waits_for_the_answer() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    assert_eq!(harness.received(), [Received::Close(Some((1001, String::new())))]);
    assert!(!harness.dropped);
    harness.send(&close(CloseCode::GOING_AWAY, ""));
    assert!(harness.dropped);
    harness.expect_calls(&["connected", "disconnected 1001 \"\": closed"]);
}

#[test]
fn answers_an_unfinished_handshake_with_503_and_retry_after() {
    for target in ["/?later", "/"] {
        let mut harness = Harness::new(Config::default());
        let mut request = request(Version::Rfc6455, target);
        if target == "/" {
            request.truncate(20);
        }
        harness.send(&request);
        harness.connection.stop(&context(&harness.shared));
        harness.drive();
        let answer = String::from_utf8(std::mem::take(&mut harness.out)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 5\r\n"), "{answer}");
        if let Some(decision) = harness.resource.decision.lock().unwrap().take() {
            assert!(!decision.is_waiting());
            decision.accept(Accept::new());
        }
        harness.drive();
        assert!(harness.shut && !harness.dropped && harness.out.is_empty());
        harness.end_of_input();
        assert!(harness.dropped);
    }
}

#[test]
fn drops_a_connection_without_a_request() {
    let mut harness = Harness::new(Config::default());
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    assert!(harness.dropped && harness.out.is_empty());
}

#[test]
fn delivers_messages_until_the_close_frame() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.connection.stop(&context(&harness.shared));
    harness.send(&[text("one"), text("two"), close(CloseCode::NORMAL, "")].concat());
    harness.expect_calls(&["connected", "text one", "text two", "disconnected 1000 \"\": closed"]);
}

#[test]
fn leaves_a_closing_client_to_its_handshake() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("close"));
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    assert_eq!(harness.received(), [Received::Close(Some((1000, "enough".into())))]);
    harness.connection.kill();
    harness.drive();
    assert!(harness.dropped);
    harness.expect_calls(&["connected", "text close", "disconnected 1006 \"\": the server stopped"]);
}
