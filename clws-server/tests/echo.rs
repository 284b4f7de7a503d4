//! Messages of every size, in every version, side by side.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::num::NonZeroUsize;

use clws_server::{Config, Version};
use common::{ALL, Got, HYBI, Probe, Running, text};

in_both_modes!(
    every_version_side_by_side,
    binary_of_every_size,
    fragments_come_back_whole,
    many_in_one_write_come_back_in_order,
);

fn every_version_side_by_side(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    let mut peers: Vec<_> = ALL.iter().cycle().take(20).map(|&v| server.connect(v, "/")).collect();
    for round in 0..5 {
        for (index, peer) in peers.iter_mut().enumerate() {
            peer.text(&format!("{round} for {index}: grüß Gott 🦀"));
        }
        for (index, peer) in peers.iter_mut().enumerate() {
            assert_eq!(peer.next(), Got::Text(format!("{round} for {index}: grüß Gott 🦀")));
        }
    }
    assert_eq!(server.handle.clients(), 20);
    for peer in &mut peers {
        peer.send(|sender| sender.close_without_code());
        assert_eq!(peer.next(), Got::Close(None));
        assert_eq!(peer.next(), Got::End);
    }
    server.wait_for_clients(0);
}

fn binary_of_every_size(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    for size in [0, 1, 125, 126, 65_535, 65_536, 65_537, 1 << 20] {
        let message: Vec<u8> = (0..=255).cycle().take(size).collect();
        peer.binary(&message);
        assert!(peer.next() == Got::Binary(message), "{size}");
    }
}

fn fragments_come_back_whole(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    for version in &HYBI {
        let mut peer = server.connect(*version, "/");
        let message = "zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich ".repeat(100);
        peer.send(|sender| sender.text(&message, NonZeroUsize::new(7)).unwrap());
        assert_eq!(peer.next(), text(&message));
    }
}

fn many_in_one_write_come_back_in_order(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    for version in ALL {
        let mut peer = server.connect(version, "/");
        peer.send(|sender| (0..5000).for_each(|i| sender.text(&i.to_string(), None).unwrap()));
        for i in 0..5000 {
            assert_eq!(peer.next(), text(&i.to_string()));
        }
    }
}
