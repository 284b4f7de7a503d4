//! Pings from clients and from the application.

use crate::common::{Callback, HYBI_VERSIONS, Probe, Received, Running};
use clws_server::{Config, Version};

in_both_modes!(the_server_answers_pings, the_resource_gets_pongs);

fn the_server_answers_pings(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    for version in &HYBI_VERSIONS {
        let mut peer = server.connect(*version, "/");
        peer.send(|sender| (0..10u8).for_each(|i| sender.ping(&vec![i; usize::from(i) * 12]).unwrap()));
        for i in 0..10u8 {
            assert_eq!(peer.next(), Received::Pong(vec![i; usize::from(i) * 12]));
        }
    }
    assert_eq!(recorder.count(|callback| matches!(callback, Callback::Pong(_))), 0);
}

fn the_resource_gets_pongs(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    client.ping(b"are you there?").unwrap();
    assert_eq!(peer.next(), Received::Ping(b"are you there?".to_vec()));
    client.pong(b"a heartbeat").unwrap();
    assert_eq!(peer.next(), Received::Pong(b"a heartbeat".to_vec()));
    peer.send(|sender| {
        sender.pong(b"are you there?").unwrap();
        sender.pong(b"").unwrap();
    });
    for expected in [&b"are you there?"[..], b""] {
        let Callback::Pong(payload) = recorder.next() else { panic!() };
        assert_eq!(payload, expected);
    }
}
