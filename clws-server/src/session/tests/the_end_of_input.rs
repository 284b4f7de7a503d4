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
