//! One listener behind which 200 clients of all versions talk to each other.
//!
//! What is counted: 100,000 messages come to the listener, 500 from each client, and the listener sends each of them to
//! all 200, so that 20,000,000 messages go out. (With a task per client, where there is nothing else to see, a fifth of
//! that.) The listener writes down what it sends, as the octets of both framings, and each client's octets are compared
//! with that: nothing is missing, nothing is there twice, and the order is the same for all. What the listener wrote down
//! is each message of each client once and in the order that client sent them.
//!
//! Where one client stops reading, 16,000 messages are enough to fill what the system and the server hold for it. The
//! others are held to the same as above; and when it reads again, it gets what was taken for it, which is all but the
//! messages that were reported as refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;

use clws_handshake::client::ClientRequest;
use clws_server::{
    ByteString, Client, Close, Config, Group, Listen, Origins, ResourceListener, ResourceListenerHandle,
    SendError, Server,
};
use common::{ALL, Got, Peer, Running};

in_both_modes!(all_of_them_get_everything, one_that_stops_reading_harms_no_other);

const CLIENTS: usize = 200;

/// Each has a part of the clients.
const THREADS: usize = 4;

/// Octets of a frame beside its payload, in both framings.
const FRAMING: usize = 2;

/// Sends what each client says to all of them.
#[derive(Default)]
struct Relay {
    members: Group,
    log: Arc<Mutex<Log>>,
}

/// What went out, in the order it did.
#[derive(Default)]
struct Log {
    /// In draft 0's framing; all messages have one length.
    hixie: Vec<u8>,
    /// In everybody else's, which has the same length.
    hybi: Vec<u8>,
    messages: Vec<String>,
    /// Whom which message was refused for, and why.
    refused: Vec<(usize, Client, SendError)>,
}

