//! The limits: the final fragment counts, a declared length is checked before its payload arrives,
//! control frames are not messages, and a size exactly at the limit passes.

use crate::common::*;
use clws_proto::{Limits, ProtocolError, Receiver, Role, Version};

fn with(limits: Limits) -> Receiver {
    Receiver::new(Version::Rfc6455, Role::Server, limits)
}

/// The events in these bytes, which must agree in one read and byte by byte.
fn found(limits: Limits, bytes: &[u8]) -> Vec<Got> {
    let whole = feed(&mut with(limits), bytes);
    let mut receiver = with(limits);
    let pieces: Vec<Got> = bytes.iter().flat_map(|byte| feed(&mut receiver, &[*byte])).collect();
    assert_eq!(pieces, whole, "byte by byte");
    whole
}

#[test]
fn a_frame_may_reach_its_limit() {
    let limits = Limits::default().max_frame_size(1000);
    let refused = ProtocolError::FrameTooBig { limit: 1000 };
    assert_eq!(found(limits, &to_server(FIN | BINARY, &[1; 1000])), [Got::Binary(vec![1; 1000])]);
    assert_eq!(found(limits, &to_server(FIN | BINARY, &[1; 1001])), [Got::Failed(refused)]);
    // The header alone is enough to refuse the frame.
    assert_eq!(found(limits, &header(FIN | BINARY, 1001, Role::Server)), [Got::Failed(refused)]);
    assert_eq!(found(limits, &header(TEXT, 1001, Role::Server)), [Got::Failed(refused)]);
    // A message may be longer than a frame.
    let message = [to_server(TEXT, &[b'a'; 1000]), to_server(FIN | CONTINUATION, &[b'b'; 1000])].concat();
    assert_eq!(found(limits, &message), [text(&("a".repeat(1000) + &"b".repeat(1000)))]);
}

#[test]
fn the_final_fragment_counts_toward_the_message_limit() {
    let limits = Limits::default().max_message_size(1000);
    let refused = ProtocolError::MessageTooBig { limit: 1000 };
    for opcode in [TEXT, BINARY] {
        let message = |last: &[u8]| {
            [
                to_server(opcode, &[b'a'; 400]),
                to_server(CONTINUATION, &[b'a'; 400]),
                to_server(FIN | CONTINUATION, last),
            ]
            .concat()
        };
        assert!(!matches!(found(limits, &message(&[b'a'; 200]))[..], [Got::Failed(_)]));
        assert_eq!(found(limits, &message(&[b'a'; 201])), [Got::Failed(refused)]);
        assert_eq!(found(limits, &to_server(FIN | opcode, &[b'a'; 1001])), [Got::Failed(refused)]);
    }
    // The bytes of a character that fragments split are counted too.
    let limits = Limits::default().max_message_size(4);
    let cut = |last: &[u8]| [to_server(TEXT, b"\xf0\x9f\x98"), to_server(FIN | CONTINUATION, last)].concat();
    assert_eq!(found(limits, &cut(b"\x80")), [text("😀")]);
    assert_eq!(found(limits, &cut(b"\x80!")), [Got::Failed(ProtocolError::MessageTooBig { limit: 4 })]);
}

#[test]
fn a_message_does_not_count_against_the_next() {
    let limits = Limits::default().max_message_size(10).max_fragments(2);
    let message = [to_server(TEXT, b"12345"), to_server(FIN | CONTINUATION, b"67890")].concat();
    assert_eq!(
        found(limits, &message.repeat(3)),
        [text("1234567890"), text("1234567890"), text("1234567890")]
    );
}

