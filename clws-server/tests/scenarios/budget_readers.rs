//! Clients that never read stay below their own limits, but exceed the server's limit together.

use std::sync::Arc;

use crate::common;
use crate::common::memory::{LIMIT, MemoryWatch, UNUSED_CREDIT, assert_memory_is_free, with_memory_limit};
use crate::common::wire::{Wire, dial, request};
use crate::common::{Probe, Running, text};
use clws_server::{
    Client, Close, Config, Disconnect, DisconnectCause, Group, Resource, SendError, SharedMessage, Text,
    Version,
};

in_both_modes_in_own_process!(
    a_message_to_sixty_members_is_held_once,
    separate_copies_are_bounded_together,
    drops_the_client_that_holds_the_most,
    drops_a_client_that_is_sent_too_much_when_it_connects,
);

/// Forwards each text to all other members, and answers it with one byte.
#[derive(Default)]
struct Room {
    members: Group,
}

impl Resource for Room {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.members.join(client);
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = self.members.send_except(SharedMessage::text(text.as_str()), client);
        client.send_text(&text[..1]).unwrap();
    }

    fn disconnected(&self, _: &Client, end: &Disconnect) {
        assert!(
            matches!(end.cause, DisconnectCause::Budget | DisconnectCause::Vanished | DisconnectCause::Io(_)),
            "{end}"
        );
    }
}

/// Sends `count` messages of 1 KiB, 100 at once.
fn send_texts(speaker: &mut common::Peer, count: usize) {
    let message = "x".repeat(1024);
    for _ in 0..count / 100 {
        speaker.send(|sender| (0..100).for_each(|_| sender.text(&message, None).unwrap()));
        for _ in 0..100 {
            assert_eq!(speaker.next(), text("x"));
        }
    }
}

fn a_message_to_sixty_members_is_held_once(config: Config) {
    const LIMIT: usize = 16 << 20; // fewer messages to sixty members reach it
    const UNUSED_CREDIT: usize = 2 << 20;

    let server = Running::start(config.max_buffered(LIMIT), Arc::new(Room::default()));
    let watch = MemoryWatch::new(&server.handle);
    let silent: Vec<_> = (0..60).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    let mut speaker = server.connect(Version::Rfc6455, "/");

    // Separate copies of 5 MiB for each member would take 300 MiB.
    send_texts(&mut speaker, 5 * 1024);
    assert_eq!((server.handle.dropped_for_memory(), server.handle.clients()), (0, 61));
    assert!(watch.max() <= LIMIT, "{}", watch.max());

    // A single shared copy of 25 MiB exceeds the limit. All members hold it, so the two threads
    // drop them all, one after another.
    send_texts(&mut speaker, 20 * 1024);
    assert!(watch.max() <= LIMIT + LIMIT / 4 + UNUSED_CREDIT, "{}", watch.max());
    assert!(server.handle.dropped_for_memory() >= 50, "{}", server.handle.dropped_for_memory());
    send_texts(&mut speaker, 100);
    drop((speaker, silent));
    assert_memory_is_free(&server);
}

/// A thread of the application sends to each client faster than any client reads.
fn separate_copies_are_bounded_together(config: Config) {
    const MESSAGE: usize = 100_000;

    let (probe, recorder) = Probe::new();
    let server = Running::start(with_memory_limit(config), probe);
    let watch = MemoryWatch::new(&server.handle);
    let silent: Vec<_> = (0..60).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    let clients: Vec<_> = silent.iter().map(|_| recorder.connected()).collect();
    let mut small = server.connect(Version::Rfc6455, "/");
    let message = "x".repeat(MESSAGE);
    let mut refused = 0;
    for _ in 0..(20 << 20) / MESSAGE {
        for client in &clients {
            match client.send_text(&message) {
                Ok(_) => {}
                Err(SendError::Full | SendError::Closed) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        small.assert_echo("undisturbed");
    }
    assert!(refused > 0 && server.handle.dropped_for_memory() > 0);
    // Slow clients are sent nothing beyond 1.25 times the limit. Each client may exceed it by one
    // message.
    let max = LIMIT + LIMIT / 4 + 60 * 2 * MESSAGE + UNUSED_CREDIT;
    assert!(watch.max() <= max, "{}", watch.max());
    common::eventually("memory falls below the limit", || server.handle.buffered() <= LIMIT);
    small.assert_echo("to the end");
    drop((silent, small));
    assert_memory_is_free(&server);
}

fn drops_the_client_that_holds_the_most(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(with_memory_limit(config).max_write_backlog(usize::MAX), probe);
    let mut silent: Vec<_> = (0..4).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    let clients: Vec<_> = silent.iter().map(|_| recorder.connected()).collect();
    let message = vec![0; 1 << 20];
    // When the limit is reached, the next client holds far more than each of these.
    for (client, messages) in clients.iter().zip([10, 8, 10, 8]) {
        (0..messages).for_each(|_| assert!(client.send_binary(&message).is_ok()));
    }
    // This client holds the most, whichever thread serves it.
    let greedy = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    while client.send_binary(&message).is_ok() {}
    assert_eq!(recorder.disconnected(), (1006, String::new(), "held too much memory".to_owned()));
    assert!(!client.is_open() && clients.iter().all(Client::is_open));
    server.wait_for_clients(4);
    assert_eq!(server.handle.dropped_for_memory(), 1);
    assert_eq!(silent[0].next(), common::Received::Binary(message));
    drop((silent, greedy));
    assert_memory_is_free(&server);
}

/// Sends to each client that connects with `?greedy` until it is dropped.
struct Greeter(Arc<Probe>);

impl Resource for Greeter {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        if client.query_string() == Some("greedy") {
            while client.send_binary(&vec![0; 1 << 20]).is_ok() {}
        }
        self.0.connected(client)
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        self.0.disconnected(client, end);
    }
}

fn drops_a_client_that_is_sent_too_much_when_it_connects(config: Config) {
    let (probe, recorder) = Probe::new();
    let config = with_memory_limit(config).max_write_backlog(usize::MAX);
    let server = Running::start(config, Arc::new(Greeter(probe)));
    let mut silent = server.connect(Version::Rfc6455, "/");
    let first = recorder.connected();
    let message = vec![0; 1 << 20];
    (0..24).for_each(|_| assert!(first.send_binary(&message).is_ok()));
    // It may be dropped before it gets the response.
    let mut greedy = Wire { socket: dial(&server.addresses[0]) };
    greedy.raw(request("/?greedy").as_bytes());
    assert_eq!(recorder.disconnected(), (1006, String::new(), "held too much memory".to_owned()));
    assert!(first.is_open());
    assert_eq!(server.handle.dropped_for_memory(), 1);
    assert_eq!(silent.next(), common::Received::Binary(message));
    drop((silent, greedy));
    assert_memory_is_free(&server);
}
