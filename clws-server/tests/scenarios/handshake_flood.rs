//! Many connections that send nothing, or never finish their request.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::{Probe, Running, eventually};
use clws_server::{Config, HandshakeOutcome, Version};

in_both_modes!(a_flood_of_silent_connections_keeps_nobody_out, the_oldest_gets_503);

const MOST: usize = 20;

/// The server has room for 150 clients, and 400 connections send no request.
fn a_flood_of_silent_connections_keeps_nobody_out(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.max_handshakes(MOST).max_clients(150), probe);
    let mut first = server.connect(Version::Rfc6455, "/");
    let mut silent: Vec<TcpStream> = Vec::new();
    let mut clients = vec![];
    for round in 0..8 {
        for number in 0..50 {
            let mut stream = server.tcp();
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nX: ");
            }
            silent.push(stream);
        }
        let mut client = server.connect(Version::Rfc6455, "/");
        client.assert_echo("welcome");
        first.assert_echo("undisturbed");
        clients.push(client);
        let most = MOST + 1 + clients.len();
        eventually(&format!("room after round {round}"), || server.handle.clients() <= most);
    }
    clients.iter_mut().for_each(|client| client.assert_echo("still here"));
}

fn the_oldest_gets_503(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.max_handshakes(1), probe);
    let mut oldest = server.tcp();
    oldest.write_all(b"GET /").unwrap();
    // A task that has read is older than one that starts after it.
    eventually("the first bytes are read", || server.handle.stats().received.bytes > 0);
    let mut newest = server.tcp();
    let mut answer = String::new();
    oldest.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("too many clients have not sent their request"), "{answer}");
    assert_eq!(server.handle.stats().handshakes_with(HandshakeOutcome::HandshakeLimit), 1);
    newest.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut status = [0; 12];
    newest.read_exact(&mut status).unwrap();
    assert_ne!(&status, b"HTTP/1.1 503");
}
