//! Messages that wait, and are dropped, for clients that do not read.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Poll, Wake, Waker};

use bytes::Bytes;
use clws_proto::buffer::Fate;
use clws_proto::{SharedMessage, SlowPolicy};

use super::*;
use crate::client::group::Group;
use crate::client::outcome::{SendError, Sent};
use crate::client::outgoing::SendOptions;
use crate::client::topics::Topics;
use crate::stats::kinds::DropReason;
use crate::wake::WakeBatch;

/// The length of a message. Seven of them fill the outbox, so that later ones wait.
const LEN: usize = 10_000;

/// With this limit, three messages wait.
const LIMIT: usize = 100_000;

fn message(number: usize) -> String {
    format!("{number:0LEN$}")
}

fn stalled(config: Config) -> (Harness, Client) {
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.space = 0;
    harness.expect_calls(&["connected"]);
    let client = harness.resource.client();
    (harness, client)
}

/// The numbers of the messages that the client reads, and its close code.
fn read_all(harness: &mut Harness) -> (Vec<usize>, Option<u16>) {
    harness.space = usize::MAX;
    harness.drive();
    let (mut numbers, mut code) = (Vec::new(), None);
    for received in harness.received() {
        match received {
            Received::Text(text) => numbers.push(text.parse().unwrap()),
            Received::Close(close) => code = close.map(|(code, _)| code),
            other => panic!("{other:?}"),
        }
    }
    (numbers, code)
}

fn send_all(client: &Client, numbers: std::ops::Range<usize>) -> Vec<Sent> {
    numbers.map(|number| client.send_text(&message(number)).unwrap()).collect()
}

#[test]
fn drops_the_oldest_and_closes_after_the_rest() {
    let (mut harness, client) = stalled(Config::default());
    client.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(LIMIT)));
    assert_eq!(send_all(&client, 0..50), [Sent::Queued; 50]);
    assert_eq!((client.dropped(), client.replaced()), (40, 0));
    assert_eq!(harness.shared.stats().dropped_for(DropReason::Oldest), 40);
    assert!(client.buffered_amount() <= LIMIT + LEN + 200, "{}", client.buffered_amount());
    assert!(harness.connection.held() >= LIMIT);
    client.close(CloseCode::NORMAL);
    assert!(!client.is_open() && client.buffered_amount() > 0);
    assert_eq!(client.send_text("late"), Err(SendError::Closed));
    let sent = (0..7).chain(47..50).collect::<Vec<_>>();
    assert_eq!(read_all(&mut harness), (sent, Some(1000)));
    assert_eq!((client.buffered_amount(), client.dropped()), (0, 40));
    harness.expect_calls(&[]);
}

#[test]
fn a_client_begins_with_the_policy_of_the_configuration() {
    let policy = SlowPolicy::drop_newest().max_queued(LIMIT);
    let (mut harness, client) = stalled(Config::default().slow_policy(Some(policy)));
    assert_eq!(client.slow_policy(), Some(policy));
    send_all(&client, 0..20);
    assert_eq!(client.dropped(), 10);
    client.set_slow_policy(None);
    send_all(&client, 20..30);
    assert_eq!(read_all(&mut harness), ((0..10).chain(20..30).collect(), None));
}

#[test]
fn a_message_that_may_not_be_dropped_keeps_its_place() {
    let (mut harness, client) = stalled(Config::default());
    client.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(LIMIT)));
    send_all(&client, 0..8);
    let keep = SendOptions::new().slow_policy(SlowPolicy::refuse());
    assert_eq!(client.send_with(message(8), keep), Ok(Sent::Queued));
    send_all(&client, 9..30);
    assert_eq!(read_all(&mut harness).0, [0, 1, 2, 3, 4, 5, 6, 8, 28, 29]);
}

