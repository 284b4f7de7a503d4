//! Arbitrary bytes cause no panic, memory stays within the limits and the received bytes, and a
//! failed connection stays failed. After arbitrary commands, the outbox has the bytes it counts.

use crate::common::*;
use clws_proto::{CloseCode, CloseFrame, Limits, Receiver, Role, Sender, SharedMessage, Version};
use proptest::collection::vec;
use proptest::prelude::*;

/// An upper bound for a receiver's memory besides payload bytes.
const STATE: usize = 256 + 256;

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![Role::Server, Role::Client])
}

/// Bytes that get further than plain noise: plausible first bytes and lengths, then noise.
fn read() -> impl Strategy<Value = Vec<u8>> {
    let plausible =
        (prop::sample::select(vec![0x81, 0x01, 0x80, 0x00, 0x82, 0x02, 0x89, 0x8A, 0x88, 0xFF]), any::<u8>());
    let len = prop_oneof![0u64..200, 200u64..70_000, any::<u64>(), Just(1 << 62), Just(u64::MAX)];
    prop_oneof![
        1 => vec(any::<u8>(), 0..300),
        2 => (plausible, vec(any::<u8>(), 0..100))
            .prop_map(|((first, second), noise)| [&[first, second][..], &noise].concat()),
        2 => (prop::sample::select(vec![0x81, 0x01, 0x80, 0x82, 0x02]), len, vec(any::<u8>(), 0..300))
            .prop_map(|(first, len, noise)| [header(first, len, Role::Server), noise].concat()),
        2 => (prop::sample::select(vec![0x01, 0x02, 0x00, 0x80]), vec(any::<u8>(), 0..300))
            .prop_map(|(first, payload)| to_server(first, &payload)),
        1 => vec(b'a'..=b'z', 0..300),
    ]
}

/// A call of an application on a sender.
#[derive(Clone, Debug)]
enum Command {
    Text(usize, usize),
    Binary(usize, usize),
    Owned(usize),
    Shared(usize),
    Ping(usize),
    AnswerPing(usize),
    Close(u16, usize),
    AnswerClose(u16),
    Write(usize),
    TakeBuffer,
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (0usize..3000, 0usize..100).prop_map(|(len, size)| Command::Text(len, size)),
        (0usize..3000, 0usize..100).prop_map(|(len, size)| Command::Binary(len, size)),
        (0usize..40_000).prop_map(Command::Owned),
        (0usize..3000).prop_map(Command::Shared),
        (0usize..200).prop_map(Command::Ping),
        (0usize..200).prop_map(Command::AnswerPing),
        (any::<u16>(), 0usize..200).prop_map(|(code, len)| Command::Close(code, len)),
        any::<u16>().prop_map(Command::AnswerClose),
        (0usize..50_000).prop_map(Command::Write),
        (0usize..50_000).prop_map(Command::Write),
        Just(Command::TakeBuffer),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_receiver_survives_garbage_and_stays_small(
        version in version(), role in role(), reads in vec(read(), 1..20),
        max_frame in prop_oneof![0usize..500, Just(usize::MAX)],
        max_message in prop_oneof![0usize..500, Just(1 << 20), Just(usize::MAX)],
        fragments in 0u32..20, pulls in prop_oneof![Just(usize::MAX), 0usize..3],
    ) {
        let limits = Limits::default()
            .max_frame_size(max_frame)
            .max_message_size(max_message)
            .max_fragments(fragments);
        let mut receiver = Receiver::new(version, role, limits);
        let (mut failed, mut received) = (false, 0);
        for mut read in reads {
            received += read.len();
            let mut events = receiver.receive(&mut read);
            for _ in 0..pulls {
                match pull(&mut events) {
                    None => break,
                    Some(event) => {
                        prop_assert!(!failed, "{event:?} after a failure");
                        failed = matches!(event, Got::Failed(_) | Got::Close(_));
                    }
                }
            }
            drop(events);
            prop_assert_eq!(receiver.is_finished(), failed);
            if failed {
                prop_assert_eq!((receiver.held(), receiver.has_unread()), (0, false));
            }
            if pulls == usize::MAX {
                prop_assert!(!receiver.has_unread());
                prop_assert!(receiver.held() <= max_message.saturating_add(STATE), "{}", receiver.held());
            }
            prop_assert!(receiver.held() <= 4 * received + STATE, "{} held for {received}", receiver.held());
        }
    }

    #[test]
    fn a_sender_survives_any_commands(
        version in version(), role in role(), commands in vec(command(), 1..30)
    ) {
        let mut sender = if role == Role::Server { Sender::server(version) } else { client(version) };
        let mut wire = Vec::new();
        for command in commands {
            let (queued, closed) = (sender.queued(), sender.close_sent());
            let is_silent = matches!(command, Command::Close(..)) && !version.has_close_frame();
            let size = |size| std::num::NonZeroUsize::new(size);
            let result = match command {
                Command::Text(len, frame) => sender.text(&"t".repeat(len), size(frame)),
                Command::Binary(len, frame) => sender.binary(&vec![1; len], size(frame)),
                Command::Owned(len) => sender.text_owned("o".repeat(len)),
                Command::Shared(len) => sender.shared(&SharedMessage::text("s".repeat(len))),
                Command::Ping(len) => sender.ping(&vec![0; len]),
                Command::Close(code, len) => sender.close(CloseCode::new(code), &"r".repeat(len)),
                Command::AnswerPing(len) => {
                    sender.answer_ping(&vec![0; len]);
                    continue;
                }
                Command::AnswerClose(code) => {
                    sender.answer_close(Some(&CloseFrame { code: CloseCode::new(code), reason: "" }));
                    prop_assert!(sender.close_sent());
                    continue;
                }
                Command::Write(at_most) => {
                    wire.extend(write(&mut sender, at_most));
                    continue;
                }
                Command::TakeBuffer => {
                    let buffer = sender.take_buffer();
                    prop_assert_eq!(sender.queued(), queued);
                    sender.give_buffer(buffer.unwrap_or_default());
                    continue;
                }
            };
            prop_assert_eq!(result.is_ok() && !is_silent, sender.queued() > queued);
            prop_assert!(result.is_err() || !closed, "nothing is sent after a close frame");
        }
        wire.extend(drain(&mut sender));
        // The other side accepts all frames.
        let other = if role == Role::Server { Role::Client } else { Role::Server };
        let mut receiver = receiver(version, other);
        for event in feed(&mut receiver, &wire) {
            prop_assert!(!matches!(event, Got::Failed(_)), "{event:?}");
        }
        prop_assert_eq!((receiver.held(), receiver.is_finished()), (0, sender.close_sent() && version.has_close_frame()));
    }
}
