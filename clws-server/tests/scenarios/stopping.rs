//! Stopping a server.

use std::net::TcpStream;
use std::time::Duration;

use crate::common;
use crate::common::{ALL_VERSIONS, Callback, Probe, Received, Running};
use clws_server::{CloseCode, Config, SendError, Server, Version};

in_both_modes!(
    closes_all_clients_with_1001,
    drops_clients_that_do_not_answer,
    stops_with_connections_in_every_state,
    can_be_stopped_before_it_runs,
    can_be_stopped_twice,
    stops_while_clients_connect,
);

fn closes_all_clients_with_1001(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut peers = ALL_VERSIONS.map(|version| server.connect(version, "/"));
    let clients = ALL_VERSIONS.map(|_| recorder.connected());
    server.handle.stop();
    for (peer, version) in peers.iter_mut().zip(ALL_VERSIONS) {
        let frame = (!version.is_hixie()).then(|| (1001, String::new()));
        assert_eq!(peer.next(), Received::Close(frame));
    }
    common::eventually("the server no longer listens", || TcpStream::connect(server.address()).is_err());
    for client in &clients {
        assert_eq!(client.send_text("too late"), Err(SendError::Closed));
    }
    for mut peer in peers {
        peer.finish();
    }
    server.wait().unwrap();
    assert_eq!(
        recorder
            .count(|callback| matches!(callback, Callback::Disconnected { cause, .. } if cause == "closed")),
        ALL_VERSIONS.len()
    );
    assert_eq!(server.handle.clients(), 0);
}

fn drops_clients_that_do_not_answer(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.close_timeout(Duration::from_millis(200)), probe);
    // A silent client, and a client with a full outbox that it does not read.
    let _silent = server.connect(Version::Rfc6455, "/");
    recorder.connected();
    let _slow = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    while client.send_text(&"x".repeat(100_000)).is_ok() {}
    server.stop().unwrap();
    for _ in 0..2 {
        let (code, _, cause) = recorder.disconnected();
        assert_eq!(code, 1006);
        assert!(cause == "did not answer a close frame" || cause == "the server stopped", "{cause}");
    }
    assert_eq!(client.buffered_amount(), 0);
    assert_eq!(server.handle.clients(), 0);
}

fn stops_with_connections_in_every_state(config: Config) {
    use std::io::Write;

    let (probe, recorder) = Probe::new();
    let server = Running::start(config.close_timeout(Duration::from_secs(1)).max_clients(4), probe);
    let _nothing = server.tcp();
    let mut partial = server.tcp();
    partial.write_all(b"GET / HT").unwrap();
    let mut closing = server.connect(Version::Rfc6455, "/");
    recorder.connected().close(CloseCode::new(4000));
    assert!(matches!(closing.next(), Received::Close(_)));
    let mut broken = server.connect(Version::Rfc6455, "/");
    broken.raw(&[0xFF; 10]);
    assert!(matches!(broken.next(), Received::Close(_)));
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503));
    let _refused = server.tcp();
    server.stop().unwrap();
    assert_eq!(server.handle.clients(), 0);
}

fn can_be_stopped_before_it_runs(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.handle().stop();
    Running::run(server).wait().unwrap();
}

fn can_be_stopped_twice(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    for _ in 0..3 {
        server.handle.stop();
    }
    assert_eq!(peer.next(), Received::Close(Some((1001, String::new()))));
    peer.finish();
    server.wait().unwrap();
    server.handle.stop();
}

fn stops_while_clients_connect(config: Config) {
    for round in 0..10 {
        let (probe, _) = Probe::new();
        let server = Running::start(config.clone(), probe);
        let address = server.address();
        let connecting: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(move || {
                    // Each connection is served, refused or closed, and never left open.
                    while let Ok(mut stream) = TcpStream::connect(address) {
                        use std::io::{Read, Write};
                        stream.set_read_timeout(Some(common::TIMEOUT)).unwrap();
                        let _ = stream.write_all(b"nonsense\n");
                        let mut answer = Vec::new();
                        match stream.read_to_end(&mut answer) {
                            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                                panic!("the connection was left open")
                            }
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(round * 3));
        server.stop().unwrap();
        for thread in connecting {
            thread.join().unwrap();
        }
        assert_eq!(server.handle.clients(), 0);
    }
}

#[test]
fn dropping_the_future_stops_the_server() {
    let server = Server::bind(common::config().listen("127.0.0.1:0")).unwrap();
    let (probe, recorder) = Probe::new();
    server.resources().register_shared("/", clws_server::Origins::any(), probe).unwrap();
    let (handle, addresses) = (server.handle(), server.local_addrs().unwrap());
    let running = async_std::task::spawn(server.run());
    let url = format!("ws://{}/", addresses[0]);
    let clws_server::Listen::Tcp(address) = addresses[0] else { panic!() };
    let request = clws_handshake::client::ClientRequest::new(Version::Rfc6455, &url);
    let mut peer = common::Peer::open(common::tcp(address), Version::Rfc6455, request).unwrap();
    async_std::task::block_on(running.cancel());
    assert_eq!(peer.next(), Received::Close(Some((1001, String::new()))));
    peer.finish();
    recorder.disconnected();
    common::eventually("no clients", || handle.clients() == 0);
}
