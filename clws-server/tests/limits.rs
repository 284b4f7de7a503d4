//! What is too big is refused, as early as it can be known.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::num::NonZeroUsize;

use clws_handshake::client::ClientRequest;
use clws_server::{Config, Version};
use common::{ALL, Got, Peer, Probe, Running, text};

in_both_modes!(frames_and_messages, a_declared_length_is_enough, fragments, request_heads);

#[track_caller]
fn expect_close(mut peer: Peer, code: u16) {
    match peer.next() {
        Got::Close(Some((got, reason))) => {
            assert_eq!(got, code);
            assert!(!reason.is_empty());
        }
        other => panic!("{other:?}"),
    }
    peer.finish();
}

fn frames_and_messages(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config.max_read_frame_size(1000).max_read_message_size(2000), probe);
    for version in ALL {
        let mut peer = server.connect(version, "/");
        peer.assert_echo(&"x".repeat(1000));
        peer.text(&"x".repeat(1001));
        if version.is_hixie() {
            assert_eq!(peer.next(), Got::Close(None));
            continue;
        }
        expect_close(peer, if version == Version::Hybi07 { 1004 } else { 1009 });

        let mut peer = server.connect(version, "/");
        let in_frames = |peer: &mut Peer, size: usize| {
            peer.send(|sender| sender.text(&"x".repeat(size), NonZeroUsize::new(500)).unwrap());
        };
        in_frames(&mut peer, 2000);
        assert_eq!(peer.next(), text(&"x".repeat(2000)));
        // The final fragment counts.
        in_frames(&mut peer, 2001);
        expect_close(peer, if version == Version::Hybi07 { 1004 } else { 1009 });
    }
    assert!(diary.count(|seen| matches!(seen, common::Seen::Text(text) if text.len() > 2000)) == 0);
}

fn a_declared_length_is_enough(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    let mut other = server.connect(Version::Rfc6455, "/");
    for length in [(16 << 20) + 1, 1 << 62, i64::MAX.unsigned_abs()] {
        let mut peer = server.connect(Version::Rfc6455, "/");
        peer.raw(&[&[0x82, 0xFF][..], &u64::to_be_bytes(length), &[1, 2, 3, 4]].concat());
        expect_close(peer, 1009);
        other.assert_echo("undisturbed");
    }
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.raw(&[&[0x82, 0xFF][..], &u64::MAX.to_be_bytes(), &[1, 2, 3, 4]].concat());
    expect_close(peer, 1002);
}

fn fragments(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.max_fragments(5), probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.send(|sender| sender.text("12345", Some(NonZeroUsize::MIN)).unwrap());
    assert_eq!(peer.next(), text("12345"));
    peer.send(|sender| sender.text("123456", Some(NonZeroUsize::MIN)).unwrap());
    expect_close(peer, 1008);
}

fn request_heads(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.max_header_size(600), probe);
    server.connect(Version::Rfc6455, "/").assert_echo("short enough");
    // RFC 9112 §3: a target that is too long has a status of its own.
    let long = "x".repeat(600);
    assert_eq!(server.try_connect(Version::Rfc6455, &format!("/?{long}")).err(), Some(414));
    let request = ClientRequest::new(Version::Rfc6455, "ws://server/").header("X", &long);
    assert_eq!(Peer::open(server.tcp(), Version::Rfc6455, request).err(), Some(431));
}
