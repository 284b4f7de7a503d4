//! A read buffer given to the receiver: a large binary message keeps it and needs no copy, other
//! messages leave it in place. The events are the same as for any other way to read.

use crate::common;
use std::cell::RefCell;
use std::io::IoSlice;

use clws_proto::buffer::{BufferPool, NoPool};
use clws_proto::{Event, Events, Limits, Receiver, Role, Sender, Version};
use proptest::prelude::*;

const READ_BUFFER_LEN: usize = 100_000;

#[derive(Debug, Default)]
struct Pool(RefCell<Vec<Vec<u8>>>);

impl BufferPool for Pool {
    fn acquire(&self, _: usize, _: usize) -> Vec<u8> {
        Vec::new()
    }

    fn release(&self, buffer: Vec<u8>) {
        self.0.borrow_mut().push(buffer);
    }
}

fn server() -> Receiver {
    Receiver::new(Version::Rfc6455, Role::Server, Limits::default())
}

fn client() -> Sender {
    Sender::client(Version::Rfc6455, || [9, 8, 7, 6])
}

fn drain(sender: &mut Sender) -> Vec<u8> {
    let mut bytes = Vec::new();
    sender.write_to(&mut bytes).unwrap();
    bytes
}

/// A read buffer that has `bytes` at `start`.
fn read(start: usize, bytes: &[u8]) -> Vec<u8> {
    let mut read_buffer = vec![0xEE; READ_BUFFER_LEN];
    read_buffer[start..start + bytes.len()].copy_from_slice(bytes);
    read_buffer
}

