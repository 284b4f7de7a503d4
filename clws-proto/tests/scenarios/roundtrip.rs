//! A receiver decodes the messages of a sender: any message, version, role, frame size and reads.

use std::num::NonZeroUsize;

use crate::common::*;
use clws_proto::{CloseCode, Role, Sender, SharedMessage, Version};
use proptest::collection::vec;
use proptest::prelude::*;

/// Lengths around each change of the length encoding and of the buffers, and random lengths.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        prop::sample::select(vec![0, 1, 124, 125, 126, 127, 128, 1023, 1024, 1025, 16_383, 16_384]),
        prop::sample::select(vec![65_534, 65_535, 65_536, 65_537]),
        0usize..3000,
    ]
}

/// The form in which the sender gets a message.
#[derive(Clone, Copy, Debug)]
enum How {
    Borrowed,
    Owned,
    Shared,
}

#[derive(Clone, Debug)]
enum Sent {
    Text(How, usize, Option<NonZeroUsize>),
    Binary(How, usize, Option<NonZeroUsize>),
    Ping(usize),
    Pong(usize),
}

fn sent() -> impl Strategy<Value = Sent> {
    let how = prop::sample::select(vec![How::Borrowed, How::Owned, How::Shared]);
    let frame_size = prop_oneof![Just(None), (20usize..2000).prop_map(NonZeroUsize::new)];
    prop_oneof![
        3 => (how.clone(), len(), frame_size.clone()).prop_map(|(how, len, size)| Sent::Text(how, len, size)),
        3 => (how, len(), frame_size).prop_map(|(how, len, size)| Sent::Binary(how, len, size)),
        1 => (0usize..=125).prop_map(Sent::Ping),
        1 => (0usize..=125).prop_map(Sent::Pong),
    ]
}

fn characters(len: usize) -> String {
    "aé水😀"
        .chars()
        .cycle()
        .scan(0, |total, c| {
            *total += c.len_utf8();
            (*total <= len).then_some(c)
        })
        .collect()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..=255).cycle().take(len).collect()
}

fn send(sender: &mut Sender, sent: &Sent) -> Got {
    match *sent {
        Sent::Text(how, len, size) => {
            let message = characters(len);
            match how {
                How::Borrowed => sender.text(&message, size),
                How::Owned => sender.text_owned(message.clone()),
                How::Shared => sender.shared(&SharedMessage::text(message.clone()).frame_size(size)),
            }
            .unwrap();
            Got::Text(message)
        }
        Sent::Binary(how, len, size) => {
            let message = bytes(len);
            match how {
                How::Borrowed => sender.binary(&message, size),
                How::Owned => sender.binary_owned(message.clone()),
                How::Shared => sender.shared(&SharedMessage::binary(message.clone()).frame_size(size)),
            }
            .unwrap();
            Got::Binary(message)
        }
        Sent::Ping(len) => {
            sender.ping(&bytes(len)).unwrap();
            Got::Ping(bytes(len))
        }
        Sent::Pong(len) => {
            sender.pong(&bytes(len)).unwrap();
            Got::Pong(bytes(len))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_receiver_decodes_the_messages_of_a_sender(
        version in prop::sample::select(Version::ALL.to_vec()),
        role in prop::sample::select(vec![Role::Server, Role::Client]),
        seed in 1u32..,
        all in vec(sent(), 1..6),
        reads in vec(1usize..70_000, 1..4),
    ) {
        let mut key = seed;
        let mut sender = match role {
            Role::Server => Sender::server(version),
            Role::Client => Sender::client(version, move || {
                key = key.wrapping_mul(0x9E37_79B1).rotate_left(5);
                key.to_be_bytes()
            }),
        };
        let only_text = version.is_hixie();
        let mut expected: Vec<Got> = all
            .iter()
            .filter(|sent| !only_text || matches!(sent, Sent::Text(..)))
            .map(|sent| send(&mut sender, sent))
            .collect();
        sender.close(CloseCode::GOING_AWAY, "bye").unwrap();
        if version.has_close_frame() {
            expected.push(Got::Close((!only_text).then(|| (1001, "bye".to_owned()))));
        }

        let other = if role == Role::Server { Role::Client } else { Role::Server };
        let mut receiver = receiver(version, other);
        let mut found = Vec::new();
        for read in reads.iter().cycle() {
            let piece = write(&mut sender, *read);
            if piece.is_empty() {
                break;
            }
            found.extend(feed(&mut receiver, &piece));
        }
        prop_assert_eq!(sender.queued(), 0);
        prop_assert!(found == expected, "{} events, {} expected", found.len(), expected.len());
    }
}
