//! Tests of the backlog: a random test against a model, and single rules.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::buffer::meter::Meter;
use crate::buffer::pool::NoPool;
use crate::buffer::receipt::Receipt;
use crate::close::CloseCode;
#[cfg(feature = "deflate")]
use crate::deflate::config::DeflateConfig;
#[cfg(feature = "deflate")]
use crate::deflate::params::DeflateParams;
#[cfg(feature = "deflate")]
use crate::deflate::pool::CodecPool;
use crate::limits::Limits;
use crate::message::event::Event;
use crate::receive::Receiver;
use crate::send::backlog::pending::Key;
use crate::send::shared::SharedMessage;
use crate::version::{Role, Version};

const ROOM: usize = 2000;

#[derive(Debug)]
struct Reports(u32, mpsc::Sender<(u32, Fate)>);

impl Receipt for Reports {
    fn settle(self: Box<Self>, fate: Fate) {
        let _ = self.1.send((self.0, fate));
    }
}

/// A received item: the number of a message, or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Message(u32),
    Ping(u32),
    Pong,
    Close,
}

/// A server's sender, and a client that reads what it wants to.
struct Pair {
    sender: Sender,
    receiver: Receiver,
    admission: Admission,
}

impl Pair {
    fn new(version: Version) -> Self {
        Self {
            sender: Sender::server(version),
            receiver: Receiver::new(version, Role::Client, Limits::default()),
            admission: Admission { room: ROOM, is_full: false },
        }
    }

    #[cfg(feature = "deflate")]
    fn deflate(mut self, params: DeflateParams) -> Self {
        let codecs = CodecPool::new(&DeflateConfig::default().threshold(1));
        self.sender = self.sender.deflate(params, &codecs);
        self.receiver = self.receiver.deflate(params, &codecs);
        self
    }

    fn queue(&mut self, message: Pending) -> Result<Queued, SendError> {
        self.sender.queue(message, self.admission, &NoPool)
    }

    /// The client reads at most that many bytes.
    fn read(&mut self, most: usize) -> Vec<Item> {
        let mut items = Vec::new();
        let mut left = most;
        while left > 0 && self.sender.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = self.sender.io_slices(&mut slices);
            let mut bytes: Vec<u8> =
                slices[..filled].iter().flat_map(|slice| slice.iter().copied()).take(left).collect();
            assert!(!bytes.is_empty(), "messages wait before an empty outbox");
            left -= bytes.len();
            self.sender.consume_with(bytes.len(), &NoPool);
            let mut events = self.receiver.receive(&mut bytes);
            while let Some(event) = events.next().unwrap() {
                items.push(match event {
                    Event::Text(text) => Item::Message(number(text.as_bytes())),
                    Event::Binary(payload) => Item::Message(number(&payload)),
                    Event::Ping(payload) => Item::Ping(number(&payload)),
                    Event::Pong(_) => Item::Pong,
                    Event::Close(_) => Item::Close,
                    Event::Piece(_) => unreachable!("messages are not streamed"),
                });
            }
        }
        items
    }

    /// The numbers, keys and policies of the messages that wait.
    fn waiting(&self) -> Vec<(u32, Option<Key>, bool)> {
        let Some(backlog) = self.sender.buffer.as_ref().and_then(|buffer| buffer.backlog.as_ref()) else {
            return Vec::new();
        };
        let entry = |(id, message): (&u64, &Pending)| {
            (number(message.payload()), message.key, backlog.droppable.contains(id))
        };
        backlog.waiting.iter().map(entry).collect()
    }

    fn check(&self) {
        let Some(buffer) = &self.sender.buffer else { return };
        let Some(backlog) = &buffer.backlog else { return assert_eq!(buffer.waiting, 0) };
        let messages = || backlog.waiting.values();
        assert_eq!(buffer.waiting, messages().map(Pending::len).sum::<usize>());
        assert_eq!(backlog.memory, messages().map(Pending::held).sum::<usize>());
        let droppable = backlog.droppable.iter().map(|id| backlog.waiting[id].len()).sum::<usize>();
        assert_eq!(backlog.droppable_bytes, droppable);
        assert!(buffer.waiting == 0 || self.sender.queued() > ROOM, "a message waits without a reason");
        let keyed = messages().filter(|message| message.key.is_some()).count();
        assert_eq!(backlog.keys.len(), keyed, "each key waits once");
    }
}