impl Log {
    /// As a client reads it.
    fn octets(&self, client: usize) -> &[u8] {
        if ALL[client % ALL.len()].is_hixie() { &self.hixie } else { &self.hybi }
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

/// One of the clients, and how much of the log it has read.
struct Talker {
    peer: Peer,
    number: usize,
    sent: usize,
    read: usize,
}

struct Scene {
    // Dropped first: clients that are gone let the server end.
    talkers: Vec<Talker>,
    server: Running,
    relay: ResourceListenerHandle<Relay>,
    log: Arc<Mutex<Log>>,
    /// Octets of a message.
    size: usize,
}

impl Scene {
    fn new(config: Config, size: usize) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let server = Server::bind(config).unwrap();
        let relay = Relay { members: Group::new(), log: Arc::clone(&log) };
        let relay = server.resources().run_resource_listener("/", Origins::any(), relay).unwrap();
        let server = Running::run(server);
        let talkers = (0..CLIENTS).map(|number| {
            let version = ALL[number % ALL.len()];
            let request = ClientRequest::new(version, "ws://localhost/").with_origin("http://here.example");
            let peer = match &server.addresses[0] {
                #[cfg(unix)]
                Listen::Unix(path) => Peer::open(common::unix(path), version, request),
                _ => Peer::open(server.tcp(), version, request),
            };
            Talker { peer: peer.unwrap(), number, sent: 0, read: 0 }
        });
        let scene = Self { talkers: talkers.collect(), server, relay, log, size };
        common::eventually("all are in", || scene.members() == CLIENTS);
        scene
    }

    fn members(&self) -> usize {
        futures::executor::block_on(self.relay.call(|relay| relay.members.len())).unwrap()
    }

    /// In each round, every client sends so many messages and reads what all of them have sent: nobody is more than a round
    /// behind.
    fn rounds(&mut self, rounds: usize, each: usize, talkers: Range<usize>) {
        let (log, size) = (&*self.log, self.size);
        let talkers = &mut self.talkers[talkers];
        let octets = talkers.len() * each * (size + FRAMING);
        thread::scope(|scope| {
            for part in talkers.chunks_mut(talkers.len().div_ceil(THREADS)) {
                scope.spawn(move || {
                    for _ in 0..rounds {
                        part.iter_mut().for_each(|talker| talker.talk(each, size));
                        part.iter_mut().for_each(|talker| talker.listen(octets, log));
                    }
                });
            }
        });
    }

    /// What the listener was told is what the clients said: each message once, and each client's in order.
    fn assert_nothing_is_lost(&self) {
        let mut said = [0; CLIENTS];
        for message in &self.log.lock().unwrap().messages {
            let (client, number) = message.split_once(' ').unwrap();
            let said = &mut said[client.parse::<usize>().unwrap()];
            assert_eq!(number.parse(), Ok(*said), "of client {client}");
            *said += 1;
        }
        assert!(said.iter().eq(self.talkers.iter().map(|talker| &talker.sent)));
    }

    /// Nothing comes to any client that was not expected.
    fn end(&mut self) {
        for talker in &mut self.talkers {
            talker.peer.close(1000, "");
            assert!(matches!(talker.peer.next(), Got::Close(_)));
            assert_eq!(talker.peer.next(), Got::End);
        }
        common::eventually("nobody is in", || self.members() == 0);
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

    /// Reads so many octets, which must be the next ones of the log.
    #[track_caller]
    fn listen(&mut self, octets: usize, log: &Mutex<Log>) {
        let buffer = self.read(octets);
        let log = log.lock().unwrap();
        let all = log.octets(self.number);
        assert!(buffer == all[self.read..self.read + octets], "client {}: another order", self.number);
        self.read += octets;
    }

    #[track_caller]
    fn read(&mut self, octets: usize) -> Vec<u8> {
        let mut buffer = vec![0; octets];
        let number = self.number;
        self.peer.stream.read_exact(&mut buffer).unwrap_or_else(|error| panic!("client {number}: {error}"));
        buffer
    }
}

fn all_of_them_get_everything(config: Config) {
    const ROUNDS: usize = 20;

    let messages = if config.task_per_client { 20_000 } else { 100_000 };
    // So little that the clients are paused again and again.
    let mut scene = Scene::new(config.listen("127.0.0.1:0").max_handler_read_backlog(20_000), 7);
    scene.rounds(ROUNDS, messages / CLIENTS / ROUNDS, 0..CLIENTS);
    assert_eq!(scene.log.lock().unwrap().messages.len(), messages);
    assert_eq!(scene.log.lock().unwrap().refused, []);
    scene.assert_nothing_is_lost();
    scene.end();
}

#[cfg(unix)]
fn one_that_stops_reading_harms_no_other(config: Config) {
    const SIZE: usize = 62;
    const EACH: usize = 2;
    const ROUNDS: usize = 40;
    const STOPS: usize = 0; // which joined first, so that all others come behind it

    let mode = if config.task_per_client { "tasks" } else { "shards" };
    let path = std::env::temp_dir().join(format!("clws-one-listener-{}-{mode}", std::process::id()));
    // More than two rounds, which may wait for one that reads; and in the system's buffer for a Unix socket there is not
    // room for so much more.
    let backlog = 3 * CLIENTS * EACH * (SIZE + FRAMING);
    let config = config.listen(format!("unix:{}", path.display())).max_write_backlog(backlog);
    let mut scene = Scene::new(config, SIZE);
    scene.rounds(1, EACH, 0..CLIENTS);
    scene.rounds(ROUNDS, EACH, STOPS + 1..CLIENTS);

    assert_eq!(scene.members(), CLIENTS, "and the listener has done with the last message");
    let expected = {
        let log = scene.log.lock().unwrap();
        let (messages, refused) = (&log.messages, &log.refused);
        assert!(!refused.is_empty(), "there was room for everything");
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
        let all = log.octets(STOPS).chunks(SIZE + FRAMING).enumerate().skip(CLIENTS * EACH);
        let taken = all.filter(|(number, _)| refused.binary_search(number).is_err());
        let expected: Vec<_> = taken.flat_map(|(_, frame)| frame).copied().collect();
        assert_eq!(messages.len() - CLIENTS * EACH, expected.len() / (SIZE + FRAMING) + refused.len());
        expected
    };
    let talker = &mut scene.talkers[STOPS];
    assert!(talker.read(expected.len()) == expected, "what was taken for it is another thing");
    // It has missed some, and so it is closed; the others go on.
    assert_eq!(talker.peer.next(), Got::Close(None), "draft 0 has no codes; the others would see 1013");
    scene.assert_nothing_is_lost();
    let mut stopped = scene.talkers.remove(STOPS);
    stopped.peer.close(1013, "");
    assert_eq!(stopped.peer.next(), Got::End);
    common::eventually("it leaves", || scene.members() == CLIENTS - 1);
    scene.end();
}

#[cfg(not(unix))]
fn one_that_stops_reading_harms_no_other(_: Config) {}
