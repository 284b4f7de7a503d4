//! Pings of both sides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use clws_server::{Config, Version};
use common::{Got, HYBI, Probe, Running, Seen};

in_both_modes!(the_server_answers, the_resource_hears_of_answers);

fn the_server_answers(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    for version in &HYBI {
        let mut peer = server.connect(*version, "/");
        peer.send(|sender| (0..10u8).for_each(|i| sender.ping(&vec![i; usize::from(i) * 12]).unwrap()));
        for i in 0..10u8 {
            assert_eq!(peer.next(), Got::Pong(vec![i; usize::from(i) * 12]));
        }
    }
    assert_eq!(diary.count(|seen| matches!(seen, Seen::Pong(_))), 0);
}

fn the_resource_hears_of_answers(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = diary.connected();
    client.ping(b"are you there?").unwrap();
    assert_eq!(peer.next(), Got::Ping(b"are you there?".to_vec()));
    client.pong(b"a heartbeat").unwrap();
    assert_eq!(peer.next(), Got::Pong(b"a heartbeat".to_vec()));
    peer.send(|sender| {
        sender.pong(b"are you there?").unwrap();
        sender.pong(b"").unwrap();
    });
    for expected in [&b"are you there?"[..], b""] {
        let Seen::Pong(payload) = diary.next() else { panic!() };
        assert_eq!(payload, expected);
    }
}
