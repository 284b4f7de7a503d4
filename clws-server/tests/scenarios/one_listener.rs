//! One listener relays the messages of 40 clients of all versions.
//!
//! Each client sends 100 messages, and the listener sends each of these 4,000 messages to all 40
//! clients. That makes 160,000 messages.
//!
//! The listener logs the bytes of its messages in both framings, and each client's input is
//! compared with that log. No message is lost or duplicated, and all clients get the same order.
//! The log itself contains each client's messages once and in order.
//!
//! In the test with a client that stops reading, 4,800 messages fill its buffers. The other
//! clients get everything, as above. When the stopped client reads again, it gets all messages
//! except those reported as failed.

use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::common;
use crate::common::{ALL_VERSIONS, Peer, Received, Running};
use clws_handshake::client::ClientRequest;
use clws_server::{
    ByteString, Client, Close, Config, Group, Listen, Origins, ResourceListener, ResourceListenerHandle,
    SendError, Server,
};

in_both_modes!(all_clients_get_all_messages, a_client_that_stops_reading_affects_no_other);

const CLIENTS: usize = 40;

/// The number of threads. Each thread drives a part of the clients.
const THREADS: usize = 4;

/// The size of a frame without its payload, in both framings.
const FRAMING: usize = 2;

/// Sends the texts of each client to all clients.
#[derive(Default)]
struct Relay {
    members: Group,
    log: Arc<Mutex<Log>>,
}

/// The sent messages, in order.
#[derive(Default)]
struct Log {
    /// The bytes in draft 0's framing. All messages have the same length.
    hixie: Vec<u8>,
    /// The bytes in the framing of all other versions, which has the same length.
    hybi: Vec<u8>,
    messages: Vec<String>,
    /// The failed sends: the message number, the client and the error.
    refused: Vec<(usize, Client, SendError)>,
}

impl Log {
    /// The bytes that the client reads.
    fn bytes(&self, client: usize) -> &[u8] {
        if ALL_VERSIONS[client % ALL_VERSIONS.len()].is_hixie() { &self.hixie } else { &self.hybi }
    }
}

impl ResourceListener for Relay {
    type Message = ();

    fn connected(&mut self, client: &Client) -> Result<(), Close> {
        assert!(self.members.join(client));
        Ok(())
    }

    fn text(&mut self, _: &Client, text: ByteString) {
        let number = {
            let mut log = self.log.lock().unwrap();
            log.hixie.extend([&[0x00][..], text.as_bytes(), &[0xFF]].concat());
            log.hybi.extend([&[0x81, u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat());
            log.messages.push(text.to_string());
            log.messages.len() - 1
        };
        let delivery = self.members.send_text(text);
        if !delivery.is_complete() {
            let refused = delivery.failed.into_iter().map(|(client, error)| (number, client, error));
            self.log.lock().unwrap().refused.extend(refused);
        }
    }
}

/// A client, and its position in the log.
struct Talker {
    peer: Peer,
    number: usize,
    sent: usize,
    read: usize,
}

struct Harness {
    // Dropped first, because the server waits for its clients.
    talkers: Vec<Talker>,
    server: Running,
    relay: ResourceListenerHandle<Relay>,
    log: Arc<Mutex<Log>>,
    /// The size of a message in bytes.
    size: usize,
}

impl Harness {
    fn new(config: Config, size: usize) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let server = Server::bind(config).unwrap();
        let relay = Relay { members: Group::new(), log: Arc::clone(&log) };
        let relay = server.resources().run_resource_listener("/", Origins::any(), relay).unwrap();
        let server = Running::run(server);
        let talkers = (0..CLIENTS).map(|number| {
            let version = ALL_VERSIONS[number % ALL_VERSIONS.len()];
            let request = ClientRequest::new(version, "ws://localhost/").origin("http://here.example");
            let peer = match &server.addresses[0] {
                #[cfg(unix)]
                Listen::Unix(path) => Peer::open(common::unix(path), version, request),
                _ => Peer::open(server.tcp(), version, request),
            };
            Talker { peer: peer.unwrap(), number, sent: 0, read: 0 }
        });
        let harness = Self { talkers: talkers.collect(), server, relay, log, size };
        common::eventually("all members have joined", || harness.members() == CLIENTS);
        harness
    }

    fn members(&self) -> usize {
        futures::executor::block_on(self.relay.call(|relay| relay.members.len())).unwrap()
    }

    /// In each round, every client sends `each` messages and reads the messages of all clients. So
    /// no client is more than a round late.
    fn rounds(&mut self, rounds: usize, each: usize, talkers: Range<usize>) {
        let (log, size) = (&*self.log, self.size);
        let talkers = &mut self.talkers[talkers];
        let bytes = talkers.len() * each * (size + FRAMING);
        thread::scope(|scope| {
            for part in talkers.chunks_mut(talkers.len().div_ceil(THREADS)) {
                scope.spawn(move || {
                    for _ in 0..rounds {
                        part.iter_mut().for_each(|talker| talker.talk(each, size));
                        part.iter_mut().for_each(|talker| talker.listen(bytes, log));
                    }
                });
            }
        });
    }

    /// Checks that the listener got each client's messages once and in order.
    fn assert_no_message_is_lost(&self) {
        let mut counts = [0; CLIENTS];
        for message in &self.log.lock().unwrap().messages {
            let (client, number) = message.split_once(' ').unwrap();
            let count = &mut counts[client.parse::<usize>().unwrap()];
            assert_eq!(number.parse(), Ok(*count), "client {client}");
            *count += 1;
        }
        assert!(counts.iter().eq(self.talkers.iter().map(|talker| &talker.sent)));
    }

    /// Closes all clients, and checks that they get nothing else.
    fn end(&mut self) {
        for talker in &mut self.talkers {
            talker.peer.close(1000, "");
            assert!(matches!(talker.peer.next(), Received::Close(_)));
            assert_eq!(talker.peer.next(), Received::End);
        }
        common::eventually("all members left", || self.members() == 0);
        self.server.wait_for_clients(0);
    }
}

impl Talker {
    fn talk(&mut self, messages: usize, size: usize) {
        let Self { peer, number, sent, .. } = self;
        peer.send(|sender| {
            for i in *sent..*sent + messages {
                sender.text(&format!("{number:03} {i:0width$}", width = size - 4), None).unwrap();
            }
        });
        self.sent += messages;
    }

