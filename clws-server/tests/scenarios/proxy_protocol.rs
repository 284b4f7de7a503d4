//! Connections that begin with a header of the PROXY protocol.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use crate::common;
use crate::common::log::Log;
use crate::common::{ALL_VERSIONS, Probe, Running, eventually, read_to_end};
use clws_handshake::client::ClientRequest;
use clws_server::{Config, ForwardedHeader, HandshakeOutcome, Peer, Version};
use socket2::SockRef;
use tracing::Level;

in_both_modes!(
    the_client_is_the_source,
    a_header_may_arrive_in_pieces,
    a_connection_of_the_proxy_itself_has_its_address,
    anything_else_from_a_trusted_proxy_is_refused,
    peers_that_are_not_trusted_send_no_header,
    the_limit_for_each_address_counts_the_clients,
    a_header_that_does_not_come_has_the_deadline_of_the_handshake,
    a_proxy_after_the_proxy_is_believed_if_it_is_trusted,
);
in_own_process!(a_wrong_header_is_logged_as_a_warning, checks_of_the_health_are_not_logged_as_warnings);

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v2() -> Vec<u8> {
    let source = [203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb];
    [SIGNATURE, &[0x21, 0x11, 0, 15], &source, &[0x04, 0, 0]].concat() // with an empty TLV
}

fn local() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

fn behind(config: Config) -> Config {
    config.trusted_proxies(["127.0.0.1"]).proxy_protocol(true)
}

/// Sends a header and opens a client.
fn connect(server: &Running, header: &[u8], version: Version) -> Result<common::Peer, u16> {
    let mut stream = server.tcp();
    stream.write_all(header).unwrap();
    let request = ClientRequest::new(version, "ws://server/").origin("http://here.example");
    common::Peer::open(stream, version, request)
}

fn source() -> SocketAddr {
    "203.0.113.7:4711".parse().unwrap()
}

fn the_client_is_the_source(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(behind(config), probe);
    for header in [V1, &v2()] {
        for version in ALL_VERSIONS {
            let mut peer = connect(&server, header, version).unwrap();
            peer.assert_echo("behind a proxy");
            let client = recorder.connected();
            assert_eq!(client.remote_ip(), Some(source().ip()));
            assert_eq!(client.remote_port(), Some(4711));
            assert!(matches!(client.peer(), Peer::Tcp(proxy) if proxy.ip().is_loopback()));
        }
    }
}

fn a_header_may_arrive_in_pieces(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(behind(config.shards(1)), probe);
    let mut other = connect(&server, V1, Version::Rfc6455).unwrap();
    recorder.connected();
    let request = common::wire::request("/");
    for header in [V1, &v2(), b"PROXY UNKNOWN\r\n"] {
        let all = [header, request.as_bytes()].concat();
        // One piece, a piece that ends within or after the header, and single bytes.
        for cut in [0, 1, 5, 12, 13, header.len() - 1, header.len(), header.len() + 1] {
            let mut stream = server.tcp();
            let (first, rest) = all.split_at(cut);
            stream.set_nodelay(true).unwrap();
            stream.write_all(first).unwrap();
            other.assert_echo("the server has seen the first piece");
            stream.write_all(rest).unwrap();
            assert_eq!(status(&mut stream), 101);
            recorder.connected();
        }
        let mut stream = server.tcp();
        stream.set_nodelay(true).unwrap();
        for byte in &all {
            stream.write_all(&[*byte]).unwrap();
        }
        assert_eq!(status(&mut stream), 101);
        recorder.connected();
    }
}

fn status(stream: &mut impl Read) -> u16 {
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    std::str::from_utf8(&line[9..]).unwrap().parse().unwrap()
}

fn a_connection_of_the_proxy_itself_has_its_address(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(behind(config).max_clients_per_ip(1), probe);
    let mut peers = Vec::new();
    for header in [&local()[..], b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 1.2.3.4 1.2.3.4 1 1\r\n"] {
        peers.push(connect(&server, header, Version::Rfc6455).unwrap());
        let client = recorder.connected();
        let Peer::Tcp(own) = client.peer() else { panic!() };
        assert_eq!((client.remote_ip(), client.remote_port()), (Some(own.ip()), Some(own.port())));
    }
    // A check of the health that only connects, or sends only a header, disturbs nobody.
    drop(server.tcp());
    server.tcp().write_all(&local()).unwrap();
    server.tcp().write_all(&V1[..9]).unwrap();
    server.wait_for_clients(3);
    peers.iter_mut().for_each(|peer| peer.assert_echo("still here"));
}

