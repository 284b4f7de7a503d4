use super::*;

#[test]
fn an_idle_client_holds_no_buffer() {
    let mut world = World::open(Version::Rfc6455, "/");
    for _ in 0..3 {
        world.send(&text(&"x".repeat(5000)));
        world.got();
        let Stage::Open(open) = &world.session.stage else { panic!() };
        assert_eq!(open.receiver.held(), 0);
        assert_eq!(open.client.buffered_amount(), 0);
        assert!(!open.client.has_buffer());
    }
}

#[test]
fn a_client_that_is_gone_keeps_nothing_that_is_sent_to_it() {
    let mut world = World::open(Version::Rfc6455, "/");
    let client = world.resource.client();
    world.session.kill();
    for _ in 0..3 {
        assert!(client.send_text("x").is_err());
        assert_eq!(client.buffered_amount(), 0);
        assert!(!client.has_buffer());
    }
    world.settle();
}

#[test]
fn caps_are_the_configs() {
    let config = Config::default().max_header_size(77).protocol_76_00_support(true);
    assert_eq!(config.caps(), Caps::default().with_max_head_bytes(77).with_hixie(true));
}
