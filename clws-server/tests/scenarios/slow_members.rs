//! Members of groups that never read. A message to many closes such a member. A message to it alone
//! fails.

use std::thread;
use std::time::Duration;

use crate::common;
use crate::common::wire::{CLOSE, SHORT_TIMEOUT, Wire};
use crate::common::{Probe, Recorder, Running, eventually};
use clws_server::{
    Client, Config, Delivery, Group, SendError, SendOptions, SharedMessage, Text, Topics, send_to,
};

in_both_modes!(
    a_member_of_a_group_is_closed,
    a_member_is_closed_by_a_message_to_all_but_one,
    a_subscriber_of_a_topic_is_closed,
    a_client_of_a_list_is_closed,
    a_member_of_several_groups_is_closed,
    a_client_with_single_messages_stays_connected,
);

const BACKLOG: usize = 100_000;
const SIZE: usize = 10_000;

/// More messages than the socket buffers and the backlog hold.
const MOST: usize = (64 << 20) / SIZE;

/// A client that never reads, and a client that reads.
struct Clients {
    server: Running,
    recorder: Recorder,
    slow: Wire,
    good: Wire,
    /// The handles of both clients.
    clients: [Client; 2],
}

fn start(config: Config) -> Clients {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.max_write_backlog(BACKLOG), probe);
    let (slow, slow_client) = (Wire::connect(&server, "/"), recorder.connected());
    let (good, good_client) = (Wire::connect(&server, "/"), recorder.connected());
    Clients { server, recorder, slow, good, clients: [slow_client, good_client] }
}

/// Sends until the slow member misses a message. The member is closed with 1013 after the earlier
/// messages.
fn fill(harness: Clients, send: impl Fn(&str) -> Delivery) {
    let Clients { server, recorder, mut slow, mut good, clients: [slow_client, good_client] } = harness;
    let (mut payload, mut accepted) = (Vec::new(), 0);
    let delivery = loop {
        assert!(accepted < MOST, "the outbox never fills");
        let message = format!("{accepted:0SIZE$}");
        let delivery = send(&message);
        assert!(good.next_into(&mut payload).is_some());
        assert!(payload == message.as_bytes());
        if !delivery.failed.is_empty() {
            break delivery;
        }
        accepted += 1;
    };
    assert_eq!((delivery.sent, &*delivery.failed), (1, &[(slow_client.clone(), SendError::Full)][..]));
    assert!(!slow_client.is_open(), "a member that misses a message stays connected");
    assert_eq!(slow_client.send_text("more"), Err(SendError::Closed));
    assert!(good_client.is_open());

    // The other members are not affected, and the slow member gets a close frame.
    let only_slow = |failed: &[(Client, SendError)]| {
        failed.iter().all(|failed| *failed == (slow_client.clone(), SendError::Closed))
    };
    assert!(only_slow(&send("after the close").failed));
    assert_eq!(good.next().unwrap().1, b"after the close");
    for number in 0..accepted {
        assert!(slow.next_into(&mut payload).is_some());
        assert!(payload == format!("{number:0SIZE$}").as_bytes(), "message {number}");
    }
    let (opcode, close) = slow.next().expect("a close frame");
    assert_eq!((opcode, &close[..2]), (CLOSE, &1013u16.to_be_bytes()[..]));
    slow.finish();
    recorder.disconnected();
    eventually("the slow member disconnects", || server.handle.clients() < 2);
    assert!(only_slow(&send("after the end").failed));
    assert_eq!(good.next().unwrap().1, b"after the end");
}

fn a_member_of_a_group_is_closed(config: Config) {
    let harness = start(config);
    let group = Group::new();
    assert!(harness.clients.iter().all(|client| group.join(client)));
    fill(harness, |message| group.send_text(message));
    eventually("both have left the group", || group.is_empty());
}

fn a_member_is_closed_by_a_message_to_all_but_one(config: Config) {
    let harness = start(config.clone());
    let (other, other_recorder) = Probe::new();
    let other = Running::start(config, other);
    let mut wire = Wire::connect(&other, "/");
    let except = other_recorder.connected();
    let group = Group::new();
    assert!(harness.clients.iter().chain([&except]).all(|client| group.join(client)));
    fill(harness, |message| group.send_except(SharedMessage::text(message), &except));
    wire.assert_answered_within(SHORT_TIMEOUT);
    assert_eq!(group.members(), [except]);
}

fn a_subscriber_of_a_topic_is_closed(config: Config) {
    let harness = start(config);
    let topics = Topics::new();
    assert!(harness.clients.iter().all(|client| topics.subscribe("news", client)));
    fill(harness, |message| topics.publish("news", SharedMessage::text(message)));
}

fn a_client_of_a_list_is_closed(config: Config) {
    let harness = start(config.clone());
    let clients = harness.clients.clone();
    fill(harness, |message| send_to(&clients, message));
    let harness = start(config.clone());
    let clients = harness.clients.clone();
    fill(harness, |message| send_to(&clients, message.as_bytes().to_vec()));
    let harness = start(config);
    let clients = harness.clients.clone();
    fill(harness, |message| send_to(&clients, SharedMessage::text(message)));
}

/// The limit applies to the client, so messages of all groups count.
fn a_member_of_several_groups_is_closed(config: Config) {
    let harness = start(config);
    let groups = [Group::new(), Group::new()];
    for group in &groups {
        assert!(harness.clients.iter().all(|client| group.join(client)));
    }
    fill(harness, |message| groups[usize::from(message.ends_with('1'))].send_text(message));
}

/// A failed message to a single client queues nothing, and the client stays connected.
fn a_client_with_single_messages_stays_connected(config: Config) {
    let Clients { server: _server, recorder, mut slow, mut good, clients: [client, _] } = start(config);
    let message = "x".repeat(SIZE);
    let mut accepted = 0;
    // Sends until the socket buffers are full too.
    let mut refused_in_a_row = 0;
    while refused_in_a_row < 10 {
        match client.send_text(&message) {
            Ok(_) => (accepted, refused_in_a_row) = (accepted + 1, 0),
            Err(error) => {
                assert_eq!(error, SendError::Full);
                refused_in_a_row += 1;
                // The server may only be slower than this thread. An echo shows that it runs.
                good.assert_answered_within(SHORT_TIMEOUT);
                thread::sleep(Duration::from_millis(20));
            }
        }
        assert!(accepted < MOST, "the outbox never fills");
    }
    let queued = client.buffered_amount();
    for _ in 0..100 {
        let sends = [
            client.send_text(&message),
            client.send(message.clone()),
            client.send(Text::try_from(message.as_bytes()).unwrap()),
            client.send_with(&message, SendOptions::new().frame_size(1000)),
            client.send_binary(message.as_bytes()),
            client.send(message.clone().into_bytes()),
            client.send_with(message.as_bytes(), SendOptions::new().frame_size(1000)),
            client.send(SharedMessage::text(message.as_str())),
        ];
        assert_eq!(sends, [Err(SendError::Full); 8]);
    }
    assert_eq!(client.buffered_amount(), queued);
    assert!(client.is_open());
    good.assert_answered_within(SHORT_TIMEOUT);
    let mut payload = Vec::new();
    for number in 0..accepted {
        assert!(slow.next_into(&mut payload).is_some());
        assert!(payload == message.as_bytes(), "message {number}");
    }
    slow.assert_answered_within(SHORT_TIMEOUT);
    assert_eq!(recorder.count(|callback| matches!(callback, common::Callback::Disconnected { .. })), 0);
}
