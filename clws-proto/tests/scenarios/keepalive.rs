//! Keepalive pings overtake queued frames, as answers to pings do. The driver's number in a
//! receiver costs no memory.

use std::num::NonZeroUsize;

use crate::common::*;
use clws_proto::{CloseCode, Limits, Receiver, Role, SendError, Sender, Version};

fn client(version: Version) -> Receiver {
    let mut limits = Limits::default();
    limits.max_fragments = u32::MAX;
    Receiver::new(version, Role::Client, limits)
}

#[test]
fn an_early_ping_passes_whole_messages_and_fragments() {
    for version in HYBI {
        for frame_size in [None, NonZeroUsize::new(1000)] {
            let mut sender = Sender::server(version);
            for _ in 0..300 {
                sender.text(&"x".repeat(10_000), frame_size).unwrap();
            }
            let mut wire = write(&mut sender, 7);
            let end = sender.ping_early(b"alive?").unwrap();
            assert!(end <= 130_000, "{end}");
            // The position counts the bytes before the ping and the ping itself.
            wire.extend(write(&mut sender, end));
            assert!(wire.ends_with(b"\x89\x06alive?"));
            wire.extend(drain(&mut sender));
            let found = feed(&mut client(version), &wire);
            assert_eq!(found.iter().filter(|got| matches!(got, Got::Text(_))).count(), 300);
            assert!(found.contains(&Got::Ping(b"alive?".to_vec())));
        }
    }
}

#[test]
fn early_pings_and_pongs_keep_their_order() {
    let mut sender = Sender::server(Version::Rfc6455);
    for _ in 0..20 {
        sender.binary(&[7; 100_000], None).unwrap();
    }
    let wire = write(&mut sender, 1);
    sender.answer_ping(b"1");
    let first = sender.ping_early(b"2").unwrap();
    sender.answer_ping(b"3");
    assert_eq!(sender.ping_early(b"4").unwrap(), first + 6);
    let wire = [wire, drain(&mut sender)].concat();
    let found = feed(&mut client(Version::Rfc6455), &wire);
    let control: Vec<_> = found.into_iter().filter(|got| !matches!(got, Got::Binary(_))).collect();
    let [one, two, three, four] = [b"1", b"2", b"3", b"4"].map(|payload| payload.to_vec());
    assert_eq!(control, [Got::Pong(one), Got::Ping(two), Got::Pong(three), Got::Ping(four)]);
}

#[test]
fn an_early_ping_stays_behind_pinned_bytes() {
    let mut sender = Sender::server(Version::Rfc6455);
    for _ in 0..20 {
        sender.binary(&[7; 100_000], None).unwrap();
    }
    sender.pin(250_000);
    assert!(sender.ping_early(b"?").unwrap() > 250_000);
}

#[test]
fn an_early_ping_fails_where_a_ping_fails() {
    for version in [Version::Hixie75, Version::Hybi00] {
        assert_eq!(Sender::server(version).ping_early(b"?"), Err(SendError::Unsupported));
    }
    let mut sender = Sender::server(Version::Rfc6455);
    assert_eq!(sender.ping_early(&[0; 126]), Err(SendError::ControlTooLong));
    assert_eq!(sender.queued(), 0);
    sender.close(CloseCode::NORMAL, "").unwrap();
    let queued = sender.queued();
    assert_eq!(sender.ping_early(b"?"), Err(SendError::Closed));
    assert_eq!(sender.queued(), queued);
}

#[test]
fn a_receiver_keeps_the_number_of_its_driver() {
    for version in Version::ALL {
        let mut receiver = Receiver::new(version, Role::Server, Limits::default());
        assert_eq!(receiver.mark(), 0);
        receiver.set_mark(0xFEDC_BA98);
        receiver.discard();
        assert_eq!((receiver.mark(), receiver.is_finished()), (0xFEDC_BA98, true));
    }
}