#[test]
fn drops_the_newest_and_reports_when_no_message_waits() {
    let (mut harness, client) = stalled(Config::default());
    client.set_slow_policy(Some(SlowPolicy::drop_newest().max_queued(LIMIT)));
    let sent = send_all(&client, 0..12);
    assert_eq!(sent[..10], [Sent::Queued; 10]);
    assert_eq!(sent[10..], [Sent::Dropped; 2]);
    assert_eq!(client.dropped(), 2);
    assert_eq!(harness.shared.stats().dropped_for(DropReason::Newest), 2);
    assert_eq!(read_all(&mut harness).0, (0..10).collect::<Vec<_>>());
    harness.expect_calls(&["drained"]);

    // As long as a message waits, `drained` is not due.
    harness.space = 0;
    client.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(LIMIT)));
    send_all(&client, 0..10);
    let newest = SendOptions::new().slow_policy(SlowPolicy::drop_newest().max_queued(LIMIT));
    assert_eq!(client.send_with(message(10), newest), Ok(Sent::Dropped));
    harness.space = LEN;
    harness.drive();
    harness.expect_calls(&[]);
    harness.space = 4 * LEN;
    harness.drive();
    harness.expect_calls(&["drained"]);
}

/// Messages that wait enter the outbox while it is written.
#[test]
fn messages_that_waited_count_as_sent() {
    for is_shard in [false, true] {
        let (mut harness, client) = stalled(Config::default());
        client.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(LIMIT)));
        send_all(&client, 0..50);
        if is_shard {
            client.flush_locked(&mut |slices| Ok(slices.iter().map(|slice| slice.len()).sum())).unwrap();
        } else {
            read_all(&mut harness);
        }
        assert_eq!(client.buffered_amount(), 0);
        let stats = harness.shared.stats();
        assert_eq!((stats.sent.messages, client.dropped()), (10, 40));
    }
}

#[test]
fn closes_with_1013() {
    let (mut harness, client) = stalled(Config::default());
    client.set_slow_policy(Some(SlowPolicy::close().max_queued(LIMIT)));
    send_all(&client, 0..10);
    assert_eq!(client.send_text(&message(10)), Err(SendError::Full));
    assert!(!client.is_open() && !client.is_silenced());
    assert_eq!(read_all(&mut harness), ((0..10).collect(), Some(1013)));
}

#[test]
fn a_full_queue_drops_instead_of_failing() {
    let (mut harness, client) = stalled(Config::default().max_write_backlog(LIMIT));
    send_all(&client, 0..10);
    assert_eq!(client.send_text(&message(10)), Err(SendError::Full));
    let oldest = SendOptions::new().slow_policy(SlowPolicy::drop_oldest());
    assert_eq!(client.send_with(message(11), oldest), Ok(Sent::Dropped), "none of the others may go");
    let keyed = SendOptions::new().coalesce(1);
    assert_eq!(client.send_with(message(12), keyed), Err(SendError::Full));
    assert_eq!(read_all(&mut harness).0, (0..10).collect::<Vec<_>>());

    harness.space = 0;
    send_all(&client, 0..7);
    for number in 7..30 {
        assert_ne!(client.send_with(message(number), oldest).unwrap(), Sent::Dropped, "{number}");
        assert!(client.buffered_amount() <= LIMIT + LEN + 200, "{number}");
    }
    assert_eq!(read_all(&mut harness).0, (0..7).chain(27..30).collect::<Vec<_>>());
}

