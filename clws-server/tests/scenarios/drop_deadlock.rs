//! The `Drop` of a message's memory queries its client and sends to it, without a deadlock.

use std::sync::mpsc::{Receiver, channel};

use crate::common::wire::{BINARY, SHORT_TIMEOUT, TEXT, Wire};
use crate::common::{Probe, Recorder, Running};
use clws_server::{Bytes, Client, CloseCode, Config, Group, SendError, SharedMessage, Version};

in_both_modes_in_own_process!(
    dropping_a_written_large_message_does_not_deadlock,
    dropping_a_copied_small_message_does_not_deadlock,
    dropping_a_message_that_sends_the_next_does_not_deadlock,
    dropping_a_queued_message_on_abort_does_not_deadlock,
    dropping_a_message_sent_after_the_close_does_not_deadlock,
    dropping_a_message_that_exceeds_the_backlog_does_not_deadlock,
    dropping_an_unsupported_message_does_not_deadlock,
    dropping_a_queued_message_on_reset_does_not_deadlock,
    dropping_a_queued_message_when_the_server_stops_does_not_deadlock,
    dropping_a_message_to_a_group_does_not_deadlock,
);

const BIG: usize = 100_000;

/// Message memory that runs a closure when it is dropped.
struct Chunk {
    bytes: Vec<u8>,
    on_drop: Box<dyn Fn() + Send + Sync>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        (self.on_drop)();
    }
}

fn chunk(len: usize, on_drop: impl Fn() + Send + Sync + 'static) -> Bytes {
    Bytes::from_owner(Chunk { bytes: vec![7; len], on_drop: Box::new(on_drop) })
}

/// A chunk that queries its client and sends to it when dropped, and then notifies the receiver.
fn chunk_that_uses(len: usize, client: &Client) -> (Bytes, Receiver<()>) {
    let (tx, rx) = channel();
    let client = client.clone();
    let on_drop = move || {
        let _ = (client.buffered_amount(), client.is_open(), client.send_text("one more"));
        let _ = tx.send(());
    };
    (chunk(len, on_drop), rx)
}

fn start(config: Config) -> (Running, Recorder, Wire, Wire, Client) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.shards(1), probe);
    let neighbour = Wire::connect(&server, "/");
    recorder.connected();
    let wire = Wire::connect(&server, "/");
    let client = recorder.connected();
    (server, recorder, neighbour, wire, client)
}

#[track_caller]
fn assert_dropped(rx: &Receiver<()>, neighbour: &mut Wire) {
    rx.recv_timeout(SHORT_TIMEOUT).expect("the chunk's `Drop` did not return");
    neighbour.assert_answered_within(SHORT_TIMEOUT);
}

fn dropping_a_written_large_message_does_not_deadlock(config: Config) {
    let (_server, _recorder, mut neighbour, mut wire, client) = start(config);
    let (bytes, rx) = chunk_that_uses(BIG, &client);
    client.send(bytes).unwrap();
    assert_eq!(wire.next(), Some((BINARY, vec![7; BIG])));
    assert_dropped(&rx, &mut neighbour);
    assert_eq!(wire.next(), Some((TEXT, b"one more".to_vec())));
}

fn dropping_a_copied_small_message_does_not_deadlock(config: Config) {
    let (_server, _recorder, mut neighbour, mut wire, client) = start(config);
    let (bytes, rx) = chunk_that_uses(10, &client);
    client.send(bytes).unwrap();
    assert_dropped(&rx, &mut neighbour);
    let mut got = [wire.next().unwrap().0, wire.next().unwrap().0];
    got.sort_unstable();
    assert_eq!(got, [TEXT, BINARY]);
}

/// A chain of chunks. Each chunk sends the next one when it is dropped.
fn dropping_a_message_that_sends_the_next_does_not_deadlock(config: Config) {
    fn send(client: &Client, left: usize) {
        let next = client.clone();
        let sent = client.send(chunk(BIG, move || {
            if left > 0 {
                send(&next, left - 1);
            }
        }));
        assert!(sent.is_ok());
    }

    let (_server, _recorder, mut neighbour, mut wire, client) = start(config);
    send(&client, 20);
    for _ in 0..=20 {
        assert_eq!(wire.next(), Some((BINARY, vec![7; BIG])));
    }
    neighbour.assert_answered_within(SHORT_TIMEOUT);
    wire.assert_answered_within(SHORT_TIMEOUT);
}

