//! The end of a server: in peace, in haste, before it began.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::net::TcpStream;
use std::time::Duration;

use clws_server::{CloseCode, Config, SendError, Server, Version};
use common::{ALL, Got, Probe, Running, Seen};

in_both_modes!(
    in_peace,
    with_clients_that_are_stuck,
    with_clients_in_every_stage,
    before_it_runs,
    twice,
    while_clients_come,
);

fn in_peace(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let mut peers = ALL.map(|version| server.connect(version, "/"));
    let clients = ALL.map(|_| diary.connected());
    server.handle.stop();
    for (peer, version) in peers.iter_mut().zip(ALL) {
        let frame = (!version.is_hixie()).then(|| (1001, String::new()));
        assert_eq!(peer.next(), Got::Close(frame));
    }
    common::eventually("it listens no more", || TcpStream::connect(server.address()).is_err());
    for client in &clients {
        assert_eq!(client.send_text("too late"), Err(SendError::Closed));
    }
    for mut peer in peers {
        peer.finish();
    }
    server.wait().unwrap();
    assert_eq!(diary.count(|seen| matches!(seen, Seen::Gone { cause, .. } if cause == "closed")), ALL.len());
    assert_eq!(server.handle.clients(), 0);
}

fn with_clients_that_are_stuck(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config.close_timeout(Duration::from_millis(200)), probe);
    // One is silent, one has a backlog that it does not read.
    let _silent = server.connect(Version::Rfc6455, "/");
    diary.connected();
    let _slow = server.connect(Version::Rfc6455, "/");
    let client = diary.connected();
    while client.send_text(&"x".repeat(100_000)).is_ok() {}
    server.stop().unwrap();
    for _ in 0..2 {
        let (code, _, cause) = diary.gone();
        assert_eq!(code, 1006);
        assert!(cause == "did not answer a close frame" || cause == "the server stopped", "{cause}");
    }
    assert_eq!(client.buffered_amount(), 0);
    assert_eq!(server.handle.clients(), 0);
}

fn with_clients_in_every_stage(config: Config) {
    use std::io::Write;

    let (probe, diary) = Probe::new();
    let server = Running::start(config.close_timeout(Duration::from_secs(1)).max_clients(4), probe);
    let _nothing = server.tcp();
    let mut half = server.tcp();
    half.write_all(b"GET / HT").unwrap();
    let mut closing = server.connect(Version::Rfc6455, "/");
    diary.connected().close(CloseCode::new(4000));
    assert!(matches!(closing.next(), Got::Close(_)));
    let mut broken = server.connect(Version::Rfc6455, "/");
    broken.raw(&[0xFF; 10]);
    assert!(matches!(broken.next(), Got::Close(_)));
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503));
    let _refused = server.tcp();
    server.stop().unwrap();
    assert_eq!(server.handle.clients(), 0);
}

fn before_it_runs(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.handle().stop();
    Running::run(server).wait().unwrap();
}

fn twice(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    for _ in 0..3 {
        server.handle.stop();
    }
    assert_eq!(peer.next(), Got::Close(Some((1001, String::new()))));
    peer.finish();
    server.wait().unwrap();
    server.handle.stop();
}

fn while_clients_come(config: Config) {
    for round in 0..10 {
        let (probe, _) = Probe::new();
        let server = Running::start(config.clone(), probe);
        let address = server.address();
        let comers: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(move || {
                    // Each connection is served, or refused, or dropped; none is left hanging.
                    while let Ok(mut stream) = TcpStream::connect(address) {
                        use std::io::{Read, Write};
                        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
                        let _ = stream.write_all(b"nonsense\n");
                        let mut answer = Vec::new();
                        match stream.read_to_end(&mut answer) {
                            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                                panic!("left hanging")
                            }
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(round * 3));
        server.stop().unwrap();
        for comer in comers {
            comer.join().unwrap();
        }
        assert_eq!(server.handle.clients(), 0);
    }
}

/// A future that is dropped stops the server too.
#[test]
fn by_dropping_the_future() {
    let server = Server::bind(common::config().listen("127.0.0.1:0")).unwrap();
    let (probe, diary) = Probe::new();
    server.resources().register_shared("/", clws_server::Origins::any(), probe).unwrap();
    let (handle, addresses) = (server.handle(), server.local_addrs().unwrap());
    let running = async_std::task::spawn(server.run());
    let url = format!("ws://{}/", addresses[0]);
    let clws_server::Listen::Tcp(address) = addresses[0] else { panic!() };
    let request = clws_handshake::client::ClientRequest::new(Version::Rfc6455, &url);
    let mut peer = common::Peer::open(common::tcp(address), Version::Rfc6455, request).unwrap();
    async_std::task::block_on(running.cancel());
    assert_eq!(peer.next(), Got::Close(Some((1001, String::new()))));
    peer.finish();
    diary.gone();
    common::eventually("no clients", || handle.clients() == 0);
}
