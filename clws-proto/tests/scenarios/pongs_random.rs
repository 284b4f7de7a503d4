//! Random messages, written in pieces of any length while pings are answered. Messages arrive whole
//! and in order. Answers to pings are in order and never inside a frame. A close frame is last.

use std::num::NonZeroUsize;

use crate::common::*;
use clws_proto::{CloseCode, Limits, Receiver, Role, Sender, SharedMessage, Version};
use proptest::prelude::*;

/// A call on a sender.
#[derive(Clone, Debug)]
enum Step {
    /// Sends a message of this kind and length, in frames of this size.
    Send(u8, usize, usize),
    /// Sends this many messages of this length.
    Small(usize, usize),
    Ping,
    Pong,
    /// Answers this many pings.
    Answer(usize),
    Write(usize),
    /// Pins this many of the queued bytes.
    Pin(usize),
    Cut,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![0usize..300, 0usize..5000, 15_000usize..140_000];
    let size = prop_oneof![Just(0), 1usize..40, 100usize..300, 1000usize..70_000];
    let written = prop_oneof![1usize..20, 1usize..3000, 1usize..200_000];
    let step = prop_oneof![
        6 => (0u8..7, len, size).prop_map(|(kind, len, size)| Step::Send(kind, len, size)),
        2 => (1usize..300, 0usize..400).prop_map(|(count, len)| Step::Small(count, len)),
        1 => Just(Step::Ping),
        1 => Just(Step::Pong),
        5 => (1usize..4).prop_map(Step::Answer),
        1 => Just(Step::Answer(1000)),
        4 => written.clone().prop_map(Step::Write),
        1 => written.prop_map(Step::Pin),
        1 => Just(Step::Cut),
    ];
    prop::collection::vec(step, 1..60)
}

/// Payloads of the application's own control frames, and of answered pings.
const OWN: u8 = b'o';
const ANSWER: u8 = b'a';

struct Fixture {
    sender: Sender,
    wire: Vec<u8>,
    expected: Vec<Got>,
    /// The number of answered pings.
    answers: u32,
    pinned: Vec<u8>,
}

impl Fixture {
    fn send(&mut self, kind: u8, len: usize, frame_size: usize) {
        let sender = &mut self.sender;
        // Text that compresses a little.
        let text: String =
            (0..len).map(|i| char::from(b'a' + u8::try_from((i * i / 7) % 23).unwrap())).collect();
        let bytes = text.clone().into_bytes();
        let size = NonZeroUsize::new(frame_size);
        match kind {
            0 => sender.text(&text, size).unwrap(),
            1 => sender.binary(&bytes, size).unwrap(),
            2 => sender.text_owned(text.clone()).unwrap(),
            3 => sender.binary_owned(bytes.clone()).unwrap(),
            4 | 5 => sender.shared(&SharedMessage::text(text.clone()).frame_size(size)).unwrap(),
            _ => {
                let message = SharedMessage::binary(bytes.clone()).frame_size(size);
                (0..3).for_each(|_| sender.shared(&message).unwrap());
                self.expected.extend([Got::Binary(bytes.clone()), Got::Binary(bytes.clone())]);
            }
        }
        self.expected.push(if matches!(kind, 0 | 2 | 4 | 5) { Got::Text(text) } else { Got::Binary(bytes) });
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send(kind, len, frame_size) => self.send(kind, len, frame_size),
            Step::Small(count, len) => (0..count).for_each(|_| self.send(0, len, 0)),
            Step::Ping => {
                self.sender.ping(&[OWN]).unwrap();
                self.expected.push(Got::Ping(vec![OWN]));
            }
            Step::Pong => {
                self.sender.pong(&[OWN]).unwrap();
                self.expected.push(Got::Pong(vec![OWN]));
            }
            Step::Answer(count) => (0..count).for_each(|_| self.answer()),
            Step::Write(count) => {
                let queued = self.queued();
                let count = count.min(queued.len());
                self.sender.consume(count);
                self.wire.extend_from_slice(&queued[..count]);
                self.pinned.drain(..count.min(self.pinned.len()));
            }
            Step::Pin(count) => {
                let queued = self.queued();
                self.sender.pin(count);
                let count = count.min(queued.len()).max(self.pinned.len());
                self.pinned = queued[..count].to_vec();
            }
            Step::Cut => self.sender.cut(),
        }
    }

    fn answer(&mut self) {
        let before = self.sender.queued();
        let payload = [&[ANSWER][..], &self.answers.to_be_bytes()].concat();
        self.sender.answer_ping(&payload);
        self.answers += 1;
        assert!(self.sender.queued() - before <= 11);
    }

    fn queued(&self) -> Vec<u8> {
        let mut slices = vec![std::io::IoSlice::new(&[]); self.sender.slices()];
        let filled = self.sender.io_slices(&mut slices);
        assert_eq!(filled, slices.len());
        assert!(slices.iter().all(|slice| !slice.is_empty()));
        let queued = slices.iter().map(|slice| &slice[..]).collect::<Vec<_>>().concat();
        assert_eq!(queued.len(), self.sender.queued());
        queued
    }
}

