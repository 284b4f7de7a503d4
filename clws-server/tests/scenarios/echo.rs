//! Echoes of messages of all sizes in all versions.

use std::num::NonZeroUsize;

use crate::common::{ALL_VERSIONS, HYBI_VERSIONS, Probe, Received, Running, text};
use clws_server::{Config, Version};

in_both_modes!(
    echoes_in_all_versions_at_once,
    echoes_binary_messages_of_all_sizes,
    fragmented_messages_are_echoed_whole,
    pipelined_messages_are_echoed_in_order,
);

fn echoes_in_all_versions_at_once(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    let mut peers: Vec<_> = ALL_VERSIONS.iter().cycle().take(20).map(|&v| server.connect(v, "/")).collect();
    for round in 0..5 {
        for (index, peer) in peers.iter_mut().enumerate() {
            peer.text(&format!("{round} for {index}: grüß Gott 🦀"));
        }
        for (index, peer) in peers.iter_mut().enumerate() {
            assert_eq!(peer.next(), Received::Text(format!("{round} for {index}: grüß Gott 🦀")));
        }
    }
    assert_eq!(server.handle.clients(), 20);
    for peer in &mut peers {
        peer.send(|sender| sender.close_without_code());
        assert_eq!(peer.next(), Received::Close(None));
        assert_eq!(peer.next(), Received::End);
    }
    server.wait_for_clients(0);
}

fn echoes_binary_messages_of_all_sizes(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    for size in [0, 1, 125, 126, 65_535, 65_536, 65_537, 1 << 20] {
        let message: Vec<u8> = (0..=255).cycle().take(size).collect();
        peer.binary(&message);
        assert!(peer.next() == Received::Binary(message), "{size}");
    }
}

fn fragmented_messages_are_echoed_whole(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    for version in &HYBI_VERSIONS {
        let mut peer = server.connect(*version, "/");
        let message = "zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich ".repeat(100);
        peer.send(|sender| sender.text(&message, NonZeroUsize::new(7)).unwrap());
        assert_eq!(peer.next(), text(&message));
    }
}

fn pipelined_messages_are_echoed_in_order(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    for version in ALL_VERSIONS {
        let mut peer = server.connect(version, "/");
        peer.send(|sender| (0..5000).for_each(|i| sender.text(&i.to_string(), None).unwrap()));
        for i in 0..5000 {
            assert_eq!(peer.next(), text(&i.to_string()));
        }
    }
}
