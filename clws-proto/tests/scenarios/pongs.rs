//! Each ping gets its own pong while the peer reads (Autobahn 2.10 sends ten and expects ten). Once
//! too many are queued, only the newest ping is answered. A flood of pings cannot grow memory, and
//! a full outbox cannot starve a pong.

use crate::common::*;
use clws_proto::{CloseCode, Role, Sender, Version};

/// The events that a client finds in these bytes.
fn pongs(bytes: &[u8]) -> Vec<Got> {
    events(Version::Rfc6455, Role::Client, bytes)
}

#[test]
fn each_of_ten_pings_gets_its_pong() {
    let mut sender = Sender::server(Version::Rfc6455);
    for i in 0..10u8 {
        sender.answer_ping(&[i]);
    }
    let expected: Vec<Got> = (0..10).map(|i| Got::Pong(vec![i])).collect();
    assert_eq!(pongs(&drain(&mut sender)), expected);
}

#[test]
fn a_reading_peer_gets_every_pong() {
    let mut sender = Sender::server(Version::Rfc6455);
    for i in 0..10_000u32 {
        let payload = i.to_be_bytes();
        sender.answer_ping(&payload);
        assert_eq!(pongs(&drain(&mut sender)), [Got::Pong(payload.to_vec())]);
    }
}

#[test]
fn a_flood_is_bounded_and_its_newest_ping_is_answered() {
    for mut sender in [Sender::server(Version::Rfc6455), client(Version::Rfc6455)] {
        let role = if sender.role() == Role::Server { Role::Client } else { Role::Server };
        sender.text("queued before", None).unwrap();
        for i in 0..100_000u32 {
            sender.answer_ping(&i.to_be_bytes());
            assert!(sender.queued() < 4096 + 200, "{} bytes queued", sender.queued());
        }
        let found = events(Version::Rfc6455, role, &drain(&mut sender));
        assert_eq!(found[0], text("queued before"));
        let pongs = &found[1..];
        assert!(pongs.len() > 100 && pongs.len() < 1000, "{}", pongs.len());
        // The first pongs in order, then the newest.
        for (i, pong) in (0u32..).zip(&pongs[..pongs.len() - 1]) {
            assert_eq!(*pong, Got::Pong(i.to_be_bytes().to_vec()));
        }
        assert_eq!(pongs.last(), Some(&Got::Pong(99_999u32.to_be_bytes().to_vec())));
        // Pings are answered again after that.
        sender.answer_ping(b"after");
        assert_eq!(events(Version::Rfc6455, role, &drain(&mut sender)), [Got::Pong(b"after".to_vec())]);
    }
}

/// The peer reads more slowly than messages are sent, so its outbox is never empty.
#[test]
fn an_outbox_that_never_empties_does_not_starve_pongs() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.text(&"x".repeat(50_000), None).unwrap();
    let mut wire = Vec::new();
    for i in 0..5_000u32 {
        sender.text(&"y".repeat(100), None).unwrap();
        sender.answer_ping(&i.to_be_bytes());
        wire.extend(write(&mut sender, 110));
        assert!(sender.queued() > 0);
    }
    wire.extend(drain(&mut sender));
    let answered: Vec<u32> = events(Version::Rfc6455, Role::Client, &wire)
        .into_iter()
        .filter_map(|event| match event {
            Got::Pong(payload) => Some(u32::from_be_bytes(payload.try_into().unwrap())),
            _ => None,
        })
        .collect();
    assert!(answered.is_sorted(), "pongs are in order");
    assert_eq!(answered.last(), Some(&4999));
    let longest = answered.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < 1000, "{longest} pings in a row went unanswered");
}

#[test]
fn pongs_of_the_application_are_not_deferred() {
    let mut sender = Sender::server(Version::Rfc6455);
    for _ in 0..2000 {
        sender.pong(b"beat").unwrap();
    }
    assert_eq!(pongs(&drain(&mut sender)).len(), 2000);
}

#[test]
fn a_deferred_pong_does_not_follow_a_close_frame() {
    let mut sender = Sender::server(Version::Rfc6455);
    for _ in 0..5000 {
        sender.answer_ping(b"?");
    }
    sender.close(CloseCode::NORMAL, "").unwrap();
    let found = pongs(&drain(&mut sender));
    assert_eq!(found.last(), Some(&Got::Close(Some((1000, String::new())))));
    assert_eq!(sender.queued(), 0);
}

#[test]
fn a_ping_payload_over_125_bytes_is_not_answered() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.answer_ping(&[0; 126]);
    assert_eq!(sender.queued(), 0);
    for _ in 0..5000 {
        sender.answer_ping(b"?");
    }
    sender.answer_ping(&[0; 126]);
    assert_eq!(pongs(&drain(&mut sender)).last(), Some(&Got::Pong(b"?".to_vec())));
}