fn record(events: &mut Events<'_>, log: &mut Vec<(char, Vec<u8>)>) {
    while let Some(event) = events.next().unwrap() {
        log.push(match event {
            Event::Text(text) => ('t', text.into_bytes().to_vec()),
            // Takes the payload in each possible way in turn.
            Event::Binary(payload) if log.len().is_multiple_of(3) => ('b', payload.to_vec()),
            Event::Binary(payload) if log.len() % 3 == 1 => ('b', payload.into_vec()),
            Event::Binary(payload) => ('b', payload.into_bytes().to_vec()),
            Event::Ping(payload) => ('i', payload.to_vec()),
            other => panic!("{other:?}"),
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn owned_reads_give_the_same_events(
        messages in prop::collection::vec((0u8..4, 0usize..200_000, any::<u8>()), 1..6),
        frame_size in prop::option::of(1000usize..150_000),
        reads in prop::collection::vec((0usize..2000, 1usize..98_000, any::<bool>()), 1..6),
    ) {
        let (wire, expected) = common::conversation(messages, frame_size);
        let (mut receiver, mut log) = (server(), Vec::new());
        let (mut rest, mut reads) = (&wire[..], reads.iter().cycle());
        while !rest.is_empty() {
            let &(start, size, direct) = reads.next().unwrap();
            let size = size.min(rest.len());
            let count = match receiver.spare_capacity(&NoPool).filter(|_| direct) {
                Some(room) => {
                    let count = room.len().min(size);
                    room[..count].copy_from_slice(&rest[..count]);
                    record(&mut receiver.receive_direct(count, &NoPool), &mut log);
                    count
                }
                None => {
                    let mut read_buffer = read(start, &rest[..size]);
                    record(&mut receiver.receive_owned(&mut read_buffer, start..start + size, &NoPool), &mut log);
                    size
                }
            };
            rest = &rest[count..];
            let received = wire.len() - rest.len();
            prop_assert!(receiver.held() <= 4 * received + 16 * 1024, "{} held of {received}", receiver.held());
        }
        prop_assert!(log == expected);
        prop_assert_eq!(receiver.held(), 0);
    }
}

#[test]
fn a_whole_message_is_forwarded_without_a_copy() {
    let (mut receiver, mut sender, pool) = (server(), Sender::server(Version::Rfc6455), Pool::default());
    let mut wire = client();
    wire.text("first", None).unwrap();
    wire.binary(&[5; 50_000], None).unwrap();
    let wire = drain(&mut wire);
    let mut read_buffer = read(3, &wire);
    let address = read_buffer.as_ptr().addr();
    let mut events = receiver.receive_owned(&mut read_buffer, 3..3 + wire.len(), &pool);
    assert!(matches!(events.next().unwrap(), Some(Event::Text(text)) if text == "first"));
    match events.next().unwrap() {
        Some(Event::Binary(payload)) => sender.forward_binary(payload).unwrap(),
        other => panic!("{other:?}"),
    }
    assert!(events.next().unwrap().is_none());
    drop(events);
    assert_eq!(read_buffer.capacity(), 0, "the outbox owns the buffer");

    let mut slices = [IoSlice::new(&[]); 3];
    assert_eq!(sender.io_slices(&mut slices), 2);
    assert_eq!(slices[1].as_ptr().addr(), address + 3 + wire.len() - 50_000);
    assert!(*slices[1] == [5; 50_000]);
    sender.consume_with(30_000, &pool);
    assert_eq!(pool.0.borrow().len(), 0);
    sender.consume_with(sender.queued(), &pool);
    let back = pool.0.borrow_mut().pop().unwrap();
    assert_eq!((back.as_ptr().addr(), back.len()), (address, READ_BUFFER_LEN), "the same buffer comes back");
}

#[test]
fn an_incomplete_message_continues_in_the_same_buffer() {
    let (mut receiver, pool) = (server(), Pool::default());
    let mut wire = client();
    wire.binary(&[5; 80_000], None).unwrap();
    let wire = drain(&mut wire);
    let (first, rest) = wire.split_at(40_000);
    let mut read_buffer = read(10, first);
    let address = read_buffer.as_ptr().addr();
    assert!(receiver.receive_owned(&mut read_buffer, 10..40_010, &pool).next().unwrap().is_none());
    assert_eq!(read_buffer.capacity(), 0, "the message owns the buffer");

    let room = receiver.spare_capacity(&pool).unwrap();
    assert_eq!((room.as_ptr().addr(), room.len()), (address + 40_010, rest.len()));
    room.copy_from_slice(rest);
    let mut events = receiver.receive_direct(rest.len(), &pool);
    assert!(matches!(events.next().unwrap(), Some(Event::Binary(payload)) if payload == [5; 80_000]));
    drop(events);
    assert_eq!(
        pool.0.borrow_mut().pop().map(|buffer| (buffer.as_ptr().addr(), buffer.len())),
        Some((address, READ_BUFFER_LEN))
    );
}

/// A peer cannot make the receiver hold much more than it sent.
#[test]
fn a_message_keeps_a_buffer_only_if_it_fills_a_quarter() {
    let keeps = |binary: bool, len: usize, cut: usize| {
        let mut wire = client();
        if binary {
            wire.binary(&vec![b'x'; len], None).unwrap();
        } else {
            wire.text(&"x".repeat(len), None).unwrap();
        }
        let wire = drain(&mut wire);
        let count = wire.len() - cut;
        let (mut receiver, mut sender) = (server(), Sender::server(Version::Rfc6455));
        let mut read_buffer = read(0, &wire[..count]);
        let mut events = receiver.receive_owned(&mut read_buffer, 0..count, &NoPool);
        match events.next().unwrap() {
            Some(Event::Binary(payload)) => sender.forward_binary(payload).unwrap(),
            Some(Event::Text(text)) => sender.forward_text(text).unwrap(),
            other => assert!(other.is_none()),
        }
        assert!(events.next().unwrap().is_none());
        drop(events);
        assert!(receiver.held() <= 4 * count + 16 * 1024);
        read_buffer.is_empty()
    };
    assert!(keeps(true, READ_BUFFER_LEN / 4 + 1000, 0));
    assert!(!keeps(true, READ_BUFFER_LEN / 4 + 1000, 1000), "an incomplete message must fill half");
    for cut in [0, 1000] {
        assert!(keeps(true, READ_BUFFER_LEN / 2, cut));
        assert!(!keeps(true, READ_BUFFER_LEN / 5, cut));
        assert!(!keeps(true, 1001, cut));
        assert!(!keeps(false, READ_BUFFER_LEN / 2, cut), "text is checked while it is copied");
    }
}

/// Earlier messages in the same read do not count as part of the message. Its bytes may arrive one
/// by one at no extra cost.
#[test]
fn a_message_that_starts_late_in_its_buffer_grows_like_any_other() {
    let mut before = client();
    for _ in 0..500 {
        before.binary(&[1; 100], None).unwrap();
    }
    let before = drain(&mut before);
    for (payload, with_room) in
        [(80_000, true), (80_000, false), (60_000, true), (60_000, false), (300_000, true)]
    {
        let mut wire = client();
        wire.binary(&vec![7; payload], None).unwrap();
        let wire = drain(&mut wire);
        let mut read_buffer = read(0, &[&before[..], &wire[..READ_BUFFER_LEN - before.len()]].concat());
        let mut rest = &wire[READ_BUFFER_LEN - before.len()..];
        let (mut receiver, pool, mut log) = (server(), Pool::default(), Vec::new());
        record(&mut receiver.receive_owned(&mut read_buffer, 0..READ_BUFFER_LEN, &pool), &mut log);
        assert_eq!((log.len(), read_buffer.len()), (500, 0), "the message owns the buffer");
        let (mut moves, mut capacity) = (0, receiver.held());
        while !rest.is_empty() {
            let size = rest.len().min(if rest.len() > 20_000 && with_room { 5000 } else { 7 });
            match receiver.spare_capacity(&pool).filter(|_| with_room) {
                Some(room) => {
                    room[..size].copy_from_slice(&rest[..size]);
                    record(&mut receiver.receive_direct(size, &pool), &mut log);
                }
                None => record(&mut receiver.receive_with(&mut rest[..size].to_vec(), &pool), &mut log),
            }
            rest = &rest[size..];
            moves += usize::from(receiver.held() > capacity);
            capacity = capacity.max(receiver.held());
            let received = wire.len() - rest.len();
            assert!(receiver.held() <= 4 * received + 16 * 1024, "{} held of {received}", receiver.held());
        }
        assert!(moves <= 4, "{moves} moves for {payload} bytes");
        assert!(log.last() == Some(&('b', vec![7; payload])));
    }
}

/// A message that outgrows its first buffer moves to one of the pool.
#[test]
fn a_message_moves_to_a_buffer_of_the_pool() {
    #[derive(Debug)]
    struct FullPool(RefCell<Vec<(usize, usize)>>);
    impl BufferPool for FullPool {
        fn acquire(&self, least: usize, most: usize) -> Vec<u8> {
            self.0.borrow_mut().push((least, most));
            vec![0xAA; most]
        }
        fn release(&self, _: Vec<u8>) {}
    }
    let mut wire = client();
    let payload: Vec<u8> = (0..=250u8).cycle().take(400_000).collect();
    wire.binary(&payload, None).unwrap();
    let wire = drain(&mut wire);
    let (mut receiver, pool, mut log) = (server(), FullPool(RefCell::default()), Vec::new());
    let mut read_buffer = read(1001, &wire[..90_000]);
    record(&mut receiver.receive_owned(&mut read_buffer, 1001..91_001, &pool), &mut log);
    let mut rest = &wire[90_000..];
    while !rest.is_empty() {
        let room = receiver.spare_capacity(&pool).unwrap();
        let size = room.len().min(rest.len());
        room[..size].copy_from_slice(&rest[..size]);
        rest = &rest[size..];
        record(&mut receiver.receive_direct(size, &pool), &mut log);
    }
    assert!(log == [('b', payload)]);
    let takes = pool.0.into_inner();
    assert!(!takes.is_empty());
    for (least, most) in takes {
        assert!(least <= most && most <= 4 * least, "{least} to {most}");
    }
}

#[test]
fn a_kept_message_does_not_keep_a_much_larger_buffer() {
    for (payload, exact) in [(26_000, true), (90_000, false)] {
        let mut wire = client();
        wire.binary(&vec![3; payload], None).unwrap();
        let wire = drain(&mut wire);
        let (mut receiver, pool) = (server(), Pool::default());
        // Assembled in pieces. The pool gets the buffer back unless the message keeps it.
        let mut read_buffer = read(0, &wire[..wire.len() - 100]);
        assert!(
            receiver.receive_owned(&mut read_buffer, 0..wire.len() - 100, &pool).next().unwrap().is_none()
        );
        let mut last = wire[wire.len() - 100..].to_vec();
        let mut events = receiver.receive_with(&mut last, &pool);
        match events.next().unwrap() {
            Some(Event::Binary(bytes)) => assert_eq!(bytes.into_vec(), vec![3; payload]),
            other => panic!("{other:?}"),
        }
        drop(events);
        assert_eq!(!pool.0.borrow().is_empty() || !read_buffer.is_empty(), exact, "{payload}");
    }
}

#[test]
fn a_received_message_that_is_not_pulled_is_unread() {
    let mut wire = client();
    wire.binary(&[5; 80_000], None).unwrap();
    let wire = drain(&mut wire);
    let mut receiver = server();
    assert!(receiver.receive(&mut wire[..50_000].to_vec()).next().unwrap().is_none());
    assert!(!receiver.has_unread());
    let rest = wire.len() - 50_000;
    receiver.spare_capacity(&NoPool).unwrap()[..rest].copy_from_slice(&wire[50_000..]);
    drop(receiver.receive_direct(rest, &NoPool));
    assert!(receiver.has_unread());
    let mut log = Vec::new();
    record(&mut receiver.receive(&mut []), &mut log);
    assert!(log == [('b', vec![5; 80_000])] && !receiver.has_unread());
}

#[test]
fn receive_direct_takes_no_more_than_the_room() {
    let mut wire = client();
    wire.binary(&[5; 90_000], None).unwrap();
    let wire = drain(&mut wire);
    let (mut receiver, mut log) = (server(), Vec::new());
    let mut read_buffer = read(0, &wire[..50_000]);
    record(&mut receiver.receive_owned(&mut read_buffer, 0..50_000, &NoPool), &mut log);
    drop(receiver.receive_direct(30_000, &NoPool)); // there was no room
    assert!(!receiver.has_unread());
    let mut rest = &wire[50_000..];
    while let Some(room) = receiver.spare_capacity(&NoPool) {
        let size = room.len();
        room.copy_from_slice(&rest[..size]);
        rest = &rest[size..];
        record(&mut receiver.receive_direct(usize::MAX, &NoPool), &mut log);
    }
    record(&mut receiver.receive(&mut rest.to_vec()), &mut log);
    assert!(log == [('b', vec![5; 90_000])]);
}

#[test]
fn a_closed_sender_does_not_take_the_buffer() {
    let mut wire = client();
    wire.binary(&[5; 50_000], None).unwrap();
    let wire = drain(&mut wire);
    let mut read_buffer = read(0, &wire);
    let (mut receiver, mut sender) = (server(), Sender::server(Version::Rfc6455));
    sender.close_without_code();
    let mut events = receiver.receive_owned(&mut read_buffer, 0..wire.len(), &NoPool);
    match events.next().unwrap() {
        Some(Event::Binary(payload)) => assert!(sender.forward_binary(payload).is_err()),
        other => panic!("{other:?}"),
    }
    drop(events);
    assert_eq!(read_buffer.len(), READ_BUFFER_LEN);
}

#[test]
fn unread_messages_come_first_in_the_next_read() {
    let mut wire = client();
    wire.binary(&[1; 40_000], None).unwrap();
    wire.binary(&[2; 40_000], None).unwrap();
    let wire = drain(&mut wire);
    let (mut receiver, mut read_buffer) = (server(), read(0, &wire));
    let mut events = receiver.receive_owned(&mut read_buffer, 0..wire.len(), &NoPool);
    assert!(matches!(events.next().unwrap(), Some(Event::Binary(payload)) if payload == [1; 40_000]));
    drop(events);
    assert!(receiver.has_unread() && read_buffer.len() == READ_BUFFER_LEN);
    let mut log = Vec::new();
    let mut third = client();
    third.binary(&[3; 30_000], None).unwrap();
    let wire = drain(&mut third);
    let mut read_buffer = read(0, &wire);
    record(&mut receiver.receive_owned(&mut read_buffer, 0..wire.len(), &NoPool), &mut log);
    assert!(log == [('b', vec![2; 40_000]), ('b', vec![3; 30_000])]);
    assert_eq!((receiver.held(), read_buffer.len()), (0, READ_BUFFER_LEN));
}

#[test]
fn an_invalid_range_is_no_input() {
    let mut read_buffer = vec![0x82; 1000];
    #[expect(clippy::reversed_empty_ranges, reason = "the test needs a reversed range")]
    for range in [5..5, 7..3, 900..1001, 0..usize::MAX] {
        assert!(server().receive_owned(&mut read_buffer, range, &NoPool).next().unwrap().is_none());
    }
}
