//! The sum of everything that is held for clients has a bound, `Config::max_buffered`.
//!
//! The clients come through Unix sockets, because the system's buffers of those do not grow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::mutable_key_type, reason = "a client is a good key: nothing changes what it is compared by")]
#![cfg(unix)]

#[macro_use]
mod common;

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clws_server::{
    Client, Close, Config, Disconnect, DisconnectCause, Event, Group, Origins, Payload, Resource, Server,
    SharedMessage, Text, mailbox,
};
use common::Running;
use common::wire::{BINARY, SHORT, TEXT, Wire, frame, header, soon};
use futures::{FutureExt, StreamExt};

alone_in_both_modes!(
    of_partial_messages,
    of_messages_to_members_that_never_read,
    counts_a_payload_that_many_share_once,
    of_messages_in_a_mailbox,
);

const LIMIT: usize = 64 << 20;

/// Beyond the limit: the credit of each thread, a message, and what one read brings.
const SLACK: usize = 8 << 20;

/// Bytes that the system holds of what a client has written.
const SYSTEM: usize = 256 * 1024;

#[test]
fn has_a_default() {
    assert!(Config::default().max_buffered >= 64 << 20);
    assert_eq!(Config::default().max_buffered(LIMIT).max_buffered, LIMIT);
}

/// Echoes, and keeps its clients and their ends.
#[derive(Clone)]
struct Room {
    members: Group,
    ends: Sender<(Client, Disconnect)>,
}

impl Room {
    fn new() -> (Self, Receiver<(Client, Disconnect)>) {
        let (ends, ended) = channel();
        (Self { members: Group::new(), ends }, ended)
    }
}

impl Resource for Room {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.members.join(client);
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send_text(&text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send_text(&payload.len().to_string());
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        let _ = self.ends.send((client.clone(), end.clone()));
    }
}

fn bind(config: Config) -> Server {
    let mode = if config.task_per_client { "tasks" } else { "shards" };
    let name = format!("clws-budget-{}-{mode}-{:?}", std::process::id(), thread::current().id());
    let path = std::env::temp_dir().join(name.replace(['(', ')'], "-"));
    let config = config.shards(1).max_buffered(LIMIT).close_timeout(Duration::from_millis(300));
    Server::bind(config.listen(format!("unix:{}", path.display()))).unwrap()
}

/// A client that writes as much as the server takes.
struct Writer {
    wire: Wire,
    bytes: Arc<Vec<u8>>,
    written: usize,
    /// It was dropped by the server.
    gone: bool,
}

impl Writer {
    fn connect(server: &Running, bytes: &Arc<Vec<u8>>) -> Self {
        let wire = Wire::connect(server, "/");
        wire.socket.set_nonblocking(true).unwrap();
        Self { wire, bytes: Arc::clone(bytes), written: 0, gone: false }
    }

    /// Writes a piece, if the system takes it; whether it did.
    fn write(&mut self) -> bool {
        let rest = &self.bytes[self.written..];
        if self.gone || rest.is_empty() {
            return false;
        }
        match self.wire.socket.write(&rest[..rest.len().min(64 * 1024)]) {
            Ok(count) => self.written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => self.gone = true,
        }
        true
    }
}

/// Lets all of them write until the server takes no more. What it holds for those that are still there is bounded.
#[track_caller]
fn write_all(writers: &mut [Writer], mut meanwhile: impl FnMut()) {
    let bound = LIMIT + SLACK + writers.len() * SYSTEM;
    let (mut last_progress, end) = (Instant::now(), Instant::now() + SHORT);
    while last_progress.elapsed() < Duration::from_millis(500) && Instant::now() < end {
        for writer in &mut *writers {
            if writer.write() {
                last_progress = Instant::now();
            }
        }
        let held: usize = writers.iter().filter(|writer| !writer.gone).map(|writer| writer.written).sum();
        assert!(held <= bound, "{} MiB are held", held >> 20);
        meanwhile();
    }
}

/// 30 clients hold 8 MiB each.
fn of_partial_messages(config: Config) {
    let (server, (room, ended)) = (bind(config), Room::new());
    server.resources().register("/", Origins::any(), room).unwrap();
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/");
    let mut bytes = header(BINARY, 16 << 20);
    bytes.resize(8 << 20, 7);
    let bytes = Arc::new(bytes);
    for _ in 0..2 {
        let mut writers: Vec<_> = (0..30).map(|_| Writer::connect(&server, &bytes)).collect();
        write_all(&mut writers, || {
            neighbour.assert_answered_within(SHORT);
        });
        for (_, end) in ended.try_iter() {
            assert!(matches!(end.cause, DisconnectCause::Budget), "{end}");
        }
        assert!(writers.iter().map(|writer| writer.written).sum::<usize>() > LIMIT / 8, "too little is held");
        drop(writers);
        soon("they are gone", || server.handle.clients() == 1);
        for (_, end) in ended.try_iter() {
            assert!(
                matches!(
                    end.cause,
                    DisconnectCause::Budget | DisconnectCause::Vanished | DisconnectCause::Io(_)
                ),
                "{end}"
            );
        }
        // And nothing is held any more.
        let mut big = Wire::connect(&server, "/");
        big.send(BINARY, &vec![7; 8 << 20]);
        assert_eq!(big.next(), Some((TEXT, (8 << 20).to_string().into_bytes())));
        big.finish();
        assert!(matches!(ended.recv_timeout(SHORT).unwrap().1.cause, DisconnectCause::Closed));
    }
}