#[test]
fn keeps_the_newest_of_each_key() {
    let (mut harness, client) = stalled(Config::default());
    send_all(&client, 0..7);
    for number in 7..100 {
        let options = SendOptions::new().coalesce(u64::try_from(number % 3).unwrap());
        assert_eq!(client.send_with(message(number), options), Ok(Sent::Queued));
    }
    assert_eq!((client.dropped(), client.replaced()), (0, 90));
    // Each group has keys of its own.
    let group = Group::new();
    group.join(&client);
    let delivery = group.send_with(message(100), SendOptions::new().coalesce(0));
    assert_eq!((delivery.sent, delivery.displaced), (1, 0));
    let delivery = group.send_with(message(101), SendOptions::new().coalesce(0));
    assert_eq!((delivery.sent, delivery.displaced, delivery.dropped), (1, 1, 0));
    client.ping(b"").unwrap_or_else(|error| panic!("{error}"));
    harness.space = usize::MAX;
    harness.drive();
    harness.client = clws_proto::Receiver::new(Version::Rfc6455, Role::Client, Limits::default());
    let mut found = Vec::new();
    let mut events = harness.client.receive(&mut harness.out);
    while let Some(event) = events.next().unwrap() {
        found.push(match event {
            Event::Text(text) => text.parse().unwrap(),
            Event::Ping(_) => usize::MAX,
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(found[7..], [97, 98, 99, 101, usize::MAX]);
}

#[test]
fn a_group_has_a_policy_for_its_messages() {
    let (mut harness, client) = stalled(Config::default().max_write_backlog(2 * LIMIT));
    let (feed, chat, topics) = (Group::new(), Group::new(), Topics::new());
    topics.set_slow_policy("feed", Some(SlowPolicy::drop_newest().max_queued(LIMIT)));
    topics.subscribe("feed", &client);
    feed.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(LIMIT)));
    assert!(feed.clone().slow_policy().is_some() && chat.slow_policy().is_none());
    for group in [&feed, &chat] {
        group.join(&client);
    }
    for number in 0..20 {
        let delivery = feed.send(message(number));
        assert_eq!((delivery.sent, delivery.displaced), (1, u64::from(number >= 10)), "{number}");
        assert!(delivery.is_complete());
    }
    let delivery = topics.publish("feed", message(20));
    assert_eq!((delivery.sent, delivery.dropped, delivery.failed.len()), (0, 1, 0));
    assert!(!delivery.is_complete());
    // Without a policy, the queue grows to its limit, and then the client is closed.
    let mut number = 21;
    let failed = loop {
        let mut delivery = chat.send(message(number));
        if let Some((_, error)) = delivery.failed.pop() {
            break error;
        }
        number += 1;
    };
    assert_eq!((failed, number), (SendError::Full, 31));
    assert!(!client.is_open() && !client.is_overdrawn());
    let sent = (0..7).chain(17..20).chain(21..31).collect::<Vec<_>>();
    assert_eq!(read_all(&mut harness), (sent, Some(1013)));
}

/// The driver may write between the refusal and its consequence.
#[test]
fn a_client_that_begins_to_read_is_closed_and_not_dropped() {
    let (mut harness, client) = stalled(Config::default());
    client.miss_one_of_many(None, &mut WakeBatch::default());
    assert!(!client.is_overdrawn());
    assert_eq!(read_all(&mut harness), (vec![], Some(1013)));
}

#[test]
fn a_policy_of_a_member_applies_to_groups_without_one() {
    for (policy, is_open) in [
        (SlowPolicy::refuse().max_queued(LIMIT), true),
        (SlowPolicy::drop_newest().max_queued(LIMIT), true),
        (SlowPolicy::close().max_queued(LIMIT), false),
    ] {
        let (mut harness, client) = stalled(Config::default());
        client.set_slow_policy(Some(policy));
        let group = Group::new();
        group.join(&client);
        let missed = (0..11).map(|number| group.send(message(number))).filter(|report| report.sent == 0);
        assert_eq!(missed.count(), 1);
        assert_eq!(client.is_open(), is_open, "{policy:?}");
        assert_eq!(read_all(&mut harness), ((0..10).collect(), (!is_open).then_some(1013)));
    }
    let topics = Topics::new();
    let (_harness, client) = stalled(Config::default());
    topics.subscribe("name", &client);
    topics.set_slow_policy("name", Some(SlowPolicy::close()));
    let policy = || topics.group("name").unwrap().slow_policy();
    assert_eq!(policy(), Some(SlowPolicy::close()));
    topics.unsubscribe("name", &client);
    topics.subscribe("name", &client);
    assert_eq!(policy(), Some(SlowPolicy::close()), "it outlives the group");
    topics.set_slow_policy("name", None);
    assert_eq!(policy(), None);
}

/// Bytes whose drop uses the client. Under a lock that would be a deadlock.
struct Calls(Client, Arc<AtomicUsize>, bool);

impl AsRef<[u8]> for Calls {
    fn as_ref(&self) -> &[u8] {
        &[b'1'; LEN]
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        assert!(self.0.buffered_amount() < usize::MAX);
        self.1.fetch_add(1, Ordering::Relaxed);
        assert!(!self.2, "in the drop of a message");
    }
}

#[test]
fn drops_payloads_of_the_application_outside_of_locks() {
    let (mut harness, client) = stalled(Config::default());
    let drops = Arc::new(AtomicUsize::new(0));
    let payload = |panics| Bytes::from_owner(Calls(client.clone(), Arc::clone(&drops), panics));
    let group = Group::new();
    group.join(&client);
    client.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(LIMIT)));
    for _ in 0..15 {
        let delivery = group.send(SharedMessage::binary(payload(false)));
        assert_eq!(delivery.sent, 1);
    }
    let _ = send_all(&client, 0..7);
    assert_eq!(drops.load(Ordering::Relaxed), 15, "the outbox holds encodings only");
    for _ in 0..15 {
        client.send(payload(true)).unwrap();
    }
    assert_eq!(drops.load(Ordering::Relaxed), 15 + 12, "three wait");
    harness.space = usize::MAX;
    harness.drive();
    assert_eq!(drops.load(Ordering::Relaxed), 30);
    harness.space = 0;
    for _ in 0..15 {
        client.send(payload(true)).unwrap();
    }
    client.abort();
    harness.drive();
    assert_eq!(drops.load(Ordering::Relaxed), 45);
    assert!(harness.dropped);
}