fn check(sender: Sender, mut receiver: Receiver, steps: &[Step], closes: bool, after: &[Step]) {
    let mut fixture = Fixture { sender, wire: vec![], expected: vec![], answers: 0, pinned: vec![] };
    for step in steps {
        fixture.step(step);
        assert!(fixture.queued().starts_with(&fixture.pinned));
    }
    if closes {
        fixture.sender.close(CloseCode::NORMAL, "bye").unwrap();
        fixture.expected.push(Got::Close(Some((1000, "bye".into()))));
    }
    let answered = fixture.answers;
    for step in after {
        if let Step::Answer(_) | Step::Write(_) | Step::Pin(_) = step {
            fixture.step(step);
        }
    }
    let mut wire = std::mem::take(&mut fixture.wire);
    wire.extend(drain(&mut fixture.sender));
    assert_eq!(fixture.sender.slices(), 0);
    #[cfg(feature = "deflate")]
    let context = fixture.sender.context_size();
    #[cfg(not(feature = "deflate"))]
    let context = 0;
    assert!(fixture.sender.held() - context <= 128 * 1024, "{}", fixture.sender.held());
    let (answers, others): (Vec<_>, Vec<_>) = feed(&mut receiver, &wire)
        .into_iter()
        .partition(|got| matches!(got, Got::Pong(payload) if payload[0] == ANSWER));
    let same = others.iter().zip(&fixture.expected).take_while(|(found, expected)| found == expected).count();
    assert!(others == fixture.expected, "{same} of {} are as expected", fixture.expected.len());
    let answers: Vec<_> = answers
        .into_iter()
        .map(|got| match got {
            Got::Pong(payload) => u32::from_be_bytes(payload[1..].try_into().unwrap()),
            _ => 0,
        })
        .collect();
    assert!(answers.is_sorted_by(|one, next| one < next), "{answers:?}");
    if closes {
        // A ping before the close frame is answered by its own pong or by a newer one.
        assert!(answered == 0 || answers.last() >= Some(&(answered - 1)), "{answers:?} of {answered}");
    } else {
        assert_eq!(answers.last(), fixture.answers.checked_sub(1).as_ref());
    }
}

fn no_limits() -> Limits {
    let mut limits = Limits::default();
    (limits.max_frame_size, limits.max_message_size, limits.max_fragments) = (1 << 30, 1 << 30, u32::MAX);
    limits
}

fn a_client() -> Sender {
    let mut key = 1u32;
    Sender::client(Version::Rfc6455, move || {
        key = key.wrapping_mul(0x0102_0305);
        key.to_be_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn messages_of_a_server_arrive_in_order(before in steps(), closes: bool, after in steps()) {
        let receiver = Receiver::new(Version::Hybi08, Role::Client, no_limits());
        check(Sender::server(Version::Hybi08), receiver, &before, closes, &after);
    }

    #[test]
    fn messages_of_a_client_arrive_in_order(before in steps(), closes: bool, after in steps()) {
        let receiver = Receiver::new(Version::Rfc6455, Role::Server, no_limits());
        check(a_client(), receiver, &before, closes, &after);
    }
}

#[cfg(feature = "deflate")]
mod deflate {
    use clws_proto::{CodecPool, DeflateConfig, DeflateParams};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn compressed_messages_arrive_in_order(before in steps(), closes: bool, after in steps(), context: bool) {
            let codecs = CodecPool::new(&DeflateConfig::default());
            let params = DeflateParams::default().server_no_context_takeover(!context);
            let receiver = Receiver::new(Version::Rfc6455, Role::Client, no_limits()).deflate(params, &codecs);
            let sender = Sender::server(Version::Rfc6455).deflate(params, &codecs);
            check(sender, receiver, &before, closes, &after);
        }
    }
}