/// Sends until the socket buffers are full, so later messages stay queued.
fn fill(client: &Client) {
    while client.buffered_amount() < 20 << 20 {
        client.send(vec![0; 1 << 20]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn dropping_a_queued_message_on_abort_does_not_deadlock(config: Config) {
    let (_server, _recorder, mut neighbour, _wire, client) = start(config);
    fill(&client);
    let (bytes, rx) = chunk_that_uses(BIG, &client);
    client.send(bytes).unwrap();
    client.abort();
    assert_dropped(&rx, &mut neighbour);
}

fn dropping_a_message_sent_after_the_close_does_not_deadlock(config: Config) {
    let (_server, _recorder, mut neighbour, _wire, client) = start(config);
    client.close(CloseCode::NORMAL);
    for len in [10, BIG] {
        let (bytes, rx) = chunk_that_uses(len, &client);
        assert_eq!(client.send(bytes), Err(SendError::Closed));
        assert_dropped(&rx, &mut neighbour);
    }
}

fn dropping_a_message_that_exceeds_the_backlog_does_not_deadlock(config: Config) {
    let (_server, _recorder, mut neighbour, _wire, client) = start(config.max_write_backlog(15 << 20));
    while client.send(vec![0; 1 << 20]).is_ok() {}
    for len in [10, BIG] {
        let (bytes, rx) = chunk_that_uses(len, &client);
        let _ = client.send(bytes); // some messages may have been written since
        client.abort();
        assert_dropped(&rx, &mut neighbour);
    }
}

/// Draft 0 has no binary messages.
fn dropping_an_unsupported_message_does_not_deadlock(config: Config) {
    let (server, recorder, mut neighbour, _wire, _client) = start(config);
    let _peer = server.connect(Version::Hybi00, "/");
    let client = recorder.connected();
    for len in [10, BIG] {
        let (bytes, rx) = chunk_that_uses(len, &client);
        assert_eq!(client.send(bytes), Err(SendError::Unsupported));
        assert_dropped(&rx, &mut neighbour);
    }
}

fn dropping_a_queued_message_on_reset_does_not_deadlock(config: Config) {
    let (_server, _recorder, mut neighbour, wire, client) = start(config);
    fill(&client);
    let (bytes, rx) = chunk_that_uses(BIG, &client);
    client.send(bytes).unwrap();
    wire.reset();
    assert_dropped(&rx, &mut neighbour);
}

fn dropping_a_queued_message_when_the_server_stops_does_not_deadlock(config: Config) {
    let (server, _recorder, _neighbour, _wire, client) =
        start(config.close_timeout(std::time::Duration::from_millis(100)));
    fill(&client);
    let (bytes, rx) = chunk_that_uses(BIG, &client);
    client.send(bytes).unwrap();
    server.stop().unwrap();
    rx.recv_timeout(SHORT_TIMEOUT).unwrap();
}

fn dropping_a_message_to_a_group_does_not_deadlock(config: Config) {
    let (_server, recorder, mut neighbour, mut wire, client) = start(config);
    let mut other = Wire::connect(&_server, "/");
    let group = Group::new();
    assert!(group.join(&client) && group.join(&recorder.connected()));
    let ((tx, rx), members) = (channel(), group.clone());
    let bytes = chunk(BIG, move || {
        let amounts: usize = members.members().iter().map(Client::buffered_amount).sum();
        let _ = members.send_text("after the message");
        let _ = tx.send(amounts + members.len());
    });
    assert_eq!(group.send(SharedMessage::binary(bytes)).sent, 2);
    for wire in [&mut wire, &mut other] {
        assert_eq!(wire.next(), Some((BINARY, vec![7; BIG])));
    }
    rx.recv_timeout(SHORT_TIMEOUT).expect("the chunk's `Drop` did not return");
    for wire in [&mut wire, &mut other] {
        assert_eq!(wire.next(), Some((TEXT, b"after the message".to_vec())));
    }
    neighbour.assert_answered_within(SHORT_TIMEOUT);
}
