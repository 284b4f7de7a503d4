use super::*;

#[test]
fn closes_with_1001_and_waits() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.session.stop(&context(&world.shared));
    world.settle();
    assert_eq!(world.got(), [Got::Close(Some((1001, String::new())))]);
    assert!(!world.dropped);
    world.send(&close(CloseCode::GOING_AWAY, ""));
    assert!(world.dropped);
    world.diary(&["connected", "disconnected 1001 \"\": closed"]);
}

#[test]
fn tells_a_handshake_that_is_not_done_to_come_again() {
    for target in ["/?later", "/"] {
        let mut world = World::new(Config::default());
        let mut request = request(Version::Rfc6455, target);
        if target == "/" {
            request.truncate(20);
        }
        world.send(&request);
        world.session.stop(&context(&world.shared));
        world.settle();
        let answer = String::from_utf8(std::mem::take(&mut world.out)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 5\r\n"), "{answer}");
        if let Some(decision) = world.resource.decision.lock().unwrap().take() {
            assert!(!decision.is_waiting());
            decision.accept(Accept::new());
        }
        world.settle();
        assert!(world.shut && !world.dropped && world.out.is_empty());
        world.end_of_input();
        assert!(world.dropped);
    }
}

#[test]
fn drops_a_connection_that_has_asked_for_nothing() {
    let mut world = World::new(Config::default());
    world.session.stop(&context(&world.shared));
    world.settle();
    assert!(world.dropped && world.out.is_empty());
}

#[test]
fn still_delivers_what_comes_before_the_answer() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.session.stop(&context(&world.shared));
    world.send(&[text("one"), text("two"), close(CloseCode::NORMAL, "")].concat());
    world.diary(&["connected", "text one", "text two", "disconnected 1000 \"\": closed"]);
}

#[test]
fn leaves_who_is_closing_to_that() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&text("close"));
    world.session.stop(&context(&world.shared));
    world.settle();
    assert_eq!(world.got(), [Got::Close(Some((1000, "enough".into())))]);
    world.session.kill();
    world.settle();
    assert!(world.dropped);
    world.diary(&["connected", "text close", "disconnected 1006 \"\": the server stopped"]);
}