#[test]
fn a_declared_length_of_2_to_the_62_reserves_nothing() {
    let bytes = header(FIN | BINARY, 1 << 62, Role::Server);
    let limits = Limits::default();
    assert_eq!(found(limits, &bytes), [Got::Failed(ProtocolError::FrameTooBig { limit: 16 << 20 })]);
    // In a second fragment, after a valid one.
    let second = [to_server(BINARY, b"x"), header(CONTINUATION, 1 << 62, Role::Server)].concat();
    assert_eq!(found(limits, &second), [Got::Failed(ProtocolError::FrameTooBig { limit: 16 << 20 })]);
    // Without limits, memory grows with the received bytes.
    let none = Limits::default().max_frame_size(usize::MAX).max_message_size(usize::MAX);
    if usize::BITS >= 64 {
        let mut receiver = with(none);
        assert_eq!(feed(&mut receiver, &bytes), []);
        for _ in 0..100 {
            assert_eq!(feed(&mut receiver, &[0; 1000]), []);
        }
        assert!(receiver.held() < 300_000, "{}", receiver.held());
    }
}

#[test]
fn fragments_may_reach_their_limit() {
    let limits = Limits::default().max_fragments(5);
    let message = |continuations: usize| {
        let mut bytes = to_server(TEXT, b"a");
        for _ in 1..continuations {
            bytes.extend(to_server(CONTINUATION, b"a"));
            bytes.extend(to_server(FIN | PING, b"")); // control frames are not fragments
        }
        bytes.extend(to_server(FIN | CONTINUATION, b"a"));
        bytes
    };
    assert_eq!(found(limits, &message(4)).last(), Some(&text("aaaaa")));
    let refused = ProtocolError::TooManyFragments { limit: 5 };
    assert_eq!(found(limits, &message(5)).last(), Some(&Got::Failed(refused)));
    // Empty fragments are cheap to send, but they count.
    let empty = [to_server(TEXT, b""), to_server(CONTINUATION, b"").repeat(5)].concat();
    assert_eq!(found(limits, &empty), [Got::Failed(refused)]);
}

/// Autobahn 9.3.1 sends 4 MiB in fragments of 64 bytes: 65,536 of them.
#[test]
fn the_default_fragment_limit_suffices_for_autobahn() {
    let mut receiver = server();
    assert_eq!(feed(&mut receiver, &to_server(BINARY, b"a")), []);
    let fragments = to_server(CONTINUATION, b"a").repeat(65_534);
    assert_eq!(feed(&mut receiver, &fragments), []);
    assert_eq!(feed(&mut receiver, &to_server(FIN | CONTINUATION, b"a")), [Got::Binary(vec![b'a'; 65_536])]);

    let mut receiver = server();
    assert_eq!(feed(&mut receiver, &to_server(BINARY, b"")), []);
    let fragments = to_server(CONTINUATION, b"").repeat(131_071);
    assert_eq!(feed(&mut receiver, &fragments), []);
    assert_eq!(
        feed(&mut receiver, &to_server(CONTINUATION, b"")),
        [Got::Failed(ProtocolError::TooManyFragments { limit: 131_072 })]
    );
}

/// Pings and close frames pass the smallest limits. A message in one frame passes every limit on
/// fragments.
#[test]
fn control_frames_and_whole_messages_pass_the_smallest_limits() {
    let limits = Limits::default().max_frame_size(3).max_message_size(3).max_fragments(0);
    let bytes = [
        to_server(FIN | PING, &[b'p'; 125]),
        to_server(FIN | TEXT, b"abc"),
        to_server(FIN | PONG, &[b'q'; 125]),
        to_server(FIN | CLOSE, b"\x03\xe8a reason"),
    ]
    .concat();
    let expected = [
        Got::Ping(vec![b'p'; 125]),
        text("abc"),
        Got::Pong(vec![b'q'; 125]),
        Got::Close(Some((1000, "a reason".into()))),
    ];
    assert_eq!(found(limits, &bytes), expected);
}

#[test]
fn limits_of_zero_allow_the_empty_message() {
    let limits = Limits::default().max_frame_size(0).max_message_size(0);
    assert_eq!(found(limits, &to_server(FIN | TEXT, b"")), [text("")]);
    assert_eq!(
        found(limits, &to_server(FIN | TEXT, b"x")),
        [Got::Failed(ProtocolError::FrameTooBig { limit: 0 })]
    );
}
