//! `Config::max_buffered` bounds the sum of all memory held for clients.
//!
//! The clients use Unix sockets, whose system buffers do not grow.
#![allow(clippy::mutable_key_type, reason = "a client's identity never changes")]
#![cfg(unix)]

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::common;
use crate::common::Running;
use crate::common::wire::{BINARY, SHORT_TIMEOUT, TEXT, Wire, frame, header, soon};
use clws_server::{
    Client, Close, Config, Disconnect, DisconnectCause, Event, Group, Origins, Payload, Resource, Server,
    SharedMessage, Text, mailbox,
};
use futures::{FutureExt, StreamExt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

in_both_modes_in_own_process!(
    bounds_partial_messages,
    bounds_messages_to_members_that_do_not_read,
    counts_a_shared_payload_once,
    bounds_messages_in_a_mailbox,
);

const LIMIT: usize = 16 << 20;

/// Allowed beyond the limit: the credit of each thread, a message, and the data of one read.
const SLACK: usize = 4 << 20;

/// How long the writers try to exceed the limit.
const PRESSURE: Duration = Duration::from_secs(1);

/// The bytes of a client that the system buffers.
const SYSTEM: usize = 256 * 1024;

#[test]
fn max_buffered_has_a_default() {
    assert!(Config::default().max_buffered >= 64 << 20);
    assert_eq!(Config::default().max_buffered(LIMIT).max_buffered, LIMIT);
}

/// Echoes, and records its clients and their ends.
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
    bind_with(config, LIMIT)
}

fn bind_with(config: Config, limit: usize) -> Server {
    let mode = if config.task_per_client { "tasks" } else { "shards" };
    let name = format!("clws-budget-{}-{mode}-{:?}", std::process::id(), thread::current().id());
    let path = std::env::temp_dir().join(name.replace(['(', ')'], "-"));
    let config = config.shards(1).max_buffered(limit).close_timeout(Duration::from_millis(300));
    Server::bind(config.listen(format!("unix:{}", path.display()))).unwrap()
}

/// A client that writes as much as the server takes.
struct Writer {
    wire: Wire,
    bytes: Arc<Vec<u8>>,
    written: usize,
    /// The server dropped the client.
    gone: bool,
}

impl Writer {
    fn connect(server: &Running, bytes: &Arc<Vec<u8>>) -> Self {
        let wire = Wire::connect(server, "/");
        wire.socket.set_nonblocking(true).unwrap();
        Self { wire, bytes: Arc::clone(bytes), written: 0, gone: false }
    }

    /// Writes a piece if the system accepts it. Returns whether the writer made progress.
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

    /// Asks the system whether the server has dropped the client.
    fn notice_end(&mut self) {
        let mut sockets = [PollFd::new(&self.wire.socket, PollFlags::empty())];
        poll(&mut sockets, Some(&Timespec::default())).unwrap();
        self.gone |= sockets[0].revents().intersects(PollFlags::HUP | PollFlags::ERR);
    }
}

/// The bytes of all clients that are connected.
fn held(writers: &[Writer]) -> usize {
    writers.iter().filter(|writer| !writer.gone).map(|writer| writer.written).sum()
}

/// Writes from all writers until the server reads no more, or only little by little. Checks the
/// bound on the bytes of the clients still connected.
#[track_caller]
fn write_all(writers: &mut [Writer], mut meanwhile: impl FnMut()) {
    let bound = LIMIT + SLACK + writers.len() * SYSTEM;
    let (mut last_progress, end) = (Instant::now(), Instant::now() + PRESSURE);
    while last_progress.elapsed() < Duration::from_millis(500) && Instant::now() < end {
        let written = writers.iter_mut().filter_map(|writer| writer.write().then_some(())).count();
        if written > 0 {
            last_progress = Instant::now();
        } else {
            thread::sleep(Duration::from_millis(1));
        }
        if held(writers) > bound {
            // A client that the server has dropped may have noticed nothing yet.
            writers.iter_mut().for_each(Writer::notice_end);
            assert!(held(writers) <= bound, "{} MiB are buffered", held(writers) >> 20);
        }
        meanwhile();
    }
}

/// 30 clients each leave 2 MiB of a message unfinished.
fn bounds_partial_messages(config: Config) {
    let (server, (room, ended)) = (bind(config), Room::new());
    server.resources().register("/", Origins::any(), room).unwrap();
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/");
    let mut bytes = header(BINARY, 4 << 20);
    bytes.resize(2 << 20, 7);
    let bytes = Arc::new(bytes);
    for _ in 0..2 {
        let mut writers: Vec<_> = (0..30).map(|_| Writer::connect(&server, &bytes)).collect();
        write_all(&mut writers, || {
            neighbour.assert_answered_within(SHORT_TIMEOUT);
        });
        for (_, end) in ended.try_iter() {
            assert!(matches!(end.cause, DisconnectCause::Budget), "{end}");
        }
        assert!(
            writers.iter().map(|writer| writer.written).sum::<usize>() > LIMIT / 8,
            "too little is buffered"
        );
        drop(writers);
        soon("all writers disconnected", || server.handle.clients() == 1);
        for (_, end) in ended.try_iter() {
            assert!(
                matches!(
                    end.cause,
                    DisconnectCause::Budget | DisconnectCause::Vanished | DisconnectCause::Io(_)
                ),
                "{end}"
            );
        }
        // All memory is free again.
        let mut big = Wire::connect(&server, "/");
        big.send(BINARY, &vec![7; 2 << 20]);
        assert_eq!(big.next(), Some((TEXT, (2 << 20).to_string().into_bytes())));
        big.finish();
        assert!(matches!(ended.recv_timeout(SHORT_TIMEOUT).unwrap().1.cause, DisconnectCause::Closed));
    }
}

