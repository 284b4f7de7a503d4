//! A frame that breaks RFC 6455 §5 fails the connection at the offending byte, for drafts 7, 8 and
//! 13, in one read and byte by byte. Nothing is held afterwards.

use crate::common::*;
use clws_proto::{ProtocolError, Role, Version};

/// The error, and the number of single bytes after which it is reported.
fn refused_at(role: Role, bytes: &[u8]) -> (ProtocolError, usize) {
    let mut found = Vec::new();
    for version in HYBI {
        let whole = events(version, role, bytes);
        let mut receiver = receiver(version, role);
        let (count, error) = (1..)
            .zip(bytes)
            .find_map(|(count, byte)| match feed(&mut receiver, &[*byte]).pop() {
                Some(Got::Failed(error)) => Some((count, error)),
                _ => None,
            })
            .expect("the frame is refused");
        assert_eq!(whole.last(), Some(&Got::Failed(error)), "in one read and byte by byte");
        assert!(receiver.is_finished());
        assert_eq!((receiver.held(), receiver.has_unread()), (0, false));
        assert_eq!(feed(&mut receiver, &frame(FIN | TEXT, b"more", role)), [], "later input is discarded");
        found.push((error, count));
    }
    assert!(found.iter().all(|each| *each == found[0]), "{found:?}");
    found[0]
}

#[test]
fn reserved_bits_are_zero() {
    for bits in 1..8 {
        for opcode in [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] {
            let bytes = to_server(FIN | bits << 4 | opcode, b"x");
            assert_eq!(refused_at(Role::Server, &bytes), (ProtocolError::ReservedBits, 1));
        }
    }
}

#[test]
fn reserved_bits_are_zero_in_continuations() {
    let bytes = [to_server(TEXT, b"x"), to_server(FIN | 0x40 | CONTINUATION, b"x")].concat();
    assert_eq!(refused_at(Role::Server, &bytes), (ProtocolError::ReservedBits, 8));
}

#[test]
fn reserved_opcodes_are_refused() {
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        for fin in [0, FIN] {
            let bytes = to_server(fin | opcode, b"");
            assert_eq!(refused_at(Role::Server, &bytes), (ProtocolError::ReservedOpcode(opcode), 1));
        }
    }
}

#[test]
fn control_frames_are_unfragmented_and_short() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(refused_at(Role::Server, &to_server(opcode, b"x")), (ProtocolError::FragmentedControl, 1));
        for len in [126, 127, 65535, 65536] {
            let bytes = header(FIN | opcode, len, Role::Server);
            assert_eq!(refused_at(Role::Server, &bytes), (ProtocolError::ControlTooLong, 2));
        }
    }
    let longest = [b'p'; 125];
    for (opcode, got) in [(PING, Got::Ping(longest.to_vec())), (PONG, Got::Pong(longest.to_vec()))] {
        let bytes = to_server(FIN | opcode, &longest);
        let found = events(Version::Rfc6455, Role::Server, &bytes);
        assert_eq!(events_by_byte(Version::Rfc6455, Role::Server, &bytes), found);
        assert_eq!(found, [got]);
    }
}

#[test]
fn control_frames_may_come_inside_a_fragmented_message() {
    let bytes = [
        to_server(TEXT, b"one, "),
        to_server(FIN | PING, b"?"),
        to_server(CONTINUATION, b"two, "),
        to_server(FIN | PONG, b""),
        to_server(FIN | PING, b"!"),
        to_server(FIN | CONTINUATION, b"three"),
    ]
    .concat();
    let expected =
        [Got::Ping(b"?".to_vec()), Got::Pong(vec![]), Got::Ping(b"!".to_vec()), text("one, two, three")];
    assert_eq!(events(Version::Rfc6455, Role::Server, &bytes), expected);
    assert_eq!(events_by_byte(Version::Rfc6455, Role::Server, &bytes), expected);
}

#[test]
fn a_continuation_needs_a_message() {
    for fin in [0, FIN] {
        let header_len = 6;
        assert_eq!(
            refused_at(Role::Server, &to_server(fin | CONTINUATION, b"x")),
            (ProtocolError::UnexpectedContinuation, header_len)
        );
        // A finished message cannot be continued, and a control frame does not start a message.
        for before in [to_server(FIN | TEXT, b"done"), to_server(FIN | PING, b"ping")] {
            let bytes = [before.clone(), to_server(fin | CONTINUATION, b"x")].concat();
            assert_eq!(
                refused_at(Role::Server, &bytes),
                (ProtocolError::UnexpectedContinuation, before.len() + header_len)
            );
        }
    }
}

#[test]
fn a_message_must_end_before_the_next() {
    for (first, second) in [(TEXT, TEXT), (TEXT, BINARY), (BINARY, TEXT), (BINARY, BINARY)] {
        for fin in [0, FIN] {
            let bytes = [to_server(first, b"a"), to_server(fin | second, b"b")].concat();
            assert_eq!(refused_at(Role::Server, &bytes).0, ProtocolError::ExpectedContinuation);
        }
    }
}

