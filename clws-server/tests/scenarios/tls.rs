//! TLS in the shards.

use crate::common::tls::{Identity, open, start};
use crate::common::{ALL_VERSIONS, Probe, Received, config, text};
use clws_server::Version;

#[test]
fn clients_of_all_versions_connect_and_close() {
    let (probe, _) = Probe::new();
    let identity = Identity::new("localhost");
    let server = start(config(), &identity.tls(), probe);
    for version in ALL_VERSIONS {
        let mut peer = open(&server, identity.client(), version);
        peer.text("hello");
        assert_eq!(peer.next(), text("hello"));
        peer.send(|sender| sender.close_without_code());
        assert_eq!(peer.next(), Received::Close(None));
        assert_eq!(peer.next(), Received::End, "{version:?}: not without a close_notify");
    }
    server.wait_for_clients(0);
}

#[test]
fn messages_of_all_sizes_are_echoed() {
    let (probe, _) = Probe::new();
    let identity = Identity::new("localhost");
    let server = start(config(), &identity.tls(), probe);
    let mut peer = open(&server, identity.client(), Version::Rfc6455);
    for size in [0, 1, 125, 126, 16_380, 16_384, 16_385, 65_535, 65_536, 1 << 20, 5 << 20] {
        let message: Vec<u8> = (0..=255).cycle().take(size).collect();
        peer.binary(&message);
        assert!(peer.next() == Received::Binary(message), "{size}");
    }
    peer.send(|sender| (0..5000).for_each(|i| sender.text(&i.to_string(), None).unwrap()));
    for i in 0..5000 {
        assert_eq!(peer.next(), text(&i.to_string()));
    }
}