    /// Reads `bytes` bytes, and checks that they continue the log.
    #[track_caller]
    fn listen(&mut self, bytes: usize, log: &Mutex<Log>) {
        let buffer = self.read(bytes);
        let log = log.lock().unwrap();
        let all = log.bytes(self.number);
        assert!(
            buffer == all[self.read..self.read + bytes],
            "client {}: other bytes than logged",
            self.number
        );
        self.read += bytes;
    }

    #[track_caller]
    fn read(&mut self, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        let number = self.number;
        self.peer.stream.read_exact(&mut buffer).unwrap_or_else(|error| panic!("client {number}: {error}"));
        buffer
    }
}

fn all_clients_get_all_messages(config: Config) {
    const ROUNDS: usize = 4;
    const MESSAGES: usize = 4_000;

    // A small limit, so that reading from the clients is paused often.
    let mut harness = Harness::new(config.listen("127.0.0.1:0").max_handler_read_backlog(4_000), 7);
    harness.rounds(ROUNDS, MESSAGES / CLIENTS / ROUNDS, 0..CLIENTS);
    assert_eq!(harness.log.lock().unwrap().messages.len(), MESSAGES);
    assert_eq!(harness.log.lock().unwrap().refused, []);
    harness.assert_no_message_is_lost();
    harness.end();
}

#[cfg(unix)]
fn a_client_that_stops_reading_affects_no_other(config: Config) {
    const SIZE: usize = 62;
    const EACH: usize = 2;
    const ROUNDS: usize = 60;
    const STOPS: usize = 0; // joined first, so every message reaches it before all other clients

    let mode = if config.task_per_client { "tasks" } else { "shards" };
    let path = std::env::temp_dir().join(format!("clws-one-listener-{}-{mode}", std::process::id()));
    // More than two rounds, which may be queued for a client that reads. The system's buffer of a
    // Unix socket is too small for the rest.
    let backlog = 15 * CLIENTS * EACH * (SIZE + FRAMING);
    let config = config.listen(format!("unix:{}", path.display())).max_write_backlog(backlog);
    let mut harness = Harness::new(config, SIZE);
    harness.rounds(1, EACH, 0..CLIENTS);
    harness.rounds(ROUNDS, EACH, STOPS + 1..CLIENTS);

    assert_eq!(harness.members(), CLIENTS, "every client is still a member");
    let expected = {
        let log = harness.log.lock().unwrap();
        let (messages, refused) = (&log.messages, &log.refused);
        assert!(!refused.is_empty(), "no send failed");
        let stopped = &refused[0].1;
        let errors =
            [SendError::Full, SendError::Closed].into_iter().chain(std::iter::repeat(SendError::Closed));
        assert!(
            refused
                .iter()
                .map(|(_, client, error)| (client, *error))
                .eq(errors.map(|e| (stopped, e)).take(refused.len()))
        );
        let refused: Vec<_> = refused.iter().map(|(number, ..)| *number).collect();
        let all = log.bytes(STOPS).chunks(SIZE + FRAMING).enumerate().skip(CLIENTS * EACH);
        let delivered = all.filter(|(number, _)| refused.binary_search(number).is_err());
        let expected: Vec<_> = delivered.flat_map(|(_, frame)| frame).copied().collect();
        assert_eq!(messages.len() - CLIENTS * EACH, expected.len() / (SIZE + FRAMING) + refused.len());
        expected
    };
    let talker = &mut harness.talkers[STOPS];
    assert!(talker.read(expected.len()) == expected, "the stopped client got other messages");
    // The stopped client missed messages, so the server closes it.
    assert_eq!(
        talker.peer.next(),
        Received::Close(None),
        "draft 0 has no close codes; other versions would get 1013"
    );
    harness.assert_no_message_is_lost();
    let mut stopped = harness.talkers.remove(STOPS);
    stopped.peer.close(1013, "");
    assert_eq!(stopped.peer.next(), Received::End);
    common::eventually("the stopped client leaves", || harness.members() == CLIENTS - 1);
    harness.end();
}

#[cfg(not(unix))]
fn a_client_that_stops_reading_affects_no_other(_: Config) {}
