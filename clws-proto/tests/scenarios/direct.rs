//! Payloads read directly into the buffer of the message: the same events, and memory in proportion
//! to the received bytes.

use crate::common;
use clws_proto::buffer::NoPool;
use clws_proto::{Event, Limits, Receiver, Role, Sender, Version};
use proptest::prelude::*;

/// Records the events of a server, marked by kind.
fn record(events: &mut clws_proto::Events<'_>, log: &mut Vec<(char, Vec<u8>)>) {
    while let Some(event) = events.next().unwrap() {
        log.push(match event {
            Event::Text(text) => ('t', text.into_bytes().to_vec()),
            Event::Binary(payload) => ('b', payload.to_vec()),
            Event::Ping(payload) => ('i', payload.to_vec()),
            Event::Pong(payload) => ('o', payload.to_vec()),
            other => panic!("{other:?}"),
        });
    }
}

fn drain(sender: &mut Sender) -> Vec<u8> {
    let mut bytes = Vec::new();
    sender.write_to(&mut bytes).unwrap();
    bytes
}

/// Feeds a stream in pieces, directly where possible. Returns the events and the number of direct
/// reads.
fn feed(receiver: &mut Receiver, mut stream: &[u8], sizes: &[usize]) -> (Vec<(char, Vec<u8>)>, usize) {
    let (mut log, mut direct) = (Vec::new(), 0);
    let mut received = 0;
    let mut sizes = sizes.iter().cycle();
    while !stream.is_empty() {
        let size = (*sizes.next().unwrap()).min(stream.len());
        let count = if let Some(room) = receiver.spare_capacity(&NoPool) {
            let count = room.len().min(size);
            assert!(room.len() <= received, "more room than bytes received");
            room[..count].copy_from_slice(&stream[..count]);
            direct += 1;
            record(&mut receiver.receive_direct(count, &NoPool), &mut log);
            count
        } else {
            let mut piece = stream[..size].to_vec();
            record(&mut receiver.receive(&mut piece), &mut log);
            size
        };
        received += count;
        assert!(receiver.held() <= 2 * received + 1024, "{} held of {received}", receiver.held());
        stream = &stream[count..];
    }
    (log, direct)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn direct_reads_give_the_same_events(
        messages in prop::collection::vec((0u8..4, 0usize..200_000, any::<u8>()), 1..5),
        frame_size in prop::option::of(1000usize..150_000),
        sizes in prop::collection::vec(1usize..90_000, 1..6),
    ) {
        let (wire, expected) = common::conversation(messages, frame_size);
        let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
        let (log, _) = feed(&mut receiver, &wire, &sizes);
        prop_assert!(log == expected);
        prop_assert_eq!(receiver.held(), 0);
    }
}

#[test]
fn a_big_binary_frame_is_read_directly_and_text_is_not() {
    let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
    let mut sender = Sender::client(Version::Rfc6455, || [9, 8, 7, 6]);
    sender.binary(&vec![1; 1 << 20], None).unwrap();
    let (log, direct) = feed(&mut receiver, &drain(&mut sender), &[64 * 1024]);
    assert_eq!((log.len(), direct), (1, 15), "all but the first 64 KiB and the last 14 bytes");
    sender.text(&"x".repeat(1 << 20), None).unwrap();
    assert_eq!(feed(&mut receiver, &drain(&mut sender), &[64 * 1024]).1, 0);
}

#[test]
fn room_grows_with_the_received_bytes_not_the_declared_length() {
    let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
    let mut head = [0x82, 0xFF, 0, 0, 0, 0, 0, 0xF0, 0, 0, 1, 2, 3, 4];
    assert!(receiver.receive(&mut head).next().unwrap().is_none());
    assert!(receiver.spare_capacity(&NoPool).is_none());
    assert!(receiver.receive(&mut [0; 20_000]).next().unwrap().is_none());
    assert_eq!(receiver.spare_capacity(&NoPool).map(|room| room.len()), Some(20_000));
}
