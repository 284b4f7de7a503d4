//! Listen addresses: both IP families, several addresses, Unix sockets and free ports. Also the use
//! of shards.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use crate::common;
use crate::common::{Peer, Probe, Received, Running, text};
use clws_handshake::client::ClientRequest;
use clws_server::{Client, Close, Config, Listen, Origins, Peer as Address, Resource, Server, Text, Version};

in_both_modes!(
    listens_on_several_addresses,
    listens_on_a_unix_socket,
    listens_on_a_host_name,
    rejects_an_address_in_use
);

fn listens_on_several_addresses(config: Config) {
    let (probe, recorder) = Probe::new();
    let config = config.listen("127.0.0.1:0").listen("127.0.0.2:0");
    // Not every machine has IPv6.
    let v6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let config = if v6 { config.listen("[::1]:0") } else { config };
    let server = Running::start(config, probe);
    assert_eq!(server.addresses.len(), if v6 { 3 } else { 2 });
    for address in &server.addresses {
        let Listen::Tcp(address) = *address else { panic!() };
        assert_ne!(address.port(), 0);
        let url = format!("ws://{address}/");
        let request = ClientRequest::new(Version::Rfc6455, &url);
        let stream = common::tcp(address);
        let local = stream.local_addr().unwrap();
        let mut peer = Peer::open(stream, Version::Rfc6455, request).unwrap();
        peer.assert_echo("hello");
        let client = recorder.connected();
        assert_eq!((client.remote_ip(), client.remote_port()), (Some(local.ip()), Some(local.port())));
    }
}

#[cfg(unix)]
fn listens_on_a_unix_socket(config: Config) {
    let mode = if config.task_per_client { "tasks" } else { "shards" };
    let path = std::env::temp_dir().join(format!("clws-listening-{}-{mode}", std::process::id()));
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.listen(format!("unix:{}", path.display())), probe);
    assert_eq!(server.addresses, [Listen::Unix(path.clone())]);
    let mut peer = Peer::open(
        common::unix(&path),
        Version::Rfc6455,
        ClientRequest::new(Version::Rfc6455, "ws://localhost/"),
    )
    .unwrap();
    peer.assert_echo(&"hello".repeat(100_000));
    let client = recorder.connected();
    assert_eq!((client.peer(), client.remote_ip(), client.remote_port()), (Address::Unix, None, None));
    peer.raw(&[0xFF; 10]);
    assert!(matches!(peer.next(), Received::Close(Some((1002, _)))));
    assert_eq!(peer.next(), Received::End);
    drop(peer);
    let second = Server::bind(common::config().listen(format!("unix:{}", path.display())));
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse, "the path is in use");
    server.stop().unwrap();
    assert!(!path.exists(), "the socket file was not removed");

    // A socket file left by a killed server.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(Server::bind(common::config().listen(format!("unix:{}", path.display()))).unwrap());
    assert!(!path.exists());
}

#[cfg(not(unix))]
fn listens_on_a_unix_socket(_: Config) {}

fn listens_on_a_host_name(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.listen("localhost:0"), probe);
    server.connect(Version::Rfc6455, "/").assert_echo("hello");
}

fn rejects_an_address_in_use(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.clone(), probe);
    let error = Server::bind(config.clone().listen(server.address())).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {}: ", server.address())), "{text}");
    assert!(text.contains("another program listens there"), "{text}");
    let unknown = Server::bind(config.clone().listen("no-such-name.invalid:1")).unwrap_err().to_string();
    assert!(
        unknown.starts_with("cannot listen on no-such-name.invalid:1: the name cannot be resolved: "),
        "{unknown}"
    );
    assert!(Server::bind(config.listen("no such name:1")).is_err());
}

/// Records the thread that serves each client.
struct Threads(Arc<Mutex<Vec<ThreadId>>>);

impl Resource for Threads {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.0.lock().unwrap().push(std::thread::current().id());
        client.send_text("in").unwrap();
        Ok(())
    }

    fn text(&self, client: &Client, message: Text<'_>) {
        client.send_text(&message).unwrap();
    }
}

#[test]
fn clients_are_spread_over_the_shards() {
    let threads = Arc::default();
    let server = Server::bind(common::config().shards(4).listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Threads(Arc::clone(&threads))).unwrap();
    let server = Running::run(server);
    let mut peers: Vec<_> = (0..40).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    for peer in &mut peers {
        assert_eq!(peer.next(), text("in"));
        peer.assert_echo("and out");
    }
    let seen = std::mem::take(&mut *threads.lock().unwrap());
    let distinct: HashSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), 4);
    for thread in distinct {
        assert_eq!(seen.iter().filter(|seen| *seen == thread).count(), 10, "{seen:?}");
    }
    // When the clients of a shard disconnect, that shard gets the next clients.
    let on_first: Vec<_> = (0..40).filter(|&i| seen[i] == seen[0]).collect();
    for index in on_first.iter().rev() {
        drop(peers.remove(*index));
    }
    server.wait_for_clients(30);
    let _more: Vec<_> = (0..10).map(|_| server.connect(Version::Rfc6455, "/").next()).collect();
    assert!(threads.lock().unwrap().contains(&seen[0]));
}