fn anything_else_from_a_trusted_proxy_is_refused(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(behind(config), probe);
    let too_long = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    for (bytes, why) in [
        (common::wire::request("/").as_bytes(), "does not begin with a PROXY protocol header"),
        (b"PROXY TCP4 1.2.3.4\r\n", "malformed"),
        (b"PROXY NONSENSE\r\n", "malformed"),
        (&[SIGNATURE, &[0x31]].concat(), "malformed"),
        (&too_long, "longer than 4096 bytes"),
        (b"\x16\x03\x01\x02\x00", "does not begin"),
        (&[b'P'; 200], "does not begin"),
    ] {
        let mut stream = server.tcp();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let (answer, _) = read_to_end(&mut stream);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(why), "{bytes:?}: {answer}");
    }
    server.wait_for_clients(0);
    // A second header is a malformed request.
    assert_eq!(connect(&server, &[V1, V1].concat(), Version::Rfc6455).err(), Some(400));
}

fn peers_that_are_not_trusted_send_no_header(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.trusted_proxies(["192.0.2.1"]).proxy_protocol(true), probe);
    connect(&server, b"", Version::Rfc6455).unwrap().assert_echo("direct");
    assert!(recorder.connected().remote_ip().unwrap().is_loopback());
    assert_eq!(connect(&server, V1, Version::Rfc6455).err(), Some(400), "a forged header");
    for header in [V1, &v2(), &local()] {
        let bytes = [header, common::wire::request("/").as_bytes()].concat();
        for piece in [1, bytes.len()] {
            let mut stream = server.tcp();
            stream.set_nodelay(true).unwrap();
            // The server may refuse it before its end.
            let _ = bytes.chunks(piece).try_for_each(|piece| stream.write_all(piece));
            let _ = stream.shutdown(Shutdown::Write);
            let (answer, _) = read_to_end(&mut stream);
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{header:?}: {answer}");
            assert!(answer.contains("only a trusted proxy may begin"), "{header:?}: {answer}");
        }
    }
}

fn the_limit_for_each_address_counts_the_clients(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(behind(config.max_clients_per_ip(2)), probe);
    let mut held: Vec<_> = (0..2).map(|_| connect(&server, V1, Version::Rfc6455).unwrap()).collect();
    assert_eq!(connect(&server, &v2(), Version::Rfc6455).err(), Some(429));
    assert_eq!(server.handle.stats().handshakes_with(HandshakeOutcome::AddressLimit), 1);
    let other = b"PROXY TCP4 203.0.113.8 192.0.2.1 4711 443\r\n";
    connect(&server, other, Version::Rfc6455).unwrap().assert_echo("another address");
    held.pop();
    eventually("a free place", || connect(&server, V1, Version::Rfc6455).is_ok());
    drop(held);
    server.wait_for_clients(0);
    // A connection counts from its header on, before its request.
    let mut silent = [server.tcp(), server.tcp()];
    silent.iter_mut().for_each(|stream| stream.write_all(V1).unwrap());
    eventually("the places of silent connections to be taken", || {
        server.wait_for_clients(2);
        connect(&server, V1, Version::Rfc6455).err() == Some(429)
    });
    drop(silent);
    eventually("a free place", || connect(&server, V1, Version::Rfc6455).is_ok());
}

fn a_header_that_does_not_come_has_the_deadline_of_the_handshake(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(behind(config).handshake_timeout(Duration::from_millis(300)), probe);
    for part in [&b""[..], &V1[..20], &v2()[..14]] {
        let mut stream = server.tcp();
        stream.write_all(part).unwrap();
        let (answer, _) = read_to_end(&mut stream);
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
    }
    server.wait_for_clients(0);
}

