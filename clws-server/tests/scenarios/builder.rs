//! Servers that listen on existing sockets, or nowhere.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;

use crate::common;
use crate::common::{Peer, Received, Running, Stream};
use clws_handshake::client::ClientRequest;
use clws_server::{
    Client, Config, ConfigError, Listen, Origins, Resource, Server, ServerBuilder, Text, Version,
};

in_both_modes!(
    listens_on_an_existing_socket,
    listens_on_several_sockets_and_addresses,
    leaves_a_shared_socket_open,
    a_socket_for_both_families_has_ipv4_clients,
    takes_no_wake_up_of_a_shared_socket_while_it_stops,
    ends_by_stop_without_any_address,
    ends_by_an_earlier_stop_without_any_address,
);

#[cfg(unix)]
mod unix_sockets {
    in_both_modes!(listens_on_a_unix_socket, serves_streams_without_any_address);

    use super::{listens_on_a_unix_socket, serves_streams_without_any_address};
}

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send_text(&text);
    }
}

fn bind(builder: ServerBuilder) -> Server {
    let server = builder.bind().unwrap();
    server.resources().register("/", Origins::any(), Echo).unwrap();
    server
}

fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn address(listener: &TcpListener) -> Listen {
    listener.local_addr().unwrap().into()
}

fn assert_echo(stream: impl Stream + 'static) {
    let request = ClientRequest::new(Version::Rfc6455, "ws://server/");
    Peer::open(stream, Version::Rfc6455, request).unwrap().assert_echo("hello");
}

/// Sends a handshake. Returns whether it is accepted, or panics if there is no answer in time.
fn is_served(address: SocketAddr) -> bool {
    let mut stream = common::tcp(address);
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let _ = stream.write_all(request.as_bytes()); // fails if the server has closed already
    let mut status = [0; 12];
    match stream.read_exact(&mut status) {
        Ok(()) => status == *b"HTTP/1.1 101",
        Err(error) => {
            let waits = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            assert!(!waits, "a client waits for an answer");
            false
        }
    }
}

fn assert_echo_at(listen: &Listen) {
    match listen {
        Listen::Tcp(address) => assert_echo(common::tcp(*address)),
        #[cfg(unix)]
        Listen::Unix(path) => assert_echo(common::unix(path)),
        other => panic!("{other}"),
    }
}

fn listens_on_an_existing_socket(config: Config) {
    let listener = loopback();
    let expected = address(&listener);
    let server = Running::run(bind(Server::builder(config).listener(listener)));
    assert_eq!(server.addresses, [expected]);
    for _ in 0..20 {
        assert_echo_at(&server.addresses[0]);
    }
    server.stop().unwrap();
}

fn listens_on_several_sockets_and_addresses(config: Config) {
    let (first, second) = (loopback(), loopback());
    let given = [address(&first), address(&second)];
    let config = config.listen("127.0.0.1:0").listen("127.0.0.2:0");
    let server = Running::run(bind(Server::builder(config).listener(first).listener(second)));
    assert_eq!(server.addresses[2..], given, "the addresses of the config come first");
    assert_eq!(server.addresses.len(), 4);
    server.addresses.iter().for_each(assert_echo_at);
    server.stop().unwrap();
}

/// Addresses are compared, for instance with those that an application bans.
fn a_socket_for_both_families_has_ipv4_clients(config: Config) {
    let Ok(listener) = TcpListener::bind("[::]:0") else { return }; // a machine without IPv6
    let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
    let Ok(stream) = std::net::TcpStream::connect(address) else { return }; // one family for each socket
    let server = Running::run(bind(Server::builder(config).listener(listener)));
    let request = ClientRequest::new(Version::Rfc6455, "ws://server/");
    let mut peer = Peer::open(stream, Version::Rfc6455, request).unwrap();
    peer.assert_echo("hello");
    let clients = server.handle.list_clients();
    assert_eq!(clients.iter().map(Client::remote_ip).collect::<Vec<_>>(), [Some(address.ip())]);
}

fn leaves_a_shared_socket_open(config: Config) {
    let listener = loopback();
    let shared = listener.try_clone().unwrap();
    let server = Running::run(bind(Server::builder(config).listener(listener)));
    assert_echo_at(&server.addresses[0]);
    server.stop().unwrap();
    let _client = common::tcp(shared.local_addr().unwrap());
    shared.set_nonblocking(false).unwrap();
    shared.accept().unwrap();
}