/// Members never read. The member that holds the most is dropped first, and a member that reads
/// stays.
fn bounds_messages_to_members_that_do_not_read(config: Config) {
    const MEMBERS: usize = 60;
    const MESSAGE: usize = 5000;
    const EXTRA: usize = 8 << 20;
    // Far more than the messages that are sent while the server drops a client. So is the slack.
    const HIGH_LIMIT: usize = 2 * LIMIT;

    // The high backlog limit closes no member. A shared payload counts once, so the server reports
    // the sum.
    let (server, (room, ended)) = (bind_with(config.max_write_backlog(1 << 30), HIGH_LIMIT), Room::new());
    server.resources().register("/", Origins::any(), room.clone()).unwrap();
    let server = Running::run(server);
    let mut good = Wire::connect(&server, "/");
    soon("the reading member has joined", || room.members.len() == 1);
    let good_client = room.members.members().remove(0);
    let silent: Vec<_> = (0..MEMBERS).map(|_| Wire::connect(&server, "/")).collect();
    soon("all members have joined", || room.members.len() == MEMBERS + 1);
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
            assert_eq!(good.next_into(&mut payload), Some(TEXT));
        }
        let held = server.handle.buffered();
        assert!(
            held <= HIGH_LIMIT + 2 * SLACK,
            "{} MiB are buffered, {} clients are dropped",
            held >> 20,
            dropped.len()
        );
        dropped.extend(ended.try_iter());
    }
    // The executor decides which end is reported first.
    soon("the largest holder is dropped", || {
        dropped.extend(ended.try_iter());
        dropped.iter().any(|(client, _)| client == greedy)
    });
    for (_, end) in &dropped {
        assert!(matches!(end.cause, DisconnectCause::Budget), "{end}");
    }
    assert!(dropped.iter().all(|(client, _)| *client != good_client));
    good.assert_answered_within(SHORT_TIMEOUT);
    Wire::connect(&server, "/").assert_answered_within(SHORT_TIMEOUT);
    drop(silent);
    soon("all other members disconnected", || server.handle.clients() == 1);
}

/// 30 members have 6 MiB queued each, in one shared copy.
fn counts_a_shared_payload_once(config: Config) {
    const MEMBERS: usize = 30;
    const MESSAGES: usize = 6;

    let (server, (room, ended)) = (bind(config), Room::new());
    server.resources().register("/", Origins::any(), room.clone()).unwrap();
    let server = Running::run(server);
    let mut silent: Vec<_> = (0..MEMBERS).map(|_| Wire::connect(&server, "/")).collect();
    soon("all members have joined", || room.members.len() == MEMBERS);
    for number in 0..MESSAGES {
        let delivery = room.members.send(SharedMessage::binary(vec![u8::try_from(number).unwrap(); 1 << 20]));
        assert_eq!((delivery.sent, delivery.failed.len()), (MEMBERS, 0));
    }
    common::wire::wait_a_moment();
    let mut payload = Vec::new();
    for wire in &mut silent {
        for number in 0..MESSAGES {
            assert_eq!(wire.next_into(&mut payload), Some(BINARY));
            assert!(payload.len() == 1 << 20 && usize::from(payload[0]) == number);
        }
        wire.assert_answered_within(SHORT_TIMEOUT);
    }
    assert!(ended.try_recv().is_err(), "a member was dropped");
}

/// Messages in a mailbox count. Reading them from the mailbox resumes their clients.
fn bounds_messages_in_a_mailbox(config: Config) {
    const CLIENTS: usize = 12;
    const MESSAGES: usize = 30; // of 64 KiB each

    let server = bind(config.max_handler_read_backlog(1 << 30));
    let (resource, mut events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), resource).unwrap();
    let (room, _ended) = Room::new();
    server.resources().register("/echo", Origins::any(), room).unwrap();
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/echo");
    let zeros = "0".repeat(65_000 - 6);
    let message = |number: usize| frame(TEXT, format!("{zeros}{number:06}").as_bytes());
    let bytes = Arc::new((0..MESSAGES).flat_map(message).collect::<Vec<_>>());
    let mut writers: Vec<_> = (0..CLIENTS).map(|_| Writer::connect(&server, &bytes)).collect();
    write_all(&mut writers, || {
        neighbour.assert_answered_within(SHORT_TIMEOUT);
    });

    let mut next = HashMap::<Client, usize>::new();
    let (mut complete, mut gone, end) = (0, 0, Instant::now() + 4 * SHORT_TIMEOUT);
    while complete + gone < CLIENTS {
        assert!(Instant::now() < end, "{complete} of {CLIENTS} clients have sent everything");
        let have_written = writers.iter_mut().map(Writer::write).filter(|&wrote| wrote).count();
        if have_written == 0 {
            thread::sleep(Duration::from_millis(1));
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
    assert!(complete > 0, "every client was dropped");
    neighbour.assert_answered_within(SHORT_TIMEOUT);
}
