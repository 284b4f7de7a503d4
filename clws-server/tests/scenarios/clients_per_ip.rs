//! More connections from one address than `max_clients_per_ip` allows.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::common::{Peer, Probe, Received, Running, TIMEOUT, eventually};
use clws_handshake::client::ClientRequest;
use clws_server::{Config, HandshakeOutcome, Version};
use socket2::{Domain, SockRef, Socket, Type};

in_both_modes!(
    an_address_with_too_many_gets_429_and_others_do_not,
    every_end_of_a_connection_frees_its_place,
    streams_count_if_they_have_an_address,
);

/// Connects from another loopback address, which only Linux has.
fn connect_from(server: &Running, address: [u8; 4]) -> Result<Peer, u16> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&server.address().into()).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let request = ClientRequest::new(Version::Rfc6455, "ws://server/").origin("http://here.example");
    Peer::open(std::net::TcpStream::from(socket), Version::Rfc6455, request)
}

fn an_address_with_too_many_gets_429_and_others_do_not(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.max_clients_per_ip(3), probe);
    let mut peers: Vec<_> = (0..3).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    for version in [Version::Rfc6455, Version::Hybi00, Version::Rfc6455] {
        assert_eq!(server.try_connect(version, "/").err(), Some(429));
    }
    assert_eq!(server.handle.stats().handshakes_with(HandshakeOutcome::AddressLimit), 3);
    if cfg!(target_os = "linux") {
        let mut others: Vec<_> = (0..3).map(|_| connect_from(&server, [127, 0, 0, 2]).unwrap()).collect();
        assert_eq!(connect_from(&server, [127, 0, 0, 2]).err(), Some(429));
        connect_from(&server, [127, 0, 0, 3]).unwrap().assert_echo("a third address");
        others.iter_mut().for_each(|peer| peer.assert_echo("another address"));
    }
    let mut leaving = peers.pop().unwrap();
    leaving.close(1000, "");
    assert!(matches!(leaving.next(), Received::Close(_)));
    assert_eq!(leaving.next(), Received::End);
    drop(leaving);
    eventually("a free place", || {
        server.try_connect(Version::Rfc6455, "/").map(|peer| peers.push(peer)).is_ok()
    });
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(429));
    peers.iter_mut().for_each(|peer| peer.assert_echo("still here"));
}

fn every_end_of_a_connection_frees_its_place(config: Config) {
    let (probe, recorder) = Probe::with(|_, text| assert!(text != "panic", "as requested"));
    let server = Running::start(config.max_clients_per_ip(1), probe);
    for way in 0..9 {
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
            2 => peer.text("panic"),
            3 => client.abort(),
            _ => {}
        }
        drop(peer);
        recorder.disconnected();
        server.wait_for_clients(0);
        // The handshakes of these connections end in other ways.
        let mut stream = server.tcp();
        match way {
            4 => drop(stream),
            5 => stream.write_all(b"GET / HTTP").unwrap(),
            6 => stream.write_all(b"nonsense\n").unwrap(),
            7 => {
                stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                let _ = stream.read(&mut [0; 1000]).unwrap();
            }
            _ => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
        }
    }
    eventually("a free place", || server.try_connect(Version::Rfc6455, "/").is_ok());
}

fn streams_count_if_they_have_an_address(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.max_clients_per_ip(1), probe);
    let stream = |peer| server.handle.serve_stream(futures::io::Cursor::new(Vec::new()), peer);
    let address = clws_server::Peer::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)));
    let never_polled = stream(address);
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(429));
    drop(never_polled);
    let others: Vec<_> = (0..3).map(|_| stream(clws_server::Peer::Stream)).collect();
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.assert_echo("streams without an address do not count");
    drop(others);
}
