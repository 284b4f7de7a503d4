//! Pings are answered: each with its own pong while the peer reads (Autobahn 2.10 sends ten and wants ten), with the
//! newest one's only once too many wait; a flood of pings cannot grow memory, and a full outbox cannot starve a pong.
#![allow(clippy::unwrap_used, reason = "test code")]

mod common;
use clws_proto::{CloseCode, Role, Sender, Version};
use common::*;

/// What a client makes of all that waits.
fn pongs(octets: &[u8]) -> Vec<Got> {
    events(Version::Rfc6455, Role::Client, octets)
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
fn a_peer_that_reads_gets_all_of_very_many() {
    let mut sender = Sender::server(Version::Rfc6455);
    for i in 0..10_000u32 {
        let payload = i.to_be_bytes();
        sender.answer_ping(&payload);
        assert_eq!(pongs(&drain(&mut sender)), [Got::Pong(payload.to_vec())]);
    }
}

#[test]
fn a_flood_is_bounded_and_its_newest_ping_answered() {
    for mut sender in [Sender::server(Version::Rfc6455), client(Version::Rfc6455)] {
        let role = if sender.role() == Role::Server { Role::Client } else { Role::Server };
        sender.text("queued before", None).unwrap();
        for i in 0..100_000u32 {
            sender.answer_ping(&i.to_be_bytes());
            assert!(sender.queued() < 4096 + 200, "{} octets wait", sender.queued());
        }
        let found = events(Version::Rfc6455, role, &drain(&mut sender));
        assert_eq!(found[0], text("queued before"));
        let pongs = &found[1..];
        assert!(pongs.len() > 100 && pongs.len() < 1000, "{}", pongs.len());
        // The first ones in order, then the newest.
        for (i, pong) in (0u32..).zip(&pongs[..pongs.len() - 1]) {
            assert_eq!(*pong, Got::Pong(i.to_be_bytes().to_vec()));
        }
        assert_eq!(pongs.last(), Some(&Got::Pong(99_999u32.to_be_bytes().to_vec())));
        // And then it is as before.
        sender.answer_ping(b"after");
        assert_eq!(events(Version::Rfc6455, role, &drain(&mut sender)), [Got::Pong(b"after".to_vec())]);
    }
}

/// A peer that reads, but slower than messages for it come: its outbox is never empty, yet its pings are answered.
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
    assert!(answered.is_sorted(), "in order");
    assert_eq!(answered.last(), Some(&4999));
    let longest = answered.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < 1000, "{longest} pings in a row went unanswered");
}

#[test]
fn pongs_that_the_application_sends_are_not_held_back() {
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
fn a_payload_that_no_ping_can_have_is_not_answered() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.answer_ping(&[0; 126]);
    assert_eq!(sender.queued(), 0);
    for _ in 0..5000 {
        sender.answer_ping(b"?");
    }
    sender.answer_ping(&[0; 126]);
    assert_eq!(pongs(&drain(&mut sender)).last(), Some(&Got::Pong(b"?".to_vec())));
}
