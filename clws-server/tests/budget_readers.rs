//! Clients that never read what they are sent, each below its own limit, all of them together beyond the server's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::Arc;

use clws_server::{
    Client, Close, Config, Disconnect, DisconnectCause, Group, Resource, SendError, SharedMessage, Text,
    Version,
};
use common::memory::{LIMIT, UNUSED, Watch, assert_all_is_free, limited};
use common::{Probe, Running, text};

in_both_modes!(
    what_one_says_to_sixty_is_held_once,
    copies_for_each_are_bounded_together,
    the_one_that_holds_most_is_dropped,
);

/// Texts go to all others, and each is answered.
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

/// Says `count` kibibytes, 100 at once.
fn talk(speaker: &mut common::Peer, count: usize) {
    let message = "x".repeat(1024);
    for _ in 0..count / 100 {
        speaker.send(|sender| (0..100).for_each(|_| sender.text(&message, None).unwrap()));
        for _ in 0..100 {
            assert_eq!(speaker.next(), text("x"));
        }
    }
}

fn what_one_says_to_sixty_is_held_once(config: Config) {
    let server = Running::start(limited(config), Arc::new(Room::default()));
    let watch = Watch::new(&server.handle);
    let silent: Vec<_> = (0..60).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    let mut speaker = server.connect(Version::Rfc6455, "/");

    // 20 MiB to each would be 1,200 MiB in copies.
    talk(&mut speaker, 20 * 1024);
    assert_eq!((server.handle.dropped_for_memory(), server.handle.clients()), (0, 61));
    assert!(watch.most() <= LIMIT, "{}", watch.most());

    // But 100 MiB are too much, once as well. They hold it together, so they go together, by and by on two threads.
    talk(&mut speaker, 80 * 1024);
    assert!(watch.most() <= LIMIT + LIMIT / 4 + UNUSED, "{}", watch.most());
    assert!(server.handle.dropped_for_memory() >= 50, "{}", server.handle.dropped_for_memory());
    talk(&mut speaker, 100);
    drop((speaker, silent));
    assert_all_is_free(&server);
}

/// A thread of the application's own sends to each, faster than anybody reads.
fn copies_for_each_are_bounded_together(config: Config) {
    const MESSAGE: usize = 100_000;

    let (probe, diary) = Probe::new();
    let server = Running::start(limited(config), probe);
    let watch = Watch::new(&server.handle);
    let silent: Vec<_> = (0..60).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    let clients: Vec<_> = silent.iter().map(|_| diary.connected()).collect();
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
    // A quarter more is where clients that are behind are sent nothing more; each has one message more.
    let most = LIMIT + LIMIT / 4 + 60 * 2 * MESSAGE + UNUSED;
    assert!(watch.most() <= most, "{}", watch.most());
    common::eventually("the limit", || server.handle.buffered() <= LIMIT);
    small.assert_echo("to the end");
    drop((silent, small));
    assert_all_is_free(&server);
}

fn the_one_that_holds_most_is_dropped(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(limited(config).max_write_backlog(usize::MAX), probe);
    let mut silent: Vec<_> = (0..4).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    let clients: Vec<_> = silent.iter().map(|_| diary.connected()).collect();
    let message = vec![0; 1 << 20];
    for (client, messages) in clients.iter().zip([16, 8, 16, 8]) {
        (0..messages).for_each(|_| assert!(client.send_binary(&message).is_ok()));
    }
    // Whichever thread serves it, it holds the most of all.
    let greedy = server.connect(Version::Rfc6455, "/");
    let client = diary.connected();
    while client.send_binary(&message).is_ok() {}
    assert_eq!(diary.gone(), (1006, String::new(), "held too much memory".to_owned()));
    assert!(!client.is_open() && clients.iter().all(Client::is_open));
    server.wait_for_clients(4);
    assert_eq!(server.handle.dropped_for_memory(), 1);
    assert_eq!(silent[0].next(), common::Got::Binary(message));
    drop((silent, greedy));
    assert_all_is_free(&server);
}
