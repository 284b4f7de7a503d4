//! The owner of sent bytes may use its client in `Drop`, and may panic there.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::common;
use crate::common::{Probe, Received, Recorder, Running, TIMEOUT};
use clws_server::{Bytes, Client, CloseCode, Config, SendError, SharedMessage, Version};

in_both_modes!(
    owners_may_send_after_the_write,
    owners_may_panic_after_the_write,
    owners_may_send_when_their_message_is_not_queued,
    owners_may_panic_when_their_connection_ends,
);

/// Message memory that uses its client in `Drop`, reports the buffered amount, and optionally
/// panics.
struct Owner {
    bytes: Vec<u8>,
    client: Client,
    dropped: Sender<usize>,
    panics: bool,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let queued = self.client.buffered_amount();
        let _ = self.client.send_text("dropped"); // the client may be closed
        self.dropped.send(queued).unwrap();
        assert!(!self.panics, "a panic in the owner's drop");
    }
}

struct Harness {
    server: Running,
    recorder: Recorder,
    dropped: Receiver<usize>,
    drops: Sender<usize>,
}

impl Harness {
    fn new(config: Config) -> Self {
        let (probe, recorder) = Probe::new();
        let (drops, dropped) = channel();
        // With a single shard, a deadlock of that shard stops every client.
        Self { server: Running::start(config.shards(1), probe), recorder, dropped, drops }
    }

    fn bytes_with_owner(&self, client: &Client, len: usize, panics: bool) -> Bytes {
        let (client, dropped) = (client.clone(), self.drops.clone());
        Bytes::from_owner(Owner { bytes: vec![7; len], client, dropped, panics })
    }

    #[track_caller]
    fn expect_drops(&self, count: usize) {
        for _ in 0..count {
            self.dropped.recv_timeout(TIMEOUT).expect("no owner was dropped");
        }
        assert!(self.dropped.try_recv().is_err(), "an owner was dropped twice");
    }

    #[track_caller]
    fn assert_works(&self) {
        self.server.connect(Version::Rfc6455, "/").assert_echo("undisturbed");
    }
}

fn owners_may_send_after_the_write(config: Config) {
    let harness = Harness::new(config);
    let mut peer = harness.server.connect(Version::Rfc6455, "/");
    let client = harness.recorder.connected();
    for _ in 0..3 {
        client.send(harness.bytes_with_owner(&client, 100_000, false)).unwrap();
    }
    let (mut binaries, mut texts) = (0, 0);
    while (binaries, texts) != (3, 3) {
        match peer.next() {
            Received::Binary(bytes) => binaries += usize::from(bytes == vec![7; 100_000]),
            got => texts += usize::from(got == common::text("dropped")),
        }
    }
    harness.expect_drops(3);
    harness.assert_works();
}

fn owners_may_panic_after_the_write(config: Config) {
    let harness = Harness::new(config);
    let mut peer = harness.server.connect(Version::Rfc6455, "/");
    let client = harness.recorder.connected();
    for _ in 0..3 {
        client.send(harness.bytes_with_owner(&client, 100_000, true)).unwrap();
    }
    for _ in 0..6 {
        assert!(matches!(peer.next(), Received::Binary(_) | Received::Text(_)));
    }
    harness.expect_drops(3);
    peer.assert_echo("still open");
    harness.assert_works();
}

fn owners_may_send_when_their_message_is_not_queued(config: Config) {
    let harness = Harness::new(config.max_write_backlog(1 << 20));
    let mut peer = harness.server.connect(Version::Rfc6455, "/");
    let client = harness.recorder.connected();
    // Short messages are copied.
    client.send(harness.bytes_with_owner(&client, 100, false)).unwrap();
    harness.expect_drops(1);
    assert_eq!(peer.next(), Received::Binary(vec![7; 100]));
    assert_eq!(peer.next(), common::text("dropped"));
    // Shared messages are encoded once.
    client.send(SharedMessage::binary(harness.bytes_with_owner(&client, 100_000, false))).unwrap();
    harness.expect_drops(1);
    assert!(matches!(peer.next(), Received::Binary(_)));
    assert_eq!(peer.next(), common::text("dropped"));
    // Draft 0 has no binary messages.
    let _old = harness.server.connect(Version::Hybi00, "/");
    let old = harness.recorder.connected();
    assert_eq!(old.send(harness.bytes_with_owner(&old, 100_000, false)), Err(SendError::Unsupported));
    harness.expect_drops(1);
    client.send_binary(&vec![0; 60 << 20]).unwrap(); // the client does not read it
    assert_eq!(client.send(harness.bytes_with_owner(&client, 100_000, false)), Err(SendError::Full));
    harness.expect_drops(1);
    client.abort();
    old.close(CloseCode::new(1000));
    assert_eq!(old.send(harness.bytes_with_owner(&old, 100_000, false)), Err(SendError::Closed));
    harness.expect_drops(1);
    harness.assert_works();
}

fn owners_may_panic_when_their_connection_ends(config: Config) {
    for abort in [true, false] {
        let harness = Harness::new(config.clone().close_timeout(std::time::Duration::from_millis(10)));
        let peer = harness.server.connect(Version::Rfc6455, "/");
        let client = harness.recorder.connected();
        // More than the socket buffers hold. The client does not read.
        for _ in 0..5 {
            client.send(harness.bytes_with_owner(&client, 5 << 20, true)).unwrap();
        }
        if abort {
            // The calling thread drops the owners.
            client.abort();
        } else {
            drop(peer);
        }
        harness.expect_drops(5);
        harness.recorder.disconnected();
        harness.server.wait_for_clients(0);
        harness.assert_works();
    }
}

/// Two threads send to each other's clients from the drops of their owners.
#[test]
fn owners_of_two_clients_do_not_deadlock() {
    let (probe, recorder) = Probe::new();
    let server = Running::start(common::config(), probe);
    let mut peers = [0, 1].map(|_| server.connect(Version::Rfc6455, "/"));
    let clients = Arc::new([recorder.connected(), recorder.connected()]);
    let threads = [0, 1].map(|one| {
        let clients = Arc::clone(&clients);
        std::thread::spawn(move || {
            let (dropped, drops) = channel();
            for _ in 0..100 {
                let owner = Owner {
                    bytes: vec![7; 20_000],
                    client: clients[1 - one].clone(),
                    dropped: dropped.clone(),
                    panics: false,
                };
                clients[one].send(Bytes::from_owner(owner)).unwrap();
            }
            assert!((0..100).all(|_| drops.recv_timeout(TIMEOUT).is_ok()), "an owner was not dropped");
        })
    });
    for peer in &mut peers {
        (0..200).for_each(|_| assert!(matches!(peer.next(), Received::Binary(_) | Received::Text(_))));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
