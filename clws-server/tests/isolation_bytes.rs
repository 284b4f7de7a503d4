//! The owner of bytes that were given away may use its client while it is dropped, and may panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use clws_server::{Bytes, Client, CloseCode, Config, SendError, SharedMessage, Version};
use common::{Diary, Got, PATIENCE, Probe, Running};

in_both_modes!(
    owners_ask_and_send_when_they_are_written,
    owners_panic_when_they_are_written,
    owners_ask_when_nothing_is_sent,
    owners_ask_and_panic_when_they_are_abandoned,
);

/// Uses its client when it is dropped, tells what it saw, and panics if it is asked to.
struct Owner {
    octets: Vec<u8>,
    client: Client,
    dropped: Sender<usize>,
    panics: bool,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let queued = self.client.buffered_amount();
        let _ = self.client.send_text("dropped"); // it may be closed
        self.dropped.send(queued).unwrap();
        assert!(!self.panics, "in the drop of an owner");
    }
}

struct World {
    server: Running,
    diary: Diary,
    dropped: Receiver<usize>,
    drops: Sender<usize>,
}

impl World {
    fn new(config: Config) -> Self {
        let (probe, diary) = Probe::new();
        let (drops, dropped) = channel();
        // One shard: if that waits for ever, nobody is served.
        Self { server: Running::start(config.shards(1), probe), diary, dropped, drops }
    }

    fn owned(&self, client: &Client, len: usize, panics: bool) -> Bytes {
        let (client, dropped) = (client.clone(), self.drops.clone());
        Bytes::from_owner(Owner { octets: vec![7; len], client, dropped, panics })
    }

    #[track_caller]
    fn expect_drops(&self, count: usize) {
        for _ in 0..count {
            self.dropped.recv_timeout(PATIENCE).expect("the owner is dropped");
        }
        assert!(self.dropped.try_recv().is_err(), "once");
    }

    #[track_caller]
    fn assert_works(&self) {
        self.server.connect(Version::Rfc6455, "/").assert_echo("undisturbed");
    }
}

fn owners_ask_and_send_when_they_are_written(config: Config) {
    let world = World::new(config);
    let mut peer = world.server.connect(Version::Rfc6455, "/");
    let client = world.diary.connected();
    for _ in 0..3 {
        client.send(world.owned(&client, 100_000, false)).unwrap();
    }
    let (mut binaries, mut texts) = (0, 0);
    while (binaries, texts) != (3, 3) {
        match peer.next() {
            Got::Binary(octets) => binaries += usize::from(octets == vec![7; 100_000]),
            got => texts += usize::from(got == common::text("dropped")),
        }
    }
    world.expect_drops(3);
    world.assert_works();
}

fn owners_panic_when_they_are_written(config: Config) {
    let world = World::new(config);
    let mut peer = world.server.connect(Version::Rfc6455, "/");
    let client = world.diary.connected();
    for _ in 0..3 {
        client.send(world.owned(&client, 100_000, true)).unwrap();
    }
    for _ in 0..6 {
        assert!(matches!(peer.next(), Got::Binary(_) | Got::Text(_)));
    }
    world.expect_drops(3);
    peer.assert_echo("goes on");
    world.assert_works();
}

fn owners_ask_when_nothing_is_sent(config: Config) {
    let world = World::new(config.max_write_backlog(1 << 20));
    let mut peer = world.server.connect(Version::Rfc6455, "/");
    let client = world.diary.connected();
    // Copied.
    client.send(world.owned(&client, 100, false)).unwrap();
    world.expect_drops(1);
    assert_eq!(peer.next(), Got::Binary(vec![7; 100]));
    assert_eq!(peer.next(), common::text("dropped"));
    // Encoded, for many.
    client.send(SharedMessage::binary(world.owned(&client, 100_000, false))).unwrap();
    world.expect_drops(1);
    assert!(matches!(peer.next(), Got::Binary(_)));
    assert_eq!(peer.next(), common::text("dropped"));
    // Refused. Draft 0 has no binary messages.
    let _old = world.server.connect(Version::Hybi00, "/");
    let old = world.diary.connected();
    assert_eq!(old.send(world.owned(&old, 100_000, false)), Err(SendError::Unsupported));
    world.expect_drops(1);
    client.send_binary(&vec![0; 60 << 20]).unwrap(); // nobody reads it
    assert_eq!(client.send(world.owned(&client, 100_000, false)), Err(SendError::Full));
    world.expect_drops(1);
    client.abort();
    old.close(CloseCode::new(1000));
    assert_eq!(old.send(world.owned(&old, 100_000, false)), Err(SendError::Closed));
    world.expect_drops(1);
    world.assert_works();
}

fn owners_ask_and_panic_when_they_are_abandoned(config: Config) {
    for abort in [true, false] {
        let world = World::new(config.clone().close_timeout(std::time::Duration::from_millis(10)));
        let peer = world.server.connect(Version::Rfc6455, "/");
        let client = world.diary.connected();
        // More than fits into the socket's buffers, and nobody reads.
        for _ in 0..5 {
            client.send(world.owned(&client, 5 << 20, true)).unwrap();
        }
        if abort {
            // The caller's own thread drops them, and goes on.
            client.abort();
        } else {
            drop(peer);
        }
        world.expect_drops(5);
        world.diary.gone();
        world.server.wait_for_clients(0);
        world.assert_works();
    }
}

/// Two threads send to one another's clients, from the drops of their owners.
#[test]
fn owners_of_two_clients_do_not_wait_for_each_other() {
    let (probe, diary) = Probe::new();
    let server = Running::start(common::config(), probe);
    let mut peers = [0, 1].map(|_| server.connect(Version::Rfc6455, "/"));
    let clients = Arc::new([diary.connected(), diary.connected()]);
    let threads = [0, 1].map(|one| {
        let clients = Arc::clone(&clients);
        std::thread::spawn(move || {
            let (dropped, drops) = channel();
            for _ in 0..100 {
                let owner = Owner {
                    octets: vec![7; 20_000],
                    client: clients[1 - one].clone(),
                    dropped: dropped.clone(),
                    panics: false,
                };
                clients[one].send(Bytes::from_owner(owner)).unwrap();
            }
            assert!((0..100).all(|_| drops.recv_timeout(PATIENCE).is_ok()), "the owners are dropped");
        })
    });
    for peer in &mut peers {
        (0..200).for_each(|_| assert!(matches!(peer.next(), Got::Binary(_) | Got::Text(_))));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
