use super::*;

#[test]
fn closes_with_1001_and_waits() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.session.stop();
    world.settle();
    assert_eq!(world.got(), [Got::Close(Some((1001, String::new())))]);
    assert!(!world.dropped);
    world.send(&close(CloseCode::GOING_AWAY, ""));
    assert!(world.dropped);
    world.diary(&["connected", "disconnected 1001 \"\": closed"]);
}

#[test]
fn drops_a_handshake_that_is_not_done() {
    let mut world = World::new(Config::default());
    world.send(b"GET / ");
    world.session.stop();
    world.settle();
    assert!(world.dropped);
}

#[test]
fn leaves_who_is_closing_to_that() {
    let mut world = World::open(Version::Rfc6455, "/");
    world.send(&text("close"));
    world.session.stop();
    world.settle();
    assert_eq!(world.got(), [Got::Close(Some((1000, "enough".into())))]);
    world.session.kill();
    world.settle();
    assert!(world.dropped);
    world.diary(&["connected", "text close", "disconnected 1006 \"\": the server stopped"]);
}
