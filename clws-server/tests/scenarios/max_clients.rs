//! More connections than `max_clients` allows.

use std::io::{Read, Write};
use std::time::Duration;

use crate::common::{Probe, Received, Running, eventually};
use clws_server::{Config, Version};
use socket2::SockRef;

in_both_modes!(
    gets_503_until_a_client_disconnects,
    refused_connections_do_not_count,
    every_end_of_a_connection_frees_its_place
);

fn gets_503_until_a_client_disconnects(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.max_clients(3), probe);
    let mut peers: Vec<_> = (0..3).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    for _ in 0..3 {
        assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503));
    }
    let mut leaving = peers.pop().unwrap();
    leaving.close(1000, "");
    assert!(matches!(leaving.next(), Received::Close(_)));
    assert_eq!(leaving.next(), Received::End);
    server.wait_for_clients(2);
    peers.push(server.connect(Version::Rfc6455, "/"));
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503));
    for peer in &mut peers {
        peer.assert_echo("still here");
    }
}

/// A connection that gets 503 and stays open does not count as a client.
fn refused_connections_do_not_count(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.max_clients(2), probe);
    let first = server.connect(Version::Rfc6455, "/");
    let mut second = server.connect(Version::Rfc6455, "/");
    let mut refused: Vec<_> = (0..20).map(|_| server.tcp()).collect();
    for stream in &mut refused {
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 503");
    }
    assert_eq!(server.handle.clients(), 2);
    drop(first);
    server.wait_for_clients(1);
    let mut third = server.connect(Version::Rfc6455, "/");
    third.assert_echo("in");
    second.assert_echo("still in");
    drop(refused);
}

fn every_end_of_a_connection_frees_its_place(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.max_clients(1), probe);
    for way in 0..8 {
        // The connection before may not be accepted yet.
        let mut peer = None;
        eventually("a free place", || {
            peer = server.try_connect(Version::Rfc6455, "/").ok();
            peer.is_some()
        });
        let mut peer = peer.unwrap();
        let client = recorder.connected();
        match way {
            0 => peer.close(1000, ""),
            1 => peer.raw(&[0xFF; 100]),
            2 => peer.assert_echo("before the drop"),
            3 => client.abort(),
            _ => {}
        }
        drop(peer);
        recorder.disconnected();
        server.wait_for_clients(0);
        let mut stream = server.tcp();
        match way {
            4 => drop(stream),
            5 => stream.write_all(b"GET / HTTP").unwrap(),
            6 => stream.write_all(b"nonsense\n").unwrap(),
            _ => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
        }
    }
    eventually("a free place", || server.try_connect(Version::Rfc6455, "/").is_ok());
}