#[test]
fn empty_fragments_are_fragments() {
    let bytes = [
        to_server(TEXT, b""),
        to_server(CONTINUATION, b""),
        to_server(CONTINUATION, b"x"),
        to_server(FIN | CONTINUATION, b""),
        to_server(BINARY, b""),
        to_server(FIN | CONTINUATION, b""),
        to_server(FIN | TEXT, b""),
    ]
    .concat();
    let expected = [text("x"), Got::Binary(vec![]), text("")];
    assert_eq!(events(Version::Rfc6455, Role::Server, &bytes), expected);
    assert_eq!(events_by_byte(Version::Rfc6455, Role::Server, &bytes), expected);
}

#[test]
fn lengths_use_the_shortest_encoding() {
    for len in [0u16, 1, 124, 125] {
        let bytes = [&[FIN | BINARY, 0x80 | 126][..], &len.to_be_bytes()].concat();
        assert_eq!(refused_at(Role::Server, &bytes), (ProtocolError::NonMinimalLength, 4));
    }
    for len in [0u64, 125, 126, 65535] {
        let bytes = [&[FIN | BINARY, 0x80 | 127][..], &len.to_be_bytes()].concat();
        assert_eq!(refused_at(Role::Server, &bytes), (ProtocolError::NonMinimalLength, 10));
    }
    for len in [125, 126, 127, 128, 65534, 65535, 65536, 65537] {
        let payload = vec![7; len];
        let found = events(Version::Rfc6455, Role::Server, &to_server(FIN | BINARY, &payload));
        assert_eq!(found, [Got::Binary(payload)], "{len}");
    }
}

#[test]
fn the_top_bit_of_a_length_is_zero() {
    for len in [1u64 << 63, u64::MAX] {
        let bytes = header(FIN | BINARY, len, Role::Server);
        assert_eq!(refused_at(Role::Server, &bytes), (ProtocolError::LengthOverflow, 10));
    }
    // One less is a valid length, and over the limit.
    let bytes = header(FIN | BINARY, (1 << 63) - 1, Role::Server);
    assert_eq!(
        refused_at(Role::Server, &bytes),
        (ProtocolError::FrameTooBig { limit: 16 << 20 }, bytes.len())
    );
}

#[test]
fn clients_mask_and_servers_do_not() {
    for first in [FIN | TEXT, TEXT, FIN | BINARY, FIN | CLOSE, FIN | PING, FIN | PONG] {
        for payload in [&b""[..], b"Hello"] {
            let unmasked = frame(first, payload, Role::Client);
            assert_eq!(refused_at(Role::Server, &unmasked), (ProtocolError::Unmasked, 2));
            let masked = frame(first, payload, Role::Server);
            assert_eq!(refused_at(Role::Client, &masked), (ProtocolError::Masked, 2));
        }
    }
    // Continuations as well.
    let bytes = [to_server(TEXT, b"a"), frame(FIN | CONTINUATION, b"b", Role::Client)].concat();
    assert_eq!(refused_at(Role::Server, &bytes), (ProtocolError::Unmasked, 9));
}

#[test]
fn each_frame_has_its_own_masking_key() {
    let bytes = b"\x01\x82\x01\x02\x03\x04\x60\x60\x80\x82\xff\xff\xff\xff\x9c\x9b";
    assert_eq!(events(Version::Rfc6455, Role::Server, bytes), [text("abcd")]);
    assert_eq!(events_by_byte(Version::Rfc6455, Role::Server, bytes), [text("abcd")]);
}

#[test]
fn each_error_has_its_close_code() {
    let code = |error: ProtocolError, version| error.close_code(version).value();
    let protocol = [
        ProtocolError::ReservedBits,
        ProtocolError::ReservedOpcode(3),
        ProtocolError::FragmentedControl,
        ProtocolError::ControlTooLong,
        ProtocolError::UnexpectedContinuation,
        ProtocolError::ExpectedContinuation,
        ProtocolError::NonMinimalLength,
        ProtocolError::LengthOverflow,
        ProtocolError::Unmasked,
        ProtocolError::Masked,
        ProtocolError::CloseBodyTooShort,
        ProtocolError::InvalidCloseCode(1005),
    ];
    for error in protocol {
        assert!(HYBI.iter().all(|version| code(error, *version) == 1002), "{error:?}");
    }
    // The close codes of draft 7 end at 1004, "a frame that is too large".
    for (error, seven, later) in [
        (ProtocolError::InvalidUtf8, 1003, 1007),
        (ProtocolError::InvalidCloseReason, 1003, 1007),
        (ProtocolError::FrameTooBig { limit: 1 }, 1004, 1009),
        (ProtocolError::MessageTooBig { limit: 1 }, 1004, 1009),
        (ProtocolError::TooManyFragments { limit: 1 }, 1002, 1008),
    ] {
        assert_eq!(code(error, Version::Hybi07), seven, "{error:?}");
        assert_eq!(code(error, Version::Hybi08), later, "{error:?}");
        assert_eq!(code(error, Version::Rfc6455), later, "{error:?}");
    }
}
