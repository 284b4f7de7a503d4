//! Memory held for clients, and the memory budget.

use super::*;

#[test]
fn an_idle_client_holds_no_buffer() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    for _ in 0..3 {
        harness.send(&text(&"x".repeat(5000)));
        harness.received();
        let Stage::Open(open) = &harness.connection.stage else { panic!() };
        assert_eq!(open.receiver.held(), 0);
        assert_eq!(open.client.buffered_amount(), 0);
        assert!(!open.client.has_buffer());
    }
}

#[test]
fn a_disconnected_client_queues_nothing() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    let client = harness.resource.client();
    harness.connection.kill();
    for _ in 0..3 {
        assert!(client.send_text("x").is_err());
        assert_eq!(client.buffered_amount(), 0);
        assert!(!client.has_buffer());
    }
    harness.drive();
}

#[test]
fn the_handshake_limits_come_from_the_config() {
    let config = Config::default().max_header_size(77).protocol_76_00_support(true);
    assert_eq!(config.handshake_limits(), HandshakeLimits::default().max_head_bytes(77).hixie(true));
    let config = Config::default().protocol_75_support(true);
    assert_eq!(config.handshake_limits(), HandshakeLimits::default().hixie_75(true));
}

#[test]
fn drops_a_client_over_the_budget_at_once() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    let client = harness.resource.client();
    harness.resource.take();
    harness.space = 0;
    client.send_binary(&[0; 100_000]).unwrap();
    harness.send(&text(&"x".repeat(50_000))[..40_000]);
    let held = harness.connection.held();
    assert!((140_000..200_000).contains(&held), "{held}");
    assert!(harness.connection.held_input() >= 40_000);

    let shared = Arc::clone(&harness.shared);
    harness.connection.drop_for_memory(&context(&shared));
    harness.drive();
    harness.expect_calls(&["disconnected 1006 \"\": held too much memory"]);
    assert!(harness.dropped);
    assert_eq!((harness.connection.held(), client.buffered_amount(), shared.budget().dropped()), (0, 0, 1));
}

#[test]
fn reads_from_a_client_that_holds_little() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    let shared = Arc::clone(&harness.shared);
    let (some, budget) = (text(&"x".repeat(200_000)), shared.budget());
    harness.send(&some[..60_000]);
    assert!(!harness.connection.is_held_back(shared.budget()));
    budget.charge_bytes(budget.limit());
    assert!(!harness.connection.is_held_back(shared.budget()));
    harness.send(&some[60_000..130_000]);
    assert!(harness.connection.is_held_back(shared.budget()));
    let client = harness.resource.client();
    client.close(CloseCode::NORMAL);
    assert!(!harness.connection.is_held_back(shared.budget()), "the client's close frame must be read");
    budget.release_bytes(budget.limit());
    budget.give_back();
}

/// Its input would only wait in a mailbox.
#[test]
fn stops_reading_from_a_client_with_queued_messages_at_the_limit() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    let shared = Arc::clone(&harness.shared);
    let (client, budget) = (harness.resource.client(), shared.budget());
    budget.charge_bytes(budget.limit());
    assert!(budget.is_over() && !harness.connection.is_held_back(shared.budget()));
    client.set_has_queue();
    assert!(harness.connection.is_held_back(shared.budget()));
    budget.release_bytes(budget.limit());
    budget.give_back();
    assert!(!harness.connection.is_held_back(shared.budget()));
    harness.send(&close(CloseCode::NORMAL, ""));
}