fn a_proxy_after_the_proxy_is_believed_if_it_is_trusted(config: Config) {
    let (probe, recorder) = Probe::new();
    let config = behind(config).forwarded(ForwardedHeader::XForwardedFor);
    let server = Running::start(config.trusted_proxies(["127.0.0.1", "203.0.113.7"]), probe);
    let request = common::wire::request("/").replace("\r\n\r\n", "\r\nX-Forwarded-For: 192.0.2.99\r\n\r\n");
    let other = b"PROXY TCP4 203.0.113.8 192.0.2.1 4711 443\r\n";
    for (header, address) in [(V1, "192.0.2.99"), (other, "203.0.113.8")] {
        let mut stream = server.tcp();
        stream.write_all(&[header, request.as_bytes()].concat()).unwrap();
        assert_eq!(status(&mut stream), 101);
        assert_eq!(recorder.connected().remote_ip(), Some(address.parse().unwrap()));
    }
}

#[cfg(unix)]
mod unix {
    use super::*;

    in_both_modes!(a_unix_socket_may_belong_to_a_proxy);

    fn a_unix_socket_may_belong_to_a_proxy(config: Config) {
        let mode = if config.task_per_client { "tasks" } else { "shards" };
        let path = std::env::temp_dir().join(format!("clws-proxy-{}-{mode}.sock", std::process::id()));
        let (probe, recorder) = Probe::new();
        let config = config.trusted_proxies(["unix"]).proxy_protocol(true);
        let server = Running::start(config.listen(format!("unix:{}", path.display())), probe);
        let mut stream = common::unix(&path);
        stream.write_all(&[V1, common::wire::request("/").as_bytes()].concat()).unwrap();
        assert_eq!(status(&mut stream), 101);
        let client = recorder.connected();
        assert_eq!((client.remote_ip(), client.peer()), (Some(source().ip()), Peer::Unix));
        drop(stream);
        drop(server);
    }
}

#[cfg(feature = "tls")]
#[test]
fn the_header_precedes_the_tls_handshake() {
    use crate::common::tls::{Identity, connect as connect_tls, start};

    let identity = Identity::new("localhost");
    let (probe, recorder) = Probe::new();
    let server = start(behind(common::config()), &identity.tls(), probe);
    for header in [V1, &v2()] {
        let mut stream = connect_tls(&server, identity.client(), "localhost");
        stream.sock.write_all(header).unwrap();
        let request = ClientRequest::new(Version::Rfc6455, "wss://localhost/");
        let mut peer = common::Peer::open(stream, Version::Rfc6455, request).unwrap();
        peer.assert_echo("behind a proxy, with TLS");
        assert_eq!(recorder.connected().remote_ip(), Some(source().ip()));
    }
    // The refusal of a client whose address has too many waits for the TLS handshake.
    let limited = start(behind(common::config()).max_clients_per_ip(1), &identity.tls(), Probe::new().0);
    let connect = || {
        let mut stream = connect_tls(&limited, identity.client(), "localhost");
        stream.sock.write_all(V1).unwrap();
        common::Peer::open(stream, Version::Rfc6455, ClientRequest::new(Version::Rfc6455, "wss://localhost/"))
    };
    let first = connect().unwrap();
    assert_eq!(connect().err(), Some(429));
    drop(first);
    eventually("a free place", || connect().is_ok());
    // A TLS handshake at once is not what the settings promise.
    let stream = connect_tls(&server, identity.client(), "localhost");
    let request = ClientRequest::new(Version::Rfc6455, "wss://localhost/");
    assert_eq!(common::Peer::open(stream, Version::Rfc6455, request).err(), Some(400));
}

fn a_wrong_header_is_logged_as_a_warning() {
    let log = Log::start();
    let (probe, _) = Probe::new();
    let server = Running::start(behind(common::config()), probe);
    assert_eq!(connect(&server, b"", Version::Rfc6455).err(), Some(400));
    log.expect_all(Level::WARN, &["refused a trusted proxy", "does not begin with a PROXY protocol header"]);
}

fn checks_of_the_health_are_not_logged_as_warnings() {
    let log = Log::start();
    let (probe, _) = Probe::new();
    let server = Running::start(behind(common::config()), probe);
    for bytes in [&b""[..], &V1[..9], V1, &local(), &local()[..13], b"PROXY UNKNOWN\r\n"] {
        for resets in [false, true] {
            let mut stream = server.tcp();
            stream.write_all(bytes).unwrap();
            if resets {
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }
    let abandoned = || server.handle.stats().handshakes_with(HandshakeOutcome::Abandoned);
    eventually("the end of all checks", || abandoned() == 12);
    let lines = log.lines();
    let warnings: Vec<_> = lines.iter().filter(|(level, _)| *level <= Level::WARN).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
}
