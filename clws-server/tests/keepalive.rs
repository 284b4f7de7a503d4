//! The socket options that detect a vanished client, read from each accepted socket.
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

in_both_modes!(sets_the_default_options, sets_the_configured_options, keepalive_can_be_disabled);

/// The server's socket for the peer address. The server runs in this process.
fn socket_of_server(peer: SocketAddr) -> OwnedFd {
    let process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let numbers = std::fs::read_dir("/proc/self/fd").unwrap();
    numbers
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        // Some descriptors are closed by now.
        .filter_map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok())
        .find(|socket| {
            SockRef::from(socket).peer_addr().is_ok_and(|address| address.as_socket() == Some(peer))
        })
        .expect("no socket of the server has this peer")
}

/// Whether keepalive is on, its time and interval in seconds, the number of probes, and
/// `TCP_USER_TIMEOUT` in seconds.
type Options = (bool, u64, u64, u32, Option<u64>);

fn options(config: Config) -> Vec<Options> {
    let v6 = std::net::TcpListener::bind("[::1]:0").is_ok(); // not every machine has IPv6
    let config = config.listen("127.0.0.1:0").listen("localhost:0");
    let server = Running::start(if v6 { config.listen("[::1]:0") } else { config }, Probe::new().0);
    let options_of = |address: &clws_server::Listen| {
        let clws_server::Listen::Tcp(address) = *address else { panic!("{address}") };
        let stream = common::tcp(address);
        let client = stream.local_addr().unwrap();
        let url = format!("ws://{address}/");
        let request = clws_handshake::client::ClientRequest::new(Version::Rfc6455, &url);
        let mut peer = common::Peer::open(stream, Version::Rfc6455, request).unwrap();
        peer.assert_echo("served");
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
    let options: Vec<_> = server.addresses.iter().map(options_of).collect();
    assert!(options.len() >= 2);
    options
}

fn sets_the_default_options(config: Config) {
    for options in options(config) {
        assert_eq!(options, (true, 60, 15, 4, Some(120)));
    }
}

fn sets_the_configured_options(config: Config) {
    let config = config.tcp_keepalive(Some(Duration::from_secs(20))).write_timeout(Duration::from_secs(50));
    for options in options(config) {
        assert_eq!(options, (true, 20, 5, 4, Some(55)));
    }
}

fn keepalive_can_be_disabled(config: Config) {
    for (on, .., user_timeout) in options(config.tcp_keepalive(None)) {
        assert_eq!((on, user_timeout), (false, None));
    }
}
