//! Clients behind a proxy that reports them in headers.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

use crate::common;
use crate::common::log::Log;
use crate::common::{Probe, Running, eventually, read_to_end};
#[cfg(feature = "testing")]
use clws_server::testing::TestServer;
use clws_server::{
    Accept, Client, Close, Config, ForwardedHeader, HandshakeOutcome, Opening, Origins, Peer, Reject,
    Resource, Version,
};
use tracing::Level;

in_both_modes!(
    the_client_is_the_one_that_a_trusted_proxy_reports,
    nobody_else_is_believed,
    the_limit_for_each_address_counts_the_clients,
    draft_0_gets_a_secure_location,
    only_pages_of_the_same_host_are_admitted,
);
in_own_process!(logs_show_the_client_and_the_proxy, logs_show_the_client_of_a_crowded_address);

/// The loopback peers of these tests are the proxy.
fn behind(config: Config, header: ForwardedHeader) -> Config {
    config.trusted_proxies(["127.0.0.1", "10.0.0.0/8"]).forwarded(header)
}

/// Records callbacks, and keeps with each client whether it uses TLS.
struct Secure(Arc<Probe>);

impl Resource for Secure {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        Ok(Accept::new().data(opening.is_secure()))
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.0.connected(client)
    }
}

/// A handshake with additional header lines.
fn request(lines: &str) -> String {
    let request = common::wire::request("/");
    request.replace("\r\n\r\n", &format!("\r\n{lines}\r\n"))
}

fn send(server: &Running, lines: &str) -> TcpStream {
    let mut stream = server.tcp();
    stream.write_all(request(lines).as_bytes()).unwrap();
    stream
}