/// Members hold what they do not read. The one that holds most goes first, and one that reads stays.
fn of_messages_to_members_that_never_read(config: Config) {
    const MEMBERS: usize = 60;
    const MESSAGE: usize = 5000;
    const EXTRA: usize = 8 << 20;

    // None is closed because of its own backlog. A payload that all share counts once, so the sum is the server's to tell.
    let (server, (room, ended)) = (bind(config.max_write_backlog(1 << 30)), Room::new());
    server.resources().register("/", Origins::any(), room.clone()).unwrap();
    let server = Running::run(server);
    let mut good = Wire::connect(&server, "/");
    soon("it is in", || room.members.len() == 1);
    let good_client = room.members.members().remove(0);
    let silent: Vec<_> = (0..MEMBERS).map(|_| Wire::connect(&server, "/")).collect();
    soon("all are in", || room.members.len() == MEMBERS + 1);
    let clients = room.members.members();
    let greedy = clients.iter().find(|client| **client != good_client).unwrap();
    for _ in 0..EXTRA >> 16 {
        greedy.send_binary(&[7; 1 << 16]).unwrap();
    }

    let message = SharedMessage::text("x".repeat(MESSAGE));
    let mut dropped = Vec::new();
    let mut payload = Vec::new();
    while dropped.len() < MEMBERS / 4 {
        for _ in 0..50 {
            let _ = room.members.send(&message);
        }
        for _ in 0..50 {
            assert_eq!(good.next_to(&mut payload), Some(TEXT));
        }
        let held = server.handle.buffered();
        assert!(held <= LIMIT + SLACK, "{} MiB are held, {} clients are dropped", held >> 20, dropped.len());
        dropped.extend(ended.try_iter());
    }
    for (_, end) in &dropped {
        assert!(matches!(end.cause, DisconnectCause::Budget), "{end}");
    }
    // Which end is told first is a matter of the executor.
    assert!(dropped.iter().any(|(client, _)| client == greedy), "the biggest was not dropped");
    assert!(dropped.iter().all(|(client, _)| *client != good_client));
    good.assert_answered_within(SHORT);
    Wire::connect(&server, "/").assert_answered_within(SHORT);
    drop(silent);
    soon("they are gone", || server.handle.clients() == 1);
}

/// 30 members wait for 6 MiB each, of which there is one copy.
fn counts_a_payload_that_many_share_once(config: Config) {
    const MEMBERS: usize = 30;
    const MESSAGES: usize = 6;

    let (server, (room, ended)) = (bind(config), Room::new());
    server.resources().register("/", Origins::any(), room.clone()).unwrap();
    let server = Running::run(server);
    let mut silent: Vec<_> = (0..MEMBERS).map(|_| Wire::connect(&server, "/")).collect();
    soon("all are in", || room.members.len() == MEMBERS);
    for number in 0..MESSAGES {
        let delivery = room.members.send(SharedMessage::binary(vec![u8::try_from(number).unwrap(); 1 << 20]));
        assert_eq!((delivery.sent, delivery.failed.len()), (MEMBERS, 0));
    }
    common::wire::settle();
    let mut payload = Vec::new();
    for wire in &mut silent {
        for number in 0..MESSAGES {
            assert_eq!(wire.next_to(&mut payload), Some(BINARY));
            assert!(payload.len() == 1 << 20 && usize::from(payload[0]) == number);
        }
        wire.assert_answered_within(SHORT);
    }
    assert!(ended.try_recv().is_err(), "somebody was dropped");
}

/// What waits in a mailbox counts. When it is taken out, its clients go on.
fn of_messages_in_a_mailbox(config: Config) {
    const CLIENTS: usize = 12;
    const MESSAGES: usize = 120; // of 64 KiB

    let server = bind(config.max_handler_read_backlog(1 << 30));
    let (resource, mut events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), resource).unwrap();
    let (room, _ended) = Room::new();
    server.resources().register("/echo", Origins::any(), room).unwrap();
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/echo");
    let message = |number: usize| frame(TEXT, format!("{number:065000}").as_bytes());
    let bytes = Arc::new((0..MESSAGES).flat_map(message).collect::<Vec<_>>());
    let mut writers: Vec<_> = (0..CLIENTS).map(|_| Writer::connect(&server, &bytes)).collect();
    write_all(&mut writers, || {
        neighbour.assert_answered_within(SHORT);
    });

    let mut next = HashMap::<Client, usize>::new();
    let (mut complete, mut gone, end) = (0, 0, Instant::now() + 4 * SHORT);
    while complete + gone < CLIENTS {
        assert!(Instant::now() < end, "{complete} of {CLIENTS} clients have got through");
        for writer in &mut writers {
            writer.write();
        }
        while let Some(Some(event)) = events.next().now_or_never() {
            match event {
                Event::Text(client, text) => {
                    let next = next.entry(client).or_default();
                    assert_eq!(text[text.len() - 6..].parse(), Ok(*next));
                    *next += 1;
                    complete += usize::from(*next == MESSAGES);
                }
                Event::Disconnected(_, end) => {
                    assert!(matches!(end.cause, DisconnectCause::Budget), "{end}");
                    gone += 1;
                }
                _ => {}
            }
        }
    }
    assert!(complete > 0, "everybody was dropped");
    neighbour.assert_answered_within(SHORT);
}
