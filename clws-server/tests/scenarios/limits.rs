//! Frames, messages and requests beyond a limit are refused as early as possible.

use std::num::NonZeroUsize;

use crate::common;
use crate::common::{ALL_VERSIONS, Peer, Probe, Received, Running, text};
use clws_handshake::client::ClientRequest;
use clws_server::{Config, Version};

in_both_modes!(
    limits_frames_and_messages,
    a_declared_length_beyond_the_limit_is_refused,
    limits_the_number_of_fragments,
    limits_request_heads
);

#[track_caller]
fn expect_close(mut peer: Peer, code: u16) {
    match peer.next() {
        Received::Close(Some((got, reason))) => {
            assert_eq!(got, code);
            assert!(!reason.is_empty());
        }
        other => panic!("{other:?}"),
    }
    peer.finish();
}

fn limits_frames_and_messages(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.max_read_frame_size(1000).max_read_message_size(2000), probe);
    for version in ALL_VERSIONS {
        let mut peer = server.connect(version, "/");
        peer.assert_echo(&"x".repeat(1000));
        peer.text(&"x".repeat(1001));
        if version.is_hixie() {
            assert_eq!(peer.next(), Received::Close(None));
            continue;
        }
        expect_close(peer, if version == Version::Hybi07 { 1004 } else { 1009 });

        let mut peer = server.connect(version, "/");
        let in_frames = |peer: &mut Peer, size: usize| {
            peer.send(|sender| sender.text(&"x".repeat(size), NonZeroUsize::new(500)).unwrap());
        };
        in_frames(&mut peer, 2000);
        assert_eq!(peer.next(), text(&"x".repeat(2000)));
        // The final fragment counts towards the limit.
        in_frames(&mut peer, 2001);
        expect_close(peer, if version == Version::Hybi07 { 1004 } else { 1009 });
    }
    assert!(
        recorder.count(|callback| matches!(callback, common::Callback::Text(text) if text.len() > 2000)) == 0
    );
}

fn a_declared_length_beyond_the_limit_is_refused(config: Config) {
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

fn limits_the_number_of_fragments(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.max_fragments(5), probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.send(|sender| sender.text("12345", Some(NonZeroUsize::MIN)).unwrap());
    assert_eq!(peer.next(), text("12345"));
    peer.send(|sender| sender.text("123456", Some(NonZeroUsize::MIN)).unwrap());
    expect_close(peer, 1008);
}

fn limits_request_heads(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.max_header_size(600), probe);
    server.connect(Version::Rfc6455, "/").assert_echo("short enough");
    // RFC 9112 §3: a target that is too long gets its own status.
    let long = "x".repeat(600);
    assert_eq!(server.try_connect(Version::Rfc6455, &format!("/?{long}")).err(), Some(414));
    let request = ClientRequest::new(Version::Rfc6455, "ws://server/").header("X", &long);
    assert_eq!(Peer::open(server.tcp(), Version::Rfc6455, request).err(), Some(431));
}