/// The status of the response.
fn status(stream: &mut TcpStream) -> u16 {
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    std::str::from_utf8(&line[9..]).unwrap().parse().unwrap()
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn the_client_is_the_one_that_a_trusted_proxy_reports(config: Config) {
    for (header, lines, address, port, is_secure) in [
        (
            ForwardedHeader::XForwardedFor,
            "X-Forwarded-For: 6.6.6.6, 203.0.113.7\r\n",
            ip("203.0.113.7"),
            None,
            false,
        ),
        (
            ForwardedHeader::XForwardedFor,
            "X-Forwarded-For: 203.0.113.7:99, 10.0.0.1\r\n",
            ip("203.0.113.7"),
            Some(99),
            false,
        ),
        (
            ForwardedHeader::XForwardedForAndProto,
            "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
            ip("203.0.113.7"),
            None,
            true,
        ),
        (
            ForwardedHeader::Forwarded,
            "Forwarded: for=\"[2001:db8::7]:99\";proto=https\r\n",
            ip("2001:db8::7"),
            Some(99),
            true,
        ),
        (ForwardedHeader::Forwarded, "Forwarded: for=unknown\r\n", None, None, false),
        (ForwardedHeader::Forwarded, "Forwarded: for=_secret;proto=https\r\n", None, None, true),
    ] {
        let (probe, recorder) = Probe::new();
        let server = Running::start(behind(config.clone(), header), Arc::new(Secure(probe)));
        let mut stream = send(&server, lines);
        let own = stream.local_addr().unwrap();
        assert_eq!(status(&mut stream), 101, "{lines}");
        let client = recorder.connected();
        assert_eq!(
            (client.remote_ip(), client.remote_port(), client.data::<bool>().copied()),
            (address, port, Some(is_secure)),
            "{lines}"
        );
        assert_eq!(client.peer(), Peer::Tcp(own));
        eventually("the client in the list", || {
            server.handle.list_clients().iter().any(|listed| listed.remote_ip() == address)
        });
        if header != ForwardedHeader::XForwardedForAndProto {
            // Without a header, the proxy is the client.
            let mut stream = send(&server, "");
            assert_eq!(status(&mut stream), 101);
            assert_eq!(recorder.connected().remote_ip(), ip("127.0.0.1"));
        }
    }
}

fn nobody_else_is_believed(config: Config) {
    let all =
        "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6;proto=https\r\nX-Forwarded-Proto: https\r\n";
    for (config, own) in [
        (config.clone(), true),
        // The peer is no trusted proxy.
        (
            config.clone().trusted_proxies(["192.0.2.1"]).forwarded(ForwardedHeader::XForwardedForAndProto),
            true,
        ),
        (config.clone().trusted_proxies(["192.0.2.1"]).forwarded(ForwardedHeader::Forwarded), true),
        // The proxy writes no header.
        (config.clone().trusted_proxies(["127.0.0.1"]), true),
        (config.trusted_proxies(["127.0.0.1"]).forwarded(ForwardedHeader::XForwardedFor), false),
    ] {
        let (probe, recorder) = Probe::new();
        let server = Running::start(config, Arc::new(Secure(probe)));
        assert_eq!(status(&mut send(&server, all)), 101);
        let client = recorder.connected();
        assert_eq!(client.remote_ip(), ip(if own { "127.0.0.1" } else { "6.6.6.6" }));
        assert_eq!(client.data(), Some(&false));
    }
}

fn the_limit_for_each_address_counts_the_clients(config: Config) {
    let (probe, _) = Probe::new();
    let config = behind(config.max_clients_per_ip(2), ForwardedHeader::XForwardedFor);
    let server = Running::start(config, probe);
    let from = |address: &str| {
        let mut stream = send(&server, &format!("X-Forwarded-For: {address}\r\n"));
        (status(&mut stream), stream)
    };
    let mut held: Vec<_> = (0..2).map(|_| from("203.0.113.7")).collect();
    assert!(held.iter().all(|(status, _)| *status == 101));
    assert_eq!(from("203.0.113.7").0, 429);
    assert_eq!(from("6.6.6.6, 203.0.113.7").0, 429, "a forged address does not help");
    assert_eq!(server.handle.stats().handshakes_with(HandshakeOutcome::AddressLimit), 2);
    assert_eq!(from("203.0.113.8").0, 101);
    // The proxy itself has more connections than an address may have, and so have unknown clients.
    let others: Vec<_> = (0..5).map(|n| from(["127.0.0.1", "unknown"][n % 2])).collect();
    assert!(others.iter().all(|(status, _)| *status == 101));
    held.pop();
    eventually("a free place", || {
        let (status, stream) = from("203.0.113.7");
        held.push((status, stream));
        status == 101
    });
    assert_eq!(from("203.0.113.7").0, 429);
    assert_eq!(from("garbage").0, 400);
}

fn draft_0_gets_a_secure_location(config: Config) {
    let (probe, _) = Probe::new();
    let config = behind(config, ForwardedHeader::XForwardedForAndProto);
    let server = Running::start(config, probe);
    for (proto, location) in [("https", "wss://here.example/"), ("http", "ws://here.example/")] {
        let mut stream = server.tcp();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: here.example\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Origin: http://here.example\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
             Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nX-Forwarded-Proto: {proto}\r\n\r\n^n:ds[4U"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            response.push(byte[0]);
        }
        let response = String::from_utf8(response).unwrap();
        assert!(response.contains(&format!("Sec-WebSocket-Location: {location}\r\n")), "{response}");
    }
}

/// A listener for both families has IPv4 addresses in the form of IPv6 addresses. The application
/// may pass such an address with a stream.
#[test]
#[cfg(feature = "testing")]
fn an_ipv4_address_in_the_form_of_ipv6_is_ipv4() {
    let config = Config::default().max_clients_per_ip(1);
    let server = TestServer::new(behind(config, ForwardedHeader::XForwardedFor)).unwrap();
    server.resources().register("/", Origins::any(), Silent).unwrap();
    let from = |peer: &str| server.request("/").peer(Peer::Tcp(peer.parse().unwrap()));
    let direct = from("[::ffff:203.0.113.7]:99").connect().unwrap();
    let clients = server.handle().list_clients();
    assert_eq!((clients[0].remote_ip(), clients[0].remote_port()), (ip("203.0.113.7"), Some(99)));
    assert_eq!(from("203.0.113.7:98").connect().unwrap_err().status(), Some(429));
    drop((clients, direct));
    for (text, address) in [
        ("203.0.113.8", "203.0.113.8"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("[::ffff:203.0.113.10]:7", "203.0.113.10"),
    ] {
        let behind = from("[::ffff:10.0.0.1]:99").header("X-Forwarded-For", text);
        let _client = behind.connect().unwrap();
        let clients = server.handle().list_clients();
        assert!(clients.iter().any(|client| client.remote_ip() == ip(address)), "{text} {clients:?}");
        assert_eq!(behind.connect().unwrap_err().status(), Some(429), "{text}");
    }
}

struct Silent;
impl Resource for Silent {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        assert_eq!(
            opening.remote_ip().is_some(),
            !opening.headers().get("Forwarded").is_some_and(|value| value.contains("unknown"))
        );
        Ok(Accept::new())
    }
}

fn only_pages_of_the_same_host_are_admitted(config: Config) {
    let config = behind(config, ForwardedHeader::Forwarded).listen("127.0.0.1:0");
    let server = clws_server::Server::bind(config).unwrap();
    server.resources().register("/", Origins::same_host(), Silent).unwrap();
    let server = Running::run(server);
    for (lines, expected) in [
        ("Origin: http://here.example\r\n", 101),
        ("Origin: https://HERE.example\r\n", 101),
        ("Origin: https://here.example\r\nForwarded: for=1.2.3.4;proto=https\r\n", 101),
        ("Origin: http://here.example\r\nForwarded: for=1.2.3.4;proto=https\r\n", 403),
        ("Origin: http://here.example:8080\r\n", 403),
        ("Origin: http://evil.example\r\nForwarded: for=unknown;host=evil.example\r\n", 403),
        ("Origin: http://evil.example\r\nX-Forwarded-Host: evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("", 403),
    ] {
        assert_eq!(status(&mut send(&server, lines)), expected, "{lines}");
    }
}

fn logs_show_the_client_of_a_crowded_address() {
    let log = Log::start();
    let (probe, _) = Probe::new();
    let config = behind(common::config().max_clients_per_ip(1), ForwardedHeader::XForwardedFor);
    let server = Running::start(config, probe);
    let mut held: Vec<_> = (0..2).map(|_| send(&server, "X-Forwarded-For: 203.0.113.7\r\n")).collect();
    let mut statuses: Vec<_> = held.iter_mut().map(status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [101, 429]);
    log.expect_all(Level::DEBUG, &["too many connections come from this address", "client=203.0.113.7"]);
}

fn logs_show_the_client_and_the_proxy() {
    let log = Log::start();
    let (probe, recorder) = Probe::with(|_, text| assert_ne!(text, "panic"));
    let config = behind(common::config(), ForwardedHeader::XForwardedFor);
    let server = Running::start(config, Arc::clone(&probe) as _);
    let mut stream = send(&server, "X-Forwarded-For: 203.0.113.7\r\n");
    let peer = format!("peer={}", stream.local_addr().unwrap());
    assert_eq!(status(&mut stream), 101);
    let client = recorder.connected();
    assert!(format!("{client:?}").contains("203.0.113.7"), "{client:?}");
    stream.write_all(&common::wire::frame(common::wire::TEXT, b"panic")).unwrap();
    log.expect_all(Level::ERROR, &["a handler panicked", &peer, "client=203.0.113.7"]);
    log.expect_all(Level::DEBUG, &["ended", &peer, "client=203.0.113.7"]);
    read_to_end(&mut stream);

    let mut stream = server.tcp();
    let request = request("X-Forwarded-For: 203.0.113.9\r\n").replace("GET / ", "GET /none ");
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(status(&mut stream), 404);
    log.expect_all(Level::DEBUG, &["status=404", &format!("peer={}", stream.local_addr().unwrap())]);
    // Without a proxy, there is one address.
    let direct = Running::start(common::config(), probe);
    direct.connect(Version::Rfc6455, "/").raw(&[0xFF; 10]);
    eventually("the end of a client without a proxy", || {
        log.lines().iter().any(|(_, line)| line.contains("broke the protocol") && !line.contains("client="))
    });
}
