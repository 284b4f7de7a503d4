use super::*;

/// A client for which more is queued than its socket takes.
fn who_does_not_read() -> World {
    let mut world = World::open(Version::Rfc6455, "/");
    world.room = 10;
    world.resource.client().send_text(&"x".repeat(1000)).unwrap();
    world.settle();
    world.diary(&["connected"]);
    world
}

#[test]
fn nothing_in_time_ends_the_connection() {
    let mut world = who_does_not_read();
    world.pass(59 * SECOND);
    assert!(!world.dropped);
    world.pass(SECOND);
    assert!(world.dropped);
    world.diary(&["disconnected 1006 \"\": did not read what was sent"]);
}

#[test]
fn a_little_now_and_then_is_enough() {
    let mut world = who_does_not_read();
    for _ in 0..50 {
        world.pass(40 * SECOND);
        world.room = 1;
        world.settle();
    }
    assert!(!world.dropped);
    world.pass(60 * SECOND);
    assert!(world.dropped);
}

#[test]
fn all_of_it_has_no_deadline_any_more() {
    let mut world = who_does_not_read();
    world.room = usize::MAX;
    world.settle();
    world.pass(1000 * SECOND);
    assert!(!world.dropped);
    assert_eq!(world.got(), [Got::Text("x".repeat(1000))]);
    assert!(world.deadline.is_none());
}

#[test]
fn nothing_while_it_is_closed_is_a_matter_of_the_close_time_out() {
    let mut world = who_does_not_read();
    world.pass(10 * SECOND);
    world.resource.client().close(CloseCode::NORMAL, "");
    world.settle();
    world.pass(5 * SECOND);
    assert!(world.dropped);
    world.diary(&["disconnected 1006 \"\": did not answer a close frame"]);
}
