//! The examples of RFC 6455 §5.7 and the frames of hybi-00 §1.2, both received and sent.

use std::num::NonZeroUsize;

use crate::common::*;
use clws_proto::{Role, Sender, Version};

const UNMASKED_HELLO: &[u8] = &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
const MASKED_HELLO: &[u8] = &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
const FRAGMENTED_HELLO: &[u8] = &[0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
const PING_HELLO: &[u8] = &[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
const PONG_HELLO: &[u8] = &[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];

#[test]
fn a_single_frame_unmasked_text_message() {
    for version in HYBI {
        assert_eq!(events(version, Role::Client, UNMASKED_HELLO), [text("Hello")]);
        let mut sender = Sender::server(version);
        sender.text("Hello", None).unwrap();
        assert_eq!(drain(&mut sender), UNMASKED_HELLO);
    }
}

#[test]
fn a_single_frame_masked_text_message() {
    for version in HYBI {
        assert_eq!(events(version, Role::Server, MASKED_HELLO), [text("Hello")]);
        let mut sender = client(version);
        sender.text("Hello", None).unwrap();
        assert_eq!(drain(&mut sender), MASKED_HELLO);
    }
}

#[test]
fn a_fragmented_unmasked_text_message() {
    for version in HYBI {
        assert_eq!(events(version, Role::Client, FRAGMENTED_HELLO), [text("Hello")]);
        let mut sender = Sender::server(version);
        sender.text("Hello", NonZeroUsize::new(3)).unwrap();
        assert_eq!(drain(&mut sender), FRAGMENTED_HELLO);
    }
}

#[test]
fn unmasked_ping_request_and_masked_ping_response() {
    for version in HYBI {
        let mut server = Sender::server(version);
        server.ping(b"Hello").unwrap();
        assert_eq!(drain(&mut server), PING_HELLO);

        let found = events(version, Role::Client, PING_HELLO);
        assert_eq!(found, [Got::Ping(b"Hello".to_vec())]);
        let mut client = client(version);
        client.answer_ping(b"Hello");
        assert_eq!(drain(&mut client), PONG_HELLO);

        assert_eq!(events(version, Role::Server, PONG_HELLO), [Got::Pong(b"Hello".to_vec())]);
    }
}

#[test]
fn binary_messages_of_256_bytes_and_64_kib_in_a_single_unmasked_frame() {
    let cases: [(&[u8], usize); 2] =
        [(&[0x82, 0x7E, 0x01, 0x00], 256), (&[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0], 65536)];
    for (head, len) in cases {
        let message: Vec<u8> = (0..=255).cycle().take(len).collect();
        let wire = [head, &message].concat();
        for version in HYBI {
            assert_eq!(events(version, Role::Client, &wire), [Got::Binary(message.clone())]);
            let mut sender = Sender::server(version);
            sender.binary(&message, None).unwrap();
            assert_eq!(drain(&mut sender), wire);
        }
    }
}

/// hybi-00 §1.2: "Each frame of data starts with a 0x00 byte and ends with a 0xFF byte, with the
/// UTF-8 text in between", and "a frame consisting of just a 0xFF byte followed by a 0x00 byte"
/// closes. Both directions are the same.
#[test]
fn hybi_00_text_and_closing_frames() {
    let wire = [0x00, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0xFF, 0xFF, 0x00];
    for role in [Role::Server, Role::Client] {
        assert_eq!(events(Version::Hybi00, role, &wire), [text("Hello"), Got::Close(None)]);
    }
    for mut sender in [Sender::server(Version::Hybi00), client(Version::Hybi00)] {
        sender.text("Hello", None).unwrap();
        sender.close_without_code();
        assert_eq!(drain(&mut sender), wire);
    }
}

/// hybi-00 §1.2, the second grammar, "including error-handling and forward-compatible parsing
/// rules":
/// `text-frame = (%x00-7F) *(%x00-FE) %xFF`,
/// `binary-frame = (%x80-FF) length < as many bytes as given by the length >`,
/// `length = *(%x80-FF) (%x00-7F)`.
#[test]
fn hybi_00_unknown_frames_are_skipped() {
    let mut wire = vec![0x42, b'?', 0x00, 0xFF]; // a text-frame of another type
    wire.extend_from_slice(&[0x80, 0x00]); // a binary-frame without data
    wire.extend_from_slice(&[0xFE, 0x03, 0xFF, 0x00, 0xFF]); // with three bytes that are not frames
    wire.extend_from_slice(&[0x90, 0x82, 0x01]); // with 2 * 128 + 1 bytes
    wire.extend_from_slice(&[0x00; 257]);
    wire.extend_from_slice(b"\x00seen\xFF");
    assert_eq!(events(Version::Hybi00, Role::Server, &wire), [text("seen")]);
    assert_eq!(events_by_byte(Version::Hybi00, Role::Server, &wire), [text("seen")]);
}
