//! Draft 0 (hixie-76, hybi-00): text between 0x00 and 0xFF, and 0xFF 0x00 to close. Other frames
//! are skipped.

use crate::common::*;
use clws_proto::{CloseCode, Limits, ProtocolError, Receiver, Role, SendError, Sender, Version};

/// The events in these bytes, which must agree for both roles, in one read and byte by byte.
fn found(bytes: &[u8]) -> Vec<Got> {
    found_with(Limits::default(), bytes)
}

fn found_with(limits: Limits, bytes: &[u8]) -> Vec<Got> {
    let whole = feed(&mut Receiver::new(Version::Hybi00, Role::Server, limits), bytes);
    for role in [Role::Server, Role::Client] {
        let mut receiver = Receiver::new(Version::Hybi00, role, limits);
        let pieces: Vec<Got> = bytes.iter().flat_map(|byte| feed(&mut receiver, &[*byte])).collect();
        assert_eq!(pieces, whole);
    }
    // hixie-75 differs in the closing frame only.
    if !whole.contains(&Got::Close(None)) {
        assert_eq!(feed(&mut Receiver::new(Version::Hixie75, Role::Server, limits), bytes), whole);
    }
    whole
}

#[test]
fn consecutive_text_frames_are_received() {
    assert_eq!(found(b"\x00Hello\xFF\x00\xFF\x00\xe6\xb0\xb4\xFF"), [text("Hello"), text(""), text("水")]);
}

#[test]
fn the_terminator_may_come_in_a_later_read() {
    let mut receiver = receiver(Version::Hybi00, Role::Server);
    assert_eq!(feed(&mut receiver, b"\x00Hello"), []);
    assert_eq!(feed(&mut receiver, b""), []);
    assert_eq!(feed(&mut receiver, b"\xFF"), [text("Hello")]);
    assert_eq!(feed(&mut receiver, b"\x00"), []);
    assert_eq!(feed(&mut receiver, b"\xFF\x00again"), [text("")]);
    assert_eq!(feed(&mut receiver, b"\xFF"), [text("again")]);
}

#[test]
fn frame_type_bytes_inside_a_frame_are_text() {
    assert_eq!(found(b"\x00a\x00b\x7Fc\xFF"), [text("a\0b\x7Fc")]);
}

#[test]
fn a_closing_frame_ends_the_connection() {
    assert_eq!(found(b"\x00last\xFF\xFF\x00\x00late\xFF"), [text("last"), Got::Close(None)]);
    let mut receiver = receiver(Version::Hybi00, Role::Server);
    assert_eq!(feed(&mut receiver, b"\xFF"), []);
    assert!(!receiver.is_finished(), "0xFF alone is only the frame's type");
    assert_eq!(feed(&mut receiver, b"\x00"), [Got::Close(None)]);
    assert!(receiver.is_finished());
    assert_eq!(feed(&mut receiver, b"\x00late\xFF"), []);
}

