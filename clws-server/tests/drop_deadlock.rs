//! The `Drop` of what a message is made of asks for its client and sends to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::mpsc::{Receiver, channel};

use clws_server::{Bytes, Client, CloseCode, Config, Group, SendError, SharedMessage, Version};
use common::wire::{BINARY, SHORT, TEXT, Wire};
use common::{Diary, Probe, Running};

alone_in_both_modes!(
    of_a_big_one_that_is_written,
    of_a_small_one_that_is_copied,
    of_one_that_sends_the_next,
    of_one_that_is_aborted,
    of_one_that_comes_too_late,
    of_one_that_is_too_much,
    of_one_to_a_client_that_cannot_have_it,
    of_one_to_a_client_that_resets,
    of_one_to_a_client_that_is_stopped,
    of_one_to_a_group,
);

const BIG: usize = 100_000;

/// The memory of a message.
struct Chunk {
    bytes: Vec<u8>,
    last: Box<dyn Fn() + Send + Sync>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        (self.last)();
    }
}

fn chunk(len: usize, last: impl Fn() + Send + Sync + 'static) -> Bytes {
    Bytes::from_owner(Chunk { bytes: vec![7; len], last: Box::new(last) })
}

/// A chunk that asks everything there is to ask of its client, and tells that it did.
fn asking(len: usize, client: &Client) -> (Bytes, Receiver<()>) {
    let (tell, told) = channel();
    let client = client.clone();
    let ask = move || {
        let _ = (client.buffered_amount(), client.is_open(), client.send_text("one more"));
        let _ = tell.send(());
    };
    (chunk(len, ask), told)
}

fn start(config: Config) -> (Running, Diary, Wire, Wire, Client) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config.shards(1), probe);
    let neighbour = Wire::connect(&server, "/");
    diary.connected();
    let wire = Wire::connect(&server, "/");
    let client = diary.connected();
    (server, diary, neighbour, wire, client)
}

#[track_caller]
fn assert_done(told: &Receiver<()>, neighbour: &mut Wire) {
    told.recv_timeout(SHORT).expect("the chunk is dropped, and its drop returns");
    neighbour.assert_answered_within(SHORT);
}

fn of_a_big_one_that_is_written(config: Config) {
    let (_server, _diary, mut neighbour, mut wire, client) = start(config);
    let (bytes, told) = asking(BIG, &client);
    client.send(bytes).unwrap();
    assert_eq!(wire.next(), Some((BINARY, vec![7; BIG])));
    assert_done(&told, &mut neighbour);
    assert_eq!(wire.next(), Some((TEXT, b"one more".to_vec())));
}

fn of_a_small_one_that_is_copied(config: Config) {
    let (_server, _diary, mut neighbour, mut wire, client) = start(config);
    let (bytes, told) = asking(10, &client);
    client.send(bytes).unwrap();
    assert_done(&told, &mut neighbour);
    let mut got = [wire.next().unwrap().0, wire.next().unwrap().0];
    got.sort_unstable();
    assert_eq!(got, [TEXT, BINARY]);
}

/// A chain of chunks, each of which sends the next when it is written.
fn of_one_that_sends_the_next(config: Config) {
    fn send(client: &Client, left: usize) {
        let next = client.clone();
        let sent = client.send(chunk(BIG, move || {
            if left > 0 {
                send(&next, left - 1);
            }
        }));
        assert!(sent.is_ok());
    }

    let (_server, _diary, mut neighbour, mut wire, client) = start(config);
    send(&client, 20);
    for _ in 0..=20 {
        assert_eq!(wire.next(), Some((BINARY, vec![7; BIG])));
    }
    neighbour.assert_answered_within(SHORT);
    wire.assert_answered_within(SHORT);
}

/// Sends until the system takes no more, so that what comes next stays queued.
fn fill(client: &Client) {
    while client.buffered_amount() < 20 << 20 {
        client.send(vec![0; 1 << 20]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn of_one_that_is_aborted(config: Config) {
    let (_server, _diary, mut neighbour, _wire, client) = start(config);
    fill(&client);
    let (bytes, told) = asking(BIG, &client);
    client.send(bytes).unwrap();
    client.abort();
    assert_done(&told, &mut neighbour);
}

fn of_one_that_comes_too_late(config: Config) {
    let (_server, _diary, mut neighbour, _wire, client) = start(config);
    client.close(CloseCode::NORMAL);
    for len in [10, BIG] {
        let (bytes, told) = asking(len, &client);
        assert_eq!(client.send(bytes), Err(SendError::Closed));
        assert_done(&told, &mut neighbour);
    }
}

fn of_one_that_is_too_much(config: Config) {
    let (_server, _diary, mut neighbour, _wire, client) = start(config.max_write_backlog(15 << 20));
    while client.send(vec![0; 1 << 20]).is_ok() {}
    for len in [10, BIG] {
        let (bytes, told) = asking(len, &client);
        let _ = client.send(bytes); // some may have been written meanwhile
        client.abort();
        assert_done(&told, &mut neighbour);
    }
}

/// Draft 0 has no binary messages.
fn of_one_to_a_client_that_cannot_have_it(config: Config) {
    let (server, diary, mut neighbour, _wire, _client) = start(config);
    let _peer = server.connect(Version::Hybi00, "/");
    let client = diary.connected();
    for len in [10, BIG] {
        let (bytes, told) = asking(len, &client);
        assert_eq!(client.send(bytes), Err(SendError::Unsupported));
        assert_done(&told, &mut neighbour);
    }
}

fn of_one_to_a_client_that_resets(config: Config) {
    let (_server, _diary, mut neighbour, wire, client) = start(config);
    fill(&client);
    let (bytes, told) = asking(BIG, &client);
    client.send(bytes).unwrap();
    wire.reset();
    assert_done(&told, &mut neighbour);
}

fn of_one_to_a_client_that_is_stopped(config: Config) {
    let (server, _diary, _neighbour, _wire, client) =
        start(config.close_timeout(std::time::Duration::from_millis(100)));
    fill(&client);
    let (bytes, told) = asking(BIG, &client);
    client.send(bytes).unwrap();
    server.stop().unwrap();
    told.recv_timeout(SHORT).unwrap();
}

fn of_one_to_a_group(config: Config) {
    let (_server, diary, mut neighbour, mut wire, client) = start(config);
    let mut other = Wire::connect(&_server, "/");
    let group = Group::new();
    assert!(group.join(&client) && group.join(&diary.connected()));
    let ((tell, told), members) = (channel(), group.clone());
    let bytes = chunk(BIG, move || {
        let amounts: usize = members.members().iter().map(Client::buffered_amount).sum();
        let _ = members.send_text("all have got it");
        let _ = tell.send(amounts + members.len());
    });
    assert_eq!(group.send(SharedMessage::binary(bytes)).sent, 2);
    for wire in [&mut wire, &mut other] {
        assert_eq!(wire.next(), Some((BINARY, vec![7; BIG])));
    }
    told.recv_timeout(SHORT).expect("the chunk is dropped, and its drop returns");
    for wire in [&mut wire, &mut other] {
        assert_eq!(wire.next(), Some((TEXT, b"all have got it".to_vec())));
    }
    neighbour.assert_answered_within(SHORT);
}
