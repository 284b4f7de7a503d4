//! Messages of which a part has come, more of them than there is memory for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use clws_handshake::client::ClientRequest;
use clws_proto::Sender;
use clws_server::{Config, Version};
use common::memory::{LIMIT, UNUSED, Watch, assert_all_is_free, limited};
use common::{Got, Peer, Probe, Running, eventually};

in_both_modes!(
    they_are_completed_one_after_the_other,
    those_that_never_end_are_dropped,
    a_request_without_an_end_counts,
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
    let mut octets = Vec::new();
    sender.write_to(&mut octets).unwrap();
    octets
}

/// More than three quarters of the limit, but less than all of it: then nobody is dropped, and all go on.
fn they_are_completed_one_after_the_other(config: Config) {
    const LEN: usize = 5 << 20;
    const CLIENTS: usize = 11;

    let (probe, _diary) = Probe::new();
    let server = Running::start(limited(config), probe);
    let watch = Watch::new(&server.handle);
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
                assert!(peer.next() == Got::Binary(vec![7; LEN]));
                peer.assert_echo("and it goes on");
            })
        })
        .collect();
    eventually("all are in progress", || server.handle.buffered() >= CLIENTS * (4 << 20));
    all_begun.wait();
    let mut small = server.connect(Version::Rfc6455, "/");
    while writers.iter().any(|writer| !writer.is_finished()) {
        small.assert_echo("undisturbed");
        thread::sleep(Duration::from_millis(1));
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(server.handle.dropped_for_memory(), 0);
    assert!(watch.most() > LIMIT / 4 * 3, "{}: it was never short", watch.most());
    drop(small);
    assert_all_is_free(&server);
}

fn those_that_never_end_are_dropped(config: Config) {
    const LEN: usize = 1 << 20;
    const CLIENTS: usize = 60;
    // From three quarters to the limit it goes little by little: 2 MiB are fewer ticks.
    const LIMIT: usize = 8 << 20;

    let (probe, diary) = Probe::new();
    let config = config.max_buffered(LIMIT).close_timeout(Duration::from_secs(1));
    let server = Running::start(config, probe);
    let watch = Watch::new(&server.handle);
    let mut small = server.connect(Version::Rfc6455, "/");
    let mut wire = wire(LEN);
    wire.truncate(LEN - 10_000);
    let writers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (peer, mut writing) = connect(&server);
            let wire = wire.clone();
            thread::spawn(move || {
                // It is held back, or dropped.
                writing.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
                let _ = writing.write_all(&wire);
                peer
            })
        })
        .collect();
    eventually("somebody is dropped", || {
        small.assert_echo("undisturbed");
        server.handle.dropped_for_memory() > 0
    });
    assert_eq!(diary.gone(), (1006, String::new(), "held too much memory".to_owned()));
    let peers: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    assert!(watch.most() <= LIMIT + UNUSED, "{}", watch.most());
    small.assert_echo("to the end");
    drop((peers, small));
    // What they have sent is not read any more, so that it is not noticed that they are gone.
    server.stop().unwrap();
    assert_all_is_free(&server);
}

/// Before there is a client, too.
fn a_request_without_an_end_counts(config: Config) {
    let (probe, _diary) = Probe::new();
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
    eventually("somebody is dropped", || server.handle.dropped_for_memory() > 0);
    eventually("the limit", || server.handle.buffered() <= 4 << 20);
    drop(streams);
    server.stop().unwrap(); // as above
    assert_all_is_free(&server);
}