#[test]
fn a_close_is_answered_once() {
    let mut sender = Sender::server(Version::Hybi00);
    sender.answer_close(None);
    sender.answer_close(None);
    assert_eq!(sender.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
    assert_eq!(drain(&mut sender), b"\xFF\x00");
}

/// Callers need not know the version: any code that RFC 6455 may send is accepted.
#[test]
fn codes_and_reasons_are_left_out() {
    for code in [1000, 1001, 1002, 1003, 1004, 1007, 1009, 1011, 3000, 4999] {
        let mut sender = Sender::server(Version::Hybi00);
        sender.close(CloseCode::new(code), "a reason").unwrap();
        assert_eq!(drain(&mut sender), b"\xFF\x00");
    }
    let mut sender = Sender::server(Version::Hybi00);
    assert_eq!(sender.close(CloseCode::ABNORMAL, ""), Err(SendError::InvalidCloseCode(1006)));
    assert_eq!((sender.queued(), sender.close_sent()), (0, false));
    sender.text("still open", None).unwrap();
    sender.close(CloseCode::NORMAL, &"x".repeat(124)).unwrap();
    assert_eq!(drain(&mut sender), b"\x00still open\xFF\xFF\x00");
}

#[test]
fn frames_with_a_length_are_discarded() {
    for frame_type in 0x80..=0xFF {
        let mut bytes = vec![frame_type, 0x05];
        bytes.extend_from_slice(b"\x00no\xFF!");
        bytes.extend_from_slice(b"\x00yes\xFF");
        assert_eq!(found(&bytes), [text("yes")], "{frame_type:#x}");
    }
    // Without data: every type except 0xFF, which closes.
    for frame_type in 0x80..0xFF {
        assert_eq!(found(&[frame_type, 0x00, 0x00, b'x', 0xFF]), [text("x")]);
    }
}

#[test]
fn lengths_are_in_base_128() {
    for (digits, len) in [(&[0x7F][..], 127), (&[0x81, 0x00], 128), (&[0x81, 0x80, 0x01], 128 * 128 + 1)] {
        let bytes = [&[0x80][..], digits, &vec![0xFF; len], b"\x00seen\xFF"].concat();
        assert_eq!(found(&bytes), [text("seen")]);
    }
    // Leading zeros have no effect: the first frame closes, the second has a length of 1.
    assert_eq!(found(&[0xFF, 0x80, 0x80, 0x00]), [Got::Close(None)]);
    assert_eq!(found(&[0xFF, 0x80, 0x01, 0x00, 0x00, b'x', 0xFF]), [text("x")]);
}

/// hybi-00 §5.3 warns of "frames with lengths greater than 2**(31) or 2**(32) bytes, overflowing a
/// signed or unsigned 32bit integer". A 64-bit integer must not overflow either.
#[test]
fn a_length_cannot_overflow() {
    let refused = [Got::Failed(ProtocolError::DiscardTooBig { limit: 16 << 20 })];
    for digits in 4..=30 {
        let bytes = [&[0x80][..], &vec![0xFF; digits], &[0x7F]].concat();
        assert_eq!(found(&bytes), refused, "{digits} digits");
    }
    // 2^64 would wrap around to 0, and 0xFF with length 0 is a close frame.
    let bytes = [0xFF, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
    assert_eq!(found(&bytes), refused);
    // Without a limit, 2^32 is a long frame and not a close frame.
    let none = Limits::default().max_frame_size(usize::MAX).max_message_size(usize::MAX);
    if usize::BITS >= 64 {
        assert_eq!(found_with(none, &[0xFF, 0x90, 0x80, 0x80, 0x80, 0x00, 0x00, b'x', 0xFF]), []);
        let longest = isize::MAX.unsigned_abs();
        assert_eq!(found_with(none, &bytes), [Got::Failed(ProtocolError::DiscardTooBig { limit: longest })]);
    }
}

#[test]
fn frames_of_other_types_are_discarded_up_to_0xff() {
    for frame_type in 0x01..=0x7F {
        let bytes = [&[frame_type][..], b"no\x00no\xFF\x00yes\xFF"].concat();
        assert_eq!(found(&bytes), [text("yes")], "{frame_type:#x}");
    }
}

#[test]
fn limits_apply_to_text_and_to_discarded_frames() {
    let limits = Limits::default().max_message_size(10);
    let boundary = [&b"\x0001234"[..], b"56789\xFF"].concat();
    assert_eq!(found_with(limits, &boundary), [text("0123456789")]);
    assert_eq!(
        found_with(limits, b"\x000123456789X\xFF"),
        [Got::Failed(ProtocolError::MessageTooBig { limit: 10 })]
    );
    assert_eq!(found_with(limits, b"\x010123456789\xFF\x00x\xFF"), [text("x")]);
    assert_eq!(
        found_with(limits, b"\x010123456789X\xFF"),
        [Got::Failed(ProtocolError::DiscardTooBig { limit: 10 })]
    );
    assert_eq!(found_with(limits, b"\x80\x0A0123456789\x00x\xFF"), [text("x")]);
    assert_eq!(found_with(limits, b"\x80\x0B"), [Got::Failed(ProtocolError::DiscardTooBig { limit: 10 })]);
    // The smaller limit applies, because each frame is a message.
    let limits = Limits::default().max_frame_size(3);
    assert_eq!(found_with(limits, b"\x00abc\xFF"), [text("abc")]);
    assert_eq!(found_with(limits, b"\x00abcd\xFF"), [Got::Failed(ProtocolError::MessageTooBig { limit: 3 })]);
    // An endless frame is refused before its end, and nothing of it is held.
    let mut receiver = Receiver::new(Version::Hybi00, Role::Server, limits);
    assert_eq!(feed(&mut receiver, b"\x00abcd").len(), 1);
    assert!(receiver.is_finished());
    assert_eq!(receiver.held(), 0);
}

#[test]
fn text_that_is_not_utf8_gets_replacement_characters() {
    assert_eq!(found(b"\x00a\xc3(b\xFE\xFF"), [text("a\u{FFFD}(b\u{FFFD}")]);
    assert_eq!(found(b"\x00\xe6\xb0\xFF\x00\xb4\xFF"), [text("\u{FFFD}"), text("\u{FFFD}")]);
}

#[test]
fn only_text_can_be_sent() {
    for mut sender in [Sender::server(Version::Hybi00), client(Version::Hybi00)] {
        assert_only_text(&mut sender);
        sender.text("only text", None).unwrap();
        assert_eq!(drain(&mut sender), b"\x00only text\xFF");
    }
}

#[test]
fn a_client_does_not_mask() {
    let mut sender = Sender::client(Version::Hybi00, || unreachable!("draft 0 does not mask"));
    assert_eq!(sender.role(), Role::Client);
    sender.text("plain", None).unwrap();
    sender.close_without_code();
    assert_eq!(drain(&mut sender), b"\x00plain\xFF\xFF\x00");
}
