//! Partial messages that exceed the memory limit together.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use crate::common::memory::{LIMIT, MemoryWatch, UNUSED_CREDIT, assert_memory_is_free, with_memory_limit};
use crate::common::{Peer, Probe, Received, Running, eventually};
use clws_handshake::client::ClientRequest;
use clws_proto::Sender;
use clws_server::{Config, Version};

in_both_modes_in_own_process!(
    partial_messages_complete_in_turn,
    clients_with_unfinished_messages_are_dropped,
    unfinished_requests_count,
);

/// A client, and a second handle of its socket.
fn connect(server: &Running) -> (Peer, TcpStream) {
    let stream = server.tcp();
    let url = format!("ws://{}/", server.address());
    let writing = stream.try_clone().unwrap();
    (Peer::open(stream, Version::Rfc6455, ClientRequest::new(Version::Rfc6455, &url)).unwrap(), writing)
}

fn wire(len: usize) -> Vec<u8> {
    let mut sender = Sender::client(Version::Rfc6455, || [1, 2, 3, 4]);
    sender.binary(&vec![7; len], None).unwrap();
    let mut bytes = Vec::new();
    sender.write_to(&mut bytes).unwrap();
    bytes
}

/// Partial messages between three quarters of the limit and the limit complete, and no client is
/// dropped.
fn partial_messages_complete_in_turn(config: Config) {
    const LEN: usize = 5 << 20;
    const CLIENTS: usize = 11;

    let (probe, _recorder) = Probe::new();
    let server = Running::start(with_memory_limit(config), probe);
    let watch = MemoryWatch::new(&server.handle);
    let wire = wire(LEN);
    let all_begun = Arc::new(Barrier::new(CLIENTS + 1));
    let writers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (mut peer, mut writing) = connect(&server);
            let (wire, all_begun) = (wire.clone(), Arc::clone(&all_begun));
            thread::spawn(move || {
                let (begin, rest) = wire.split_at(4 << 20);
                writing.write_all(begin).unwrap();
                all_begun.wait();
                writing.write_all(rest).unwrap();
                assert!(peer.next() == Received::Binary(vec![7; LEN]));
                peer.assert_echo("and it goes on");
            })
        })
        .collect();
    eventually("all messages are in progress", || server.handle.buffered() >= CLIENTS * (4 << 20));
    all_begun.wait();
    let mut small = server.connect(Version::Rfc6455, "/");
    while writers.iter().any(|writer| !writer.is_finished()) {
        small.assert_echo("undisturbed");
        thread::sleep(Duration::from_millis(1));
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(server.handle.dropped_for_memory(), 0);
    assert!(watch.max() > LIMIT / 4 * 3, "memory was never short: {}", watch.max());
    drop(small);
    assert_memory_is_free(&server);
}

fn clients_with_unfinished_messages_are_dropped(config: Config) {
    const LEN: usize = 1 << 20;
    const CLIENTS: usize = 60;
    // Above three quarters of the limit the server reads in small steps. A limit of 8 MiB needs few
    // steps.
    const LIMIT: usize = 8 << 20;

    let (probe, recorder) = Probe::new();
    let config = config.max_buffered(LIMIT).close_timeout(Duration::from_secs(1));
    let server = Running::start(config, probe);
    let watch = MemoryWatch::new(&server.handle);
    let mut small = server.connect(Version::Rfc6455, "/");
    let mut wire = wire(LEN);
    wire.truncate(LEN - 10_000);
    let writers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (peer, mut writing) = connect(&server);
            let wire = wire.clone();
            thread::spawn(move || {
                // The server stops reading from this client, or drops it.
                writing.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
                let _ = writing.write_all(&wire);
                peer
            })
        })
        .collect();
    eventually("a client is dropped", || {
        small.assert_echo("undisturbed");
        server.handle.dropped_for_memory() > 0
    });
    assert_eq!(recorder.disconnected(), (1006, String::new(), "held too much memory".to_owned()));
    let peers: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    assert!(watch.max() <= LIMIT + UNUSED_CREDIT, "{}", watch.max());
    small.assert_echo("to the end");
    drop((peers, small));
    // The server reads no more from the paused clients, so it does not notice their end.
    server.stop().unwrap();
    assert_memory_is_free(&server);
}

/// Unfinished requests count although no client exists yet.
fn unfinished_requests_count(config: Config) {
    let (probe, _recorder) = Probe::new();
    let config = config.max_header_size(8 << 20).max_buffered(4 << 20).close_timeout(Duration::from_secs(1));
    let server = Running::start(config, probe);
    let mut request = b"GET / HTTP/1.1\r\nX: ".to_vec();
    request.resize(1 << 20, b'x');
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = server.tcp();
        let _ = stream.write_all(&request);
        streams.push(stream);
    }
    eventually("a connection is dropped", || server.handle.dropped_for_memory() > 0);
    eventually("memory falls below the limit", || server.handle.buffered() <= 4 << 20);
    drop(streams);
    server.stop().unwrap(); // the server does not notice the ends, as above
    assert_memory_is_free(&server);
}