#[test]
fn waiting_messages_are_charged_to_the_budget() {
    let (mut harness, client) = stalled(Config::default().max_buffered(64 << 20));
    let budget = Arc::clone(&harness.shared.context.budget);
    budget.give_back();
    let before = budget.used();
    client.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(2 << 20)));
    send_all(&client, 0..1000);
    budget.give_back();
    let used = budget.used() - before;
    assert!((2 << 20..3 << 20).contains(&used), "{used}");
    assert!(client.held() >= 2 << 20);
    client.abort();
    harness.drive();
    budget.give_back();
    assert_eq!((budget.used(), client.held()), (before, 0));
}

#[test]
fn a_client_that_reads_nothing_is_dropped_although_messages_come_and_go() {
    let (mut harness, client) = stalled(Config::default());
    client.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(LIMIT)));
    send_all(&client, 0..20);
    harness.drive();
    for _ in 0..6 {
        harness.advance(9 * SECOND);
        send_all(&client, 0..3);
        assert!(!harness.dropped);
    }
    harness.advance(10 * SECOND);
    assert!(harness.dropped);
    harness.expect_calls(&["disconnected 1006 \"\": did not read what was sent"]);
    assert_eq!(client.buffered_amount(), 0);
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn tells_what_became_of_a_message() {
    let (mut harness, client) = stalled(Config::default());
    let options = SendOptions::new().slow_policy(SlowPolicy::drop_oldest().max_queued(LIMIT));
    let send = |number| client.send_tracked(message(number), options).unwrap().1;
    let written: Vec<_> = (0..12).map(send).collect();
    let fates = |written: &[crate::client::receipt::Written]| {
        written.iter().map(crate::client::receipt::Written::fate).collect::<Vec<_>>()
    };
    let (none, done, dropped) = (None, Some(Fate::Written), Some(Fate::Dropped));
    let expected = [&[none; 7][..], &[dropped; 2], &[none; 3]].concat();
    assert_eq!(fates(&written), expected);

    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut last = written;
    let mut first = pin!(last.remove(0));
    assert_eq!(first.as_mut().poll(&mut task::Context::from_waker(&waker)), Poll::Pending);
    harness.space = LEN + 3;
    harness.drive();
    assert_eq!((wakes.0.load(Ordering::Relaxed), first.fate()), (0, None), "a byte is missing");
    harness.space = 1;
    harness.drive();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    for _ in 0..2 {
        assert_eq!(first.as_mut().poll(&mut task::Context::from_waker(&waker)), Poll::Ready(Fate::Written));
    }
    drop(last.remove(0)); // nobody waits for it any more
    harness.space = 2 * LEN + 8;
    harness.drive();
    assert_eq!(fates(&last)[..2], [done, none]);
    client.abort();
    harness.drive();
    let lost = last.iter().filter(|written| written.fate() == Some(Fate::Lost)).count();
    assert_eq!(lost, 4 + 3);
    assert!(client.send_tracked("late", options).is_err());
}