fn number(payload: &[u8]) -> u32 {
    std::str::from_utf8(&payload[..8]).unwrap().parse().unwrap()
}

fn numbered(number: u32, len: usize) -> String {
    format!("{number:08}{}", "some words that repeat ".repeat(len / 23))
}

/// One step of the random test.
#[derive(Clone, Debug)]
enum Step {
    Send { len: usize, kind: u8, policy: Option<u8>, limit: usize, key: Option<u64>, compress: bool },
    Ping,
    AnswerPing,
    Read(usize),
    Full(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let send = (
        0usize..3000,
        0u8..4,
        prop::option::of(0u8..4),
        0usize..20_000,
        prop::option::of(0u64..4),
        any::<bool>(),
    );
    let send = send.prop_map(|(len, kind, policy, limit, key, compress)| Step::Send {
        len,
        kind,
        policy,
        limit,
        key,
        compress,
    });
    let step = prop_oneof![
        8 => send,
        1 => Just(Step::Ping),
        1 => Just(Step::AnswerPing),
        2 => (0usize..6000).prop_map(Step::Read),
        1 => any::<bool>().prop_map(Step::Full),
    ];
    prop::collection::vec(step, 1..120)
}

fn policy(kind: u8, limit: usize) -> SlowPolicy {
    let policy = match kind {
        0 => SlowPolicy::refuse(),
        1 => SlowPolicy::close(),
        2 => SlowPolicy::drop_newest(),
        _ => SlowPolicy::drop_oldest(),
    };
    policy.max_queued(limit)
}

/// Runs the steps. Every message has a receipt, and the client decodes what it reads.
fn run(mut pair: Pair, steps: Vec<Step>) {
    let (tx, fates) = mpsc::channel();
    let (mut expected, mut found, mut pongs) = (Vec::new(), Vec::new(), 0);
    let (mut gone, mut refused) = (Vec::new(), 0);
    for (number, step) in (0u32..).zip(steps) {
        match step {
            Step::Send { len, kind, policy: own, limit, key, compress } => {
                let text = numbered(number, len);
                let message = match kind {
                    0 => Pending::text(&text),
                    1 => Pending::binary(text.as_bytes()),
                    2 => Pending::binary_bytes(Bytes::from(text)),
                    _ => Pending::shared(&SharedMessage::text(text)),
                };
                let message = if compress { message } else { message.uncompressed() };
                let key = key.map(|key| (0, key));
                let message = message
                    .key(key)
                    .policy(own.map(|kind| policy(kind, limit)))
                    .receipt(Box::new(Reports(number, tx.clone())));
                let (before, was) = (pair.waiting(), pair.sender.queued());
                let len = message.len();
                let effective = message.policy.or(pair.sender.policy()).unwrap_or(SlowPolicy::refuse());
                let queued = pair.queue(message).unwrap();
                let dropped: Vec<u32> = fates
                    .try_iter()
                    .filter(|(_, fate)| *fate == Fate::Dropped)
                    .map(|(number, _)| number)
                    .collect();
                match queued {
                    Queued::Yes { displaced } => {
                        assert_eq!(dropped.len() as u64, displaced);
                        let replaced = before.iter().find(|(_, known, _)| known.is_some() && *known == key);
                        let oldest = before.iter().filter(|entry| entry.2 && Some(*entry) != replaced);
                        let count = dropped.len() - usize::from(replaced.is_some());
                        let gone_now = replaced.into_iter().chain(oldest.take(count));
                        let gone_now: Vec<u32> = gone_now.map(|(number, ..)| *number).collect();
                        assert_eq!(dropped, gone_now, "the oldest go, and the message with the key");
                        gone.extend(gone_now);
                        let limit = effective.max_queued.max(ROOM);
                        if !pair.admission.is_full {
                            assert!(pair.sender.queued() <= limit.saturating_add(len + 200));
                        } else {
                            assert!(pair.sender.queued() <= was + 200);
                        }
                        expected.push(Item::Message(number));
                    }
                    Queued::Dropped => {
                        assert!(matches!(effective.action, Action::DropNewest | Action::DropOldest));
                        assert_eq!(dropped, [number]);
                        refused += 1;
                    }
                    Queued::Refused(policy) => {
                        assert_eq!(policy, effective);
                        assert_eq!(dropped, [number]);
                    }
                }
            }
            Step::Ping => {
                let payload = format!("{number:08}");
                let ping = Pending::ping(payload.as_bytes());
                if let Queued::Yes { displaced } = pair.queue(ping).unwrap() {
                    assert_eq!(displaced, 0);
                    expected.push(Item::Ping(number));
                }
            }
            Step::AnswerPing => {
                pair.sender.answer_ping(b"?");
                pongs += 1;
            }
            Step::Read(most) => found.extend(pair.read(most)),
            Step::Full(is_full) => pair.admission.is_full = is_full,
        }
        pair.check();
    }
    pair.sender.close(CloseCode::NORMAL, "").unwrap();
    assert!(pair.sender.close_sent());
    pair.sender.answer_ping(b"late");
    pair.check();
    found.extend(pair.read(usize::MAX));
    assert_eq!(found.last(), Some(&Item::Close), "the close frame is last");
    found.pop();
    let before = found.len();
    found.retain(|item| *item != Item::Pong);
    assert!(before - found.len() <= pongs + 1);
    expected.retain(|item| !matches!(item, Item::Message(number) if gone.contains(number)));
    assert_eq!(found, expected, "all others arrive once and in order");
    let counts = pair.sender.drop_counts();
    assert_eq!(counts.dropped + counts.replaced, gone.len() as u64 + refused);
    // Every message that arrived was reported, no other one, and each once.
    assert!(pair.sender.buffer.is_none_or(|buffer| buffer.backlog.is_none() && buffer.waiting == 0));
    drop(tx);
    assert!(fates.iter().all(|(_, fate)| fate == Fate::Written));
}

proptest! {
    #[test]
    fn drops_only_what_the_policies_permit(steps in steps(), own in prop::option::of((0u8..4, 0usize..10_000))) {
        let mut pair = Pair::new(Version::Rfc6455);
        pair.sender.set_policy(own.map(|(kind, limit)| policy(kind, limit)));
        run(pair, steps);
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn a_dropped_message_does_not_disturb_compression(steps in steps(), takeover in any::<bool>()) {
        let params = DeflateParams::default().server_no_context_takeover(!takeover);
        run(Pair::new(Version::Rfc6455).deflate(params), steps);
    }
}

fn outcome(pair: &mut Pair, number: u32, policy: SlowPolicy) -> Queued {
    pair.queue(Pending::text(&numbered(number, 990)).policy(Some(policy))).unwrap()
}

const NONE: Queued = Queued::Yes { displaced: 0 };

#[test]
fn the_oldest_is_dropped_from_the_waiting_messages_only() {
    let mut pair = Pair::new(Version::Hybi00);
    let policy = SlowPolicy::drop_oldest().max_queued(4000);
    for number in 0..4 {
        assert_eq!(outcome(&mut pair, number, policy), NONE, "{number}");
    }
    for number in 4..20 {
        assert_eq!(outcome(&mut pair, number, policy), Queued::Yes { displaced: 1 }, "{number}");
    }
    let items = [0, 1, 2, 19].map(Item::Message);
    assert_eq!(pair.read(usize::MAX), items);
    assert_eq!(pair.sender.drop_counts(), DropCounts { dropped: 16, replaced: 0 });
}

#[test]
fn the_newest_is_dropped_and_accepted_messages_stay() {
    let mut pair = Pair::new(Version::Hybi07);
    let policy = SlowPolicy::drop_newest().max_queued(4000);
    let sent = (0..20).filter(|number| outcome(&mut pair, *number, policy) == NONE).collect::<Vec<_>>();
    assert_eq!(sent, [0, 1, 2, 3]);
    assert_eq!(pair.sender.drop_counts().dropped, 16);
    assert_eq!(pair.read(usize::MAX).len(), 4);
    assert_eq!(outcome(&mut pair, 20, policy), NONE);
}

#[test]
fn a_refusal_says_whether_to_close() {
    let mut pair = Pair::new(Version::Rfc6455);
    for policy in [SlowPolicy::close().max_queued(4000), SlowPolicy::refuse().max_queued(4000)] {
        while let Queued::Yes { .. } = outcome(&mut pair, 0, policy) {}
        assert_eq!(outcome(&mut pair, 1, policy), Queued::Refused(policy));
    }
    assert!(SlowPolicy::close().closes() && !SlowPolicy::refuse().closes());
    assert_eq!(pair.sender.drop_counts(), DropCounts::default(), "a refusal is no drop");
}

#[test]
fn a_message_with_a_key_replaces_its_predecessor_and_goes_last() {
    let mut pair = Pair::new(Version::Rfc6455);
    let keyed = |number, key| Pending::text(&numbered(number, 990)).key(Some(key));
    for number in 0..3 {
        let _ = outcome(&mut pair, number, SlowPolicy::refuse());
    }
    for (number, key) in [(3, (0, 7)), (4, (0, 8)), (5, (1, 7))] {
        assert_eq!(pair.queue(keyed(number, key)).unwrap(), NONE);
    }
    assert_eq!(outcome(&mut pair, 6, SlowPolicy::refuse()), NONE);
    for number in 7..1000 {
        assert_eq!(pair.queue(keyed(number, (0, 7))).unwrap(), Queued::Yes { displaced: 1 });
    }
    assert!(pair.sender.held() < 20_000, "{}", pair.sender.held());
    assert_eq!(pair.read(usize::MAX), [0, 1, 2, 4, 5, 6, 999].map(Item::Message));
    assert_eq!(pair.sender.drop_counts(), DropCounts { dropped: 0, replaced: 993 });
}

#[test]
fn a_message_behind_waiting_messages_does_not_overtake_them() {
    let mut pair = Pair::new(Version::Rfc6455);
    for number in 0..4 {
        let _ = outcome(&mut pair, number, SlowPolicy::drop_oldest());
    }
    assert!(pair.sender.is_waiting() && pair.sender.must_wait());
    assert_eq!(pair.queue(Pending::text(&numbered(4, 10))).unwrap(), NONE);
    assert_eq!(pair.queue(Pending::ping(b"00000005")).unwrap(), NONE);
    pair.sender.answer_ping(b"!");
    let items = [0, 1].map(Item::Message).into_iter();
    let items = items.chain([Item::Pong]).chain([2, 3, 4].map(Item::Message)).chain([Item::Ping(5)]);
    assert_eq!(pair.read(usize::MAX), items.collect::<Vec<_>>());
    assert!(!pair.sender.must_wait());
}

#[test]
fn a_lost_connection_reports_each_message_once() {
    let (tx, fates) = mpsc::channel();
    let mut pair = Pair::new(Version::Rfc6455);
    for number in 0..6 {
        let message = Pending::text(&numbered(number, 990)).policy(Some(SlowPolicy::drop_oldest()));
        let _ = pair.queue(message.receipt(Box::new(Reports(number, tx.clone())))).unwrap();
    }
    assert_eq!(pair.read(2500).len(), 2);
    pair.sender.abandon();
    assert_eq!(pair.sender.queued(), 0);
    drop(tx);
    let mut fates: Vec<_> = fates.iter().collect();
    fates.sort_by_key(|(number, _)| *number);
    let fate = |number| if number < 2 { Fate::Written } else { Fate::Lost };
    assert_eq!(fates, (0..6).map(|number| (number, fate(number))).collect::<Vec<_>>());
    assert_eq!(pair.queue(Pending::text("late")), Err(SendError::Closed));
}

#[test]
fn pongs_that_pass_do_not_shift_a_report() {
    let (tx, fates) = mpsc::channel();
    let mut pair = Pair::new(Version::Rfc6455);
    let shared = SharedMessage::binary(numbered(0, 5000));
    for number in 0..3 {
        let message = Pending::shared(&shared).receipt(Box::new(Reports(number, tx.clone())));
        let _ = pair.queue(message).unwrap();
    }
    let len = pair.sender.queued() / 3;
    let _ = pair.read(10);
    pair.sender.answer_ping(b"between the first and the second message");
    let _ = pair.read(len - 11);
    assert!(fates.try_recv().is_err());
    let _ = pair.read(1);
    assert_eq!(fates.try_recv(), Ok((0, Fate::Written)));
    let pong = pair.sender.queued() - 2 * len;
    let _ = pair.read(len + pong - 1);
    assert!(fates.try_recv().is_err());
    let _ = pair.read(1);
    assert_eq!(fates.try_recv(), Ok((1, Fate::Written)));
    let _ = pair.read(usize::MAX);
    assert_eq!(fates.try_recv(), Ok((2, Fate::Written)));
}

#[derive(Debug, Default)]
struct Counts(AtomicUsize);

impl Meter for Counts {
    fn charge(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn release(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[test]
fn a_shared_message_is_charged_once_while_it_waits() {
    let counts = Arc::new(Counts::default());
    let message = SharedMessage::text(numbered(1, 50_000));
    message.set_meter(&(Arc::clone(&counts) as _));
    let mut pairs = [(); 50].map(|()| Pair::new(Version::Rfc6455));
    for pair in &mut pairs {
        let _ = outcome(pair, 0, SlowPolicy::refuse());
        let _ = outcome(pair, 0, SlowPolicy::refuse());
        let _ = outcome(pair, 0, SlowPolicy::refuse());
        let _ = pair.queue(Pending::shared(&message).policy(Some(SlowPolicy::drop_oldest()))).unwrap();
        assert!(pair.sender.is_waiting() && pair.sender.queued() > 50_000);
        assert!(pair.sender.held() < 10_000);
    }
    assert_eq!(counts.0.load(Ordering::Relaxed), message.len());
    let _ = pairs[0].read(2500);
    assert!(!pairs[0].sender.is_waiting(), "it is encoded for this client");
    drop(pairs);
    assert_eq!(counts.0.load(Ordering::Relaxed), 0);
}

#[cfg(feature = "deflate")]
#[test]
fn an_uncompressed_message_is_sent_as_it_is() {
    let text = numbered(1, 5000);
    for message in [
        Pending::text(&text),
        Pending::binary(text.as_bytes()),
        Pending::binary_bytes(text.clone().into()),
        Pending::shared(&SharedMessage::text(text.as_str())),
    ] {
        let mut pair = Pair::new(Version::Rfc6455).deflate(DeflateParams::default());
        pair.sender.text(&text, None).unwrap();
        assert!(pair.sender.queued() < 200);
        let _ = pair.queue(message.uncompressed()).unwrap();
        assert!(pair.sender.queued() > text.len());
        pair.sender.text(&text, None).unwrap();
        assert_eq!(pair.read(usize::MAX), vec![Item::Message(1); 3]);
    }
}

/// Messages that compress to almost nothing never fill the outbox. One write must not compress all
/// of them.
#[cfg(feature = "deflate")]
#[test]
fn one_write_moves_a_limited_number_of_bytes() {
    let mut pair = Pair::new(Version::Rfc6455).deflate(DeflateParams::default());
    let policy = SlowPolicy::drop_oldest().max_queued(4 << 20);
    let _ = pair.queue(Pending::text(&numbered(0, 3000)).uncompressed()).unwrap();
    for number in 1..100 {
        let message = Pending::text(&numbered(number, 10_000)).policy(Some(policy));
        assert_eq!(pair.queue(message).unwrap(), NONE);
    }
    let before = pair.waiting().len();
    pair.sender.consume(2000);
    let moved = before - pair.waiting().len();
    assert!((6..9).contains(&moved), "{moved}");
    assert_eq!(pair.sender.drop_counts(), DropCounts::default());
}
