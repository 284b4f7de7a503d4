//! Members of groups that never read. A message to many closes them, and a message to one of them is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::thread;
use std::time::Duration;

use clws_server::{
    Client, Config, Delivery, Group, SendError, SendOptions, SharedMessage, Text, Topics, send_to,
};
use common::wire::{CLOSE, SHORT, Wire};
use common::{Diary, Probe, Running, eventually};

in_both_modes!(
    of_a_group,
    of_a_group_but_one,
    of_a_topic,
    of_a_list_of_clients,
    of_several_groups,
    one_that_is_sent_to_alone_is_kept,
);

const BACKLOG: usize = 100_000;
const SIZE: usize = 10_000;

/// More than the system's buffers and the backlog take.
const MOST: usize = (64 << 20) / SIZE;

/// A client that never reads, and one that does.
struct Scene {
    server: Running,
    diary: Diary,
    slow: Wire,
    good: Wire,
    /// The same two.
    clients: [Client; 2],
}

fn start(config: Config) -> Scene {
    let (probe, diary) = Probe::new();
    let server = Running::start(config.max_write_backlog(BACKLOG), probe);
    let (slow, slow_client) = (Wire::connect(&server, "/"), diary.connected());
    let (good, good_client) = (Wire::connect(&server, "/"), diary.connected());
    Scene { server, diary, slow, good, clients: [slow_client, good_client] }
}

/// Sends until a member does not get it, which is the slow one. It is closed with 1013, behind what it was sent before.
fn fill(scene: Scene, send: impl Fn(&str) -> Delivery) {
    let Scene { server, diary, mut slow, mut good, clients: [slow_client, good_client] } = scene;
    let (mut payload, mut taken) = (Vec::new(), 0);
    let delivery = loop {
        assert!(taken < MOST, "it never is too much");
        let message = format!("{taken:0SIZE$}");
        let delivery = send(&message);
        assert!(good.next_to(&mut payload).is_some());
        assert!(payload == message.as_bytes());
        if !delivery.failed.is_empty() {
            break delivery;
        }
        taken += 1;
    };
    assert_eq!((delivery.sent, &*delivery.failed), (1, &[(slow_client.clone(), SendError::Full)][..]));
    assert!(!slow_client.is_open(), "a member that misses a message stays connected");
    assert_eq!(slow_client.send_text("more"), Err(SendError::Closed));
    assert!(good_client.is_open());

    // The others do not notice, and the slow one is told.
    let only_that = |failed: &[(Client, SendError)]| {
        failed.iter().all(|failed| *failed == (slow_client.clone(), SendError::Closed))
    };
    assert!(only_that(&send("on it goes").failed));
    assert_eq!(good.next().unwrap().1, b"on it goes");
    for number in 0..taken {
        assert!(slow.next_to(&mut payload).is_some());
        assert!(payload == format!("{number:0SIZE$}").as_bytes(), "message {number}");
    }
    let (opcode, close) = slow.next().expect("a close frame");
    assert_eq!((opcode, &close[..2]), (CLOSE, &1013u16.to_be_bytes()[..]));
    slow.finish();
    diary.gone();
    eventually("it is gone", || server.handle.clients() < 2);
    assert!(only_that(&send("and on").failed));
    assert_eq!(good.next().unwrap().1, b"and on");
}

fn of_a_group(config: Config) {
    let scene = start(config);
    let group = Group::new();
    assert!(scene.clients.iter().all(|client| group.join(client)));
    fill(scene, |message| group.send_text(message));
    eventually("both have left the group", || group.is_empty());
}

fn of_a_group_but_one(config: Config) {
    let scene = start(config.clone());
    let (other, other_diary) = Probe::new();
    let other = Running::start(config, other);
    let mut wire = Wire::connect(&other, "/");
    let except = other_diary.connected();
    let group = Group::new();
    assert!(scene.clients.iter().chain([&except]).all(|client| group.join(client)));
    fill(scene, |message| group.send_except(SharedMessage::text(message), &except));
    wire.assert_answered_within(SHORT);
    assert_eq!(group.members(), [except]);
}

fn of_a_topic(config: Config) {
    let scene = start(config);
    let topics = Topics::new();
    assert!(scene.clients.iter().all(|client| topics.subscribe("news", client)));
    fill(scene, |message| topics.publish("news", SharedMessage::text(message)));
}

fn of_a_list_of_clients(config: Config) {
    let scene = start(config.clone());
    let clients = scene.clients.clone();
    fill(scene, |message| send_to(&clients, message));
    let scene = start(config.clone());
    let clients = scene.clients.clone();
    fill(scene, |message| send_to(&clients, message.as_bytes().to_vec()));
    let scene = start(config);
    let clients = scene.clients.clone();
    fill(scene, |message| send_to(&clients, SharedMessage::text(message)));
}

/// The limit is each receiver's. What another group has sent counts too.
fn of_several_groups(config: Config) {
    let scene = start(config);
    let groups = [Group::new(), Group::new()];
    for group in &groups {
        assert!(scene.clients.iter().all(|client| group.join(client)));
    }
    fill(scene, |message| groups[usize::from(message.ends_with('1'))].send_text(message));
}

/// The sender knows that the message was refused. Nothing is queued, and the client stays.
fn one_that_is_sent_to_alone_is_kept(config: Config) {
    let Scene { server: _server, diary, mut slow, mut good, clients: [client, _] } = start(config);
    let message = "x".repeat(SIZE);
    let mut taken = 0;
    // Until the system takes no more either.
    let mut refused_in_a_row = 0;
    while refused_in_a_row < 10 {
        match client.send_text(&message) {
            Ok(_) => (taken, refused_in_a_row) = (taken + 1, 0),
            Err(error) => {
                assert_eq!(error, SendError::Full);
                refused_in_a_row += 1;
                thread::sleep(Duration::from_millis(20));
            }
        }
        assert!(taken < MOST, "it never is too much");
    }
    let queued = client.buffered_amount();
    let frames = SendOptions::new().frame_size(1_000);
    for _ in 0..100 {
        let sends = [
            client.send_text(&message),
            client.send(message.clone()),
            client.send(Text::try_from(message.as_bytes()).unwrap()),
            client.send_with(&message, frames),
            client.send_binary(message.as_bytes()),
            client.send(message.clone().into_bytes()),
            client.send_with(message.as_bytes(), frames),
            client.send(SharedMessage::text(message.as_str())),
        ];
        assert_eq!(sends, [Err(SendError::Full); 8]);
    }
    assert_eq!(client.buffered_amount(), queued);
    assert!(client.is_open());
    good.assert_answered_within(SHORT);
    let mut payload = Vec::new();
    for number in 0..taken {
        assert!(slow.next_to(&mut payload).is_some());
        assert!(payload == message.as_bytes(), "message {number}");
    }
    slow.assert_answered_within(SHORT);
    assert_eq!(diary.count(|seen| matches!(seen, common::Seen::Gone { .. })), 0);
}
