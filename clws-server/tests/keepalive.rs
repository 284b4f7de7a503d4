//! The options that make the system notice a vanished client, as each accepted socket really has them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use clws_server::{Config, Version};
use common::{Probe, Running};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::SockRef;

in_both_modes!(by_default, as_configured, never);

/// The server's socket whose peer has that address: this process is the server's too.
fn socket_of_server(peer: SocketAddr) -> OwnedFd {
    let process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let numbers = std::fs::read_dir("/proc/self/fd").unwrap();
    numbers
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter_map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()) // some are closed by now
        .find(|socket| SockRef::from(socket).peer_addr().is_ok_and(|it| it.as_socket() == Some(peer)))
        .expect("a socket of the server's")
}

/// Whether probes are sent; after which silence, how often, and how many (in seconds); `TCP_USER_TIMEOUT`.
type Options = (bool, u64, u64, u32, Option<u64>);

fn options(config: Config) -> Vec<Options> {
    let v6 = std::net::TcpListener::bind("[::1]:0").is_ok(); // not every machine has it
    let config = config.listen("127.0.0.1:0").listen("localhost:0");
    let server = Running::start(if v6 { config.listen("[::1]:0") } else { config }, Probe::new().0);
    let of = |address: &clws_server::Listen| {
        let clws_server::Listen::Tcp(address) = *address else { panic!("{address}") };
        let stream = common::tcp(address);
        let client = stream.local_addr().unwrap();
        let url = format!("ws://{address}/");
        let request = clws_handshake::client::ClientRequest::new(Version::Rfc6455, &url);
        let mut peer = common::Peer::open(stream, Version::Rfc6455, request).unwrap();
        peer.assert_echo("it is served");
        let socket = socket_of_server(client);
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap());
        (
            socket.keepalive().unwrap(),
            socket.tcp_keepalive_time().unwrap().as_secs(),
            socket.tcp_keepalive_interval().unwrap().as_secs(),
            socket.tcp_keepalive_retries().unwrap(),
            socket.tcp_user_timeout().unwrap().map(|time| time.as_secs()),
        )
    };
    let options: Vec<_> = server.addresses.iter().map(of).collect();
    assert!(options.len() >= 2);
    options
}

fn by_default(config: Config) {
    for options in options(config) {
        assert_eq!(options, (true, 60, 15, 4, Some(120)));
    }
}

fn as_configured(config: Config) {
    let config = config.keepalive(Some(Duration::from_secs(20))).write_timeout(Duration::from_secs(50));
    for options in options(config) {
        assert_eq!(options, (true, 20, 5, 4, Some(55)));
    }
}

fn never(config: Config) {
    for (on, .., user_timeout) in options(config.keepalive(None)) {
        assert_eq!((on, user_timeout), (false, None));
    }
}
