//! The limits: the final fragment counts, a declared length is judged before its octets come, control frames are not
//! messages, and what passes exactly at the boundary passes.

mod common;
use clws_proto::{Limits, ProtocolError, Receiver, Role, Version};
use common::*;

fn with(limits: Limits) -> Receiver {
    Receiver::new(Version::Rfc6455, Role::Server, limits)
}

/// What comes of these octets, whole and octet by octet, which must agree.
fn both(limits: Limits, octets: &[u8]) -> Vec<Got> {
    let whole = feed(&mut with(limits), octets);
    let mut receiver = with(limits);
    let pieces: Vec<Got> = octets.iter().flat_map(|octet| feed(&mut receiver, &[*octet])).collect();
    assert_eq!(pieces, whole, "octet by octet");
    whole
}

#[test]
fn a_frame_up_to_its_limit() {
    let limits = Limits::default().max_frame_size(1000);
    let refused = ProtocolError::FrameTooBig { limit: 1000 };
    assert_eq!(both(limits, &to_server(FIN | BINARY, &[1; 1000])), [Got::Binary(vec![1; 1000])]);
    assert_eq!(both(limits, &to_server(FIN | BINARY, &[1; 1001])), [Got::Failed(refused)]);
    // Its header alone is enough to refuse it.
    assert_eq!(both(limits, &header(FIN | BINARY, 1001, Role::Server)), [Got::Failed(refused)]);
    assert_eq!(both(limits, &header(TEXT, 1001, Role::Server)), [Got::Failed(refused)]);
    // A message may be longer than a frame.
    let message = [to_server(TEXT, &[b'a'; 1000]), to_server(FIN | CONTINUATION, &[b'b'; 1000])].concat();
    assert_eq!(both(limits, &message), [text(&("a".repeat(1000) + &"b".repeat(1000)))]);
}

#[test]
fn a_message_up_to_its_limit_with_the_final_fragment_counted() {
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
        assert!(!matches!(both(limits, &message(&[b'a'; 200]))[..], [Got::Failed(_)]));
        assert_eq!(both(limits, &message(&[b'a'; 201])), [Got::Failed(refused)]);
        assert_eq!(both(limits, &to_server(FIN | opcode, &[b'a'; 1001])), [Got::Failed(refused)]);
    }
    // The octets of a character that is cut by fragments are counted too.
    let limits = Limits::default().max_message_size(4);
    let cut = |last: &[u8]| [to_server(TEXT, b"\xf0\x9f\x98"), to_server(FIN | CONTINUATION, last)].concat();
    assert_eq!(both(limits, &cut(b"\x80")), [text("😀")]);
    assert_eq!(both(limits, &cut(b"\x80!")), [Got::Failed(ProtocolError::MessageTooBig { limit: 4 })]);
}

#[test]
fn a_message_does_not_count_against_the_next() {
    let limits = Limits::default().max_message_size(10).max_fragments(2);
    let message = [to_server(TEXT, b"12345"), to_server(FIN | CONTINUATION, b"67890")].concat();
    assert_eq!(
        both(limits, &message.repeat(3)),
        [text("1234567890"), text("1234567890"), text("1234567890")]
    );
}

#[test]
fn a_declared_length_of_2_to_the_62() {
    let octets = header(FIN | BINARY, 1 << 62, Role::Server);
    let limits = Limits::default();
    assert_eq!(both(limits, &octets), [Got::Failed(ProtocolError::FrameTooBig { limit: 16 << 20 })]);
    // In a second fragment, behind one that passed.
    let second = [to_server(BINARY, b"x"), header(CONTINUATION, 1 << 62, Role::Server)].concat();
    assert_eq!(both(limits, &second), [Got::Failed(ProtocolError::FrameTooBig { limit: 16 << 20 })]);
    // Who sets no limits gets what comes, in memory that grows by what comes.
    let none = Limits::default().max_frame_size(usize::MAX).max_message_size(usize::MAX);
    if usize::BITS >= 64 {
        let mut receiver = with(none);
        assert_eq!(feed(&mut receiver, &octets), []);
        for _ in 0..100 {
            assert_eq!(feed(&mut receiver, &[0; 1000]), []);
        }
        assert!(receiver.held() < 300_000, "{}", receiver.held());
    }
}

#[test]
fn fragments_up_to_their_limit() {
    let limits = Limits::default().max_fragments(5);
    let message = |continuations: usize| {
        let mut octets = to_server(TEXT, b"a");
        for _ in 1..continuations {
            octets.extend(to_server(CONTINUATION, b"a"));
            octets.extend(to_server(FIN | PING, b"")); // control frames are no fragments
        }
        octets.extend(to_server(FIN | CONTINUATION, b"a"));
        octets
    };
    assert_eq!(both(limits, &message(4)).last(), Some(&text("aaaaa")));
    let refused = ProtocolError::TooManyFragments { limit: 5 };
    assert_eq!(both(limits, &message(5)).last(), Some(&Got::Failed(refused)));
    // Empty fragments are cheap to send and count.
    let empty = [to_server(TEXT, b""), to_server(CONTINUATION, b"").repeat(5)].concat();
    assert_eq!(both(limits, &empty), [Got::Failed(refused)]);
}

/// Autobahn 9.3.1 sends 4 MiB in fragments of 64 octets: 65,536 of them.
#[test]
fn the_default_takes_65536_fragments_and_not_endlessly_many() {
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

/// However small the limits on messages, pings and close frames pass, cut or whole; and a message in one frame is
/// one message, whatever the cap on fragments says.
#[test]
fn control_frames_and_whole_messages_pass_the_smallest_limits() {
    let limits = Limits::default().max_frame_size(3).max_message_size(3).max_fragments(0);
    let octets = [
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
    assert_eq!(both(limits, &octets), expected);
}

#[test]
fn limits_of_zero_leave_the_empty_message() {
    let limits = Limits::default().max_frame_size(0).max_message_size(0);
    assert_eq!(both(limits, &to_server(FIN | TEXT, b"")), [text("")]);
    assert_eq!(
        both(limits, &to_server(FIN | TEXT, b"x")),
        [Got::Failed(ProtocolError::FrameTooBig { limit: 0 })]
    );
}