/// As in a restart: the old server still waits for a client, and the new one has the same socket.
fn takes_no_wake_up_of_a_shared_socket_while_it_stops(config: Config) {
    let listener = loopback();
    let shared = listener.try_clone().unwrap();
    let shared_address = listener.local_addr().unwrap();
    let old = config.clone().close_timeout(Duration::from_secs(5));
    let old = Running::run(bind(Server::builder(old).listener(listener)));
    let mut silent = old.connect(Version::Rfc6455, "/");
    silent.assert_echo("before the restart");
    let _new = Running::run(bind(Server::builder(config).listener(shared)));
    old.handle.stop();
    assert!(matches!(silent.next(), Received::Close(_)));
    // The old server may still take a client that connected before each of its shards has stopped.
    // It refuses that client, but nobody waits.
    let mut served = 0;
    common::eventually("eight clients are served", || {
        served += usize::from(is_served(shared_address));
        served == 8
    });
    drop(silent);
    old.wait().unwrap();
}

fn ends_by_stop_without_any_address(config: Config) {
    let server = Running::run(bind(Server::builder(config)));
    assert!(server.addresses.is_empty());
    server.stop().unwrap();
}

fn ends_by_an_earlier_stop_without_any_address(config: Config) {
    let server = bind(Server::builder(config));
    server.handle().stop();
    common::within(server.run()).unwrap();
}

#[cfg(unix)]
fn listens_on_a_unix_socket(config: Config) {
    use std::os::unix::net::UnixListener;

    let path = unused_path(&config);
    let listener = UnixListener::bind(&path).unwrap();
    let tcp = loopback();
    let expected = [address(&tcp), Listen::Unix(path.clone())];
    let server = Running::run(bind(Server::builder(config).listener(tcp).unix_listener(listener)));
    assert_eq!(server.addresses, expected);
    server.addresses.iter().for_each(assert_echo_at);
    server.stop().unwrap();
    assert!(path.exists(), "the file is the application's");
    std::fs::remove_file(path).unwrap();
}

#[cfg(unix)]
fn serves_streams_without_any_address(config: Config) {
    use std::os::unix::net::UnixStream;

    let server = Running::run(bind(Server::builder(config)));
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let ours = async_std::os::unix::net::UnixStream::from(ours);
    let task = async_std::task::spawn(server.handle.serve_stream(ours, clws_server::Peer::Stream));
    assert_echo(theirs);
    common::within(task);
    server.stop().unwrap();
}

#[cfg(unix)]
fn unused_path(config: &Config) -> PathBuf {
    let mode = if config.task_per_client { "tasks" } else { "shards" };
    let path = std::env::temp_dir().join(format!("clws-builder-{}-{mode}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[cfg(target_os = "linux")]
#[test]
fn reports_an_abstract_address_with_a_leading_nul() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    let name = format!("clws-builder-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let server = bind(Server::builder(common::config()).unix_listener(listener));
    assert_eq!(server.local_addrs().unwrap(), [Listen::Unix(format!("\0{name}").into())]);
}

#[cfg(target_os = "linux")]
#[test]
fn sockets_of_another_kind_are_errors() {
    use std::net::{TcpStream, UdpSocket};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    let builder = || Server::builder(common::config()).listener(loopback());
    let listener = loopback();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (pair, datagrams) = (UnixStream::pair().unwrap().0, UnixDatagram::unbound().unwrap());
    let path = unused_path(&common::config()).with_extension("other");
    let unix = UnixListener::bind(&path).unwrap();
    std::fs::remove_file(path).unwrap();

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [OwnedFd::from(udp), connected.into(), unix.into()] {
        let error = builder().listener(socket.into()).bind().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let expected = "listener 2 of the server's builder: it is not a listening TCP socket";
        assert_eq!(error.to_string(), expected);
    }
    for socket in [OwnedFd::from(pair), datagrams.into(), listener.into()] {
        let error = builder().unix_listener(socket.into()).bind().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let expected = "listener 2 of the server's builder: it is not a listening Unix socket";
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn the_config_is_checked_first() {
    let error = Server::builder(common::config().max_clients(0)).listener(loopback()).bind().unwrap_err();
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<ConfigError>()).unwrap();
    assert_eq!(error.field(), "max_clients");
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let taken = loopback();
    let config = common::config().listen(address(&taken).to_string());
    let error = Server::builder(config).bind().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let said = format!("cannot listen on {}: ", address(&taken));
    assert!(error.to_string().starts_with(&said), "{error}");
}
