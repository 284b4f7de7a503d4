use super::*;

#[test]
fn closes_with_1001_and_waits() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    assert_eq!(harness.got(), [Got::Close(Some((1001, String::new())))]);
    assert!(!harness.dropped);
    harness.send(&close(CloseCode::GOING_AWAY, ""));
    assert!(harness.dropped);
    harness.recorder(&["connected", "disconnected 1001 \"\": closed"]);
}

#[test]
fn tells_a_handshake_that_is_not_done_to_come_again() {
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
fn drops_a_connection_that_has_asked_for_nothing() {
    let mut harness = Harness::new(Config::default());
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    assert!(harness.dropped && harness.out.is_empty());
}

#[test]
fn still_delivers_what_comes_before_the_answer() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.connection.stop(&context(&harness.shared));
    harness.send(&[text("one"), text("two"), close(CloseCode::NORMAL, "")].concat());
    harness.recorder(&["connected", "text one", "text two", "disconnected 1000 \"\": closed"]);
}

#[test]
fn leaves_who_is_closing_to_that() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.send(&text("close"));
    harness.connection.stop(&context(&harness.shared));
    harness.drive();
    assert_eq!(harness.got(), [Got::Close(Some((1000, "enough".into())))]);
    harness.connection.kill();
    harness.drive();
    assert!(harness.dropped);
    harness.recorder(&["connected", "text close", "disconnected 1006 \"\": the server stopped"]);
}
