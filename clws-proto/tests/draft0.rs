//! Draft 0 (hixie-76, hybi-00): text between 0x00 and 0xFF, 0xFF 0x00 to close, and whatever else comes read past.
#![allow(clippy::unwrap_used, reason = "test code")]

mod common;
use clws_proto::{
    CloseCode, Limits, ProtocolError, Receiver, Role, SendError, Sender, SharedMessage, Version,
};
use common::*;

/// What comes of these octets in either role, whole and octet by octet.
fn found(octets: &[u8]) -> Vec<Got> {
    found_with(Limits::default(), octets)
}

fn found_with(limits: Limits, octets: &[u8]) -> Vec<Got> {
    let whole = feed(&mut Receiver::new(Version::Hybi00, Role::Server, limits), octets);
    for role in [Role::Server, Role::Client] {
        let mut receiver = Receiver::new(Version::Hybi00, role, limits);
        let pieces: Vec<Got> = octets.iter().flat_map(|octet| feed(&mut receiver, &[*octet])).collect();
        assert_eq!(pieces, whole);
    }
    // hixie-75 differs in the closing frame alone.
    if !whole.contains(&Got::Close(None)) {
        assert_eq!(feed(&mut Receiver::new(Version::Hixie75, Role::Server, limits), octets), whole);
    }
    whole
}

#[test]
fn text_frames_one_behind_the_other() {
    assert_eq!(found(b"\x00Hello\xFF\x00\xFF\x00\xe6\xb0\xb4\xFF"), [text("Hello"), text(""), text("水")]);
}

#[test]
fn the_terminator_may_come_apart_from_the_rest() {
    let mut receiver = receiver(Version::Hybi00, Role::Server);
    assert_eq!(feed(&mut receiver, b"\x00Hello"), []);
    assert_eq!(feed(&mut receiver, b""), []);
    assert_eq!(feed(&mut receiver, b"\xFF"), [text("Hello")]);
    assert_eq!(feed(&mut receiver, b"\x00"), []);
    assert_eq!(feed(&mut receiver, b"\xFF\x00again"), [text("")]);
    assert_eq!(feed(&mut receiver, b"\xFF"), [text("again")]);
}

#[test]
fn octets_that_begin_frames_are_text_inside_one() {
    assert_eq!(found(b"\x00a\x00b\x7Fc\xFF"), [text("a\0b\x7Fc")]);
}

#[test]
fn the_closing_frame_ends_it() {
    assert_eq!(found(b"\x00last\xFF\xFF\x00\x00late\xFF"), [text("last"), Got::Close(None)]);
    let mut receiver = receiver(Version::Hybi00, Role::Server);
    assert_eq!(feed(&mut receiver, b"\xFF"), []);
    assert!(!receiver.is_finished(), "0xFF alone is only the frame's type");
    assert_eq!(feed(&mut receiver, b"\x00"), [Got::Close(None)]);
    assert!(receiver.is_finished());
    assert_eq!(feed(&mut receiver, b"\x00late\xFF"), []);
}

#[test]
fn a_close_is_answered_with_a_close_and_only_once() {
    let mut sender = Sender::server(Version::Hybi00);
    sender.answer_close(None);
    sender.answer_close(None);
    assert_eq!(sender.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
    assert_eq!(drain(&mut sender), b"\xFF\x00");
}

/// Callers need not know the version: any code that RFC 6455 may send closes a draft-0 client, without the code.
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
        let mut octets = vec![frame_type, 0x05];
        octets.extend_from_slice(b"\x00no\xFF!");
        octets.extend_from_slice(b"\x00yes\xFF");
        assert_eq!(found(&octets), [text("yes")], "{frame_type:#x}");
    }
    // Without data: any of them but 0xFF, which closes.
    for frame_type in 0x80..0xFF {
        assert_eq!(found(&[frame_type, 0x00, 0x00, b'x', 0xFF]), [text("x")]);
    }
}

#[test]
fn lengths_are_in_base_128() {
    for (digits, len) in [(&[0x7F][..], 127), (&[0x81, 0x00], 128), (&[0x81, 0x80, 0x01], 128 * 128 + 1)] {
        let octets = [&[0x80][..], digits, &vec![0xFF; len], b"\x00seen\xFF"].concat();
        assert_eq!(found(&octets), [text("seen")]);
    }
    // Leading zeros change nothing: this one closes, that one has a length of 1.
    assert_eq!(found(&[0xFF, 0x80, 0x80, 0x00]), [Got::Close(None)]);
    assert_eq!(found(&[0xFF, 0x80, 0x01, 0x00, 0x00, b'x', 0xFF]), [text("x")]);
}

/// hybi-00 §5.3 warns of "frames with lengths greater than 2**(31) or 2**(32) bytes, overflowing a signed or unsigned
/// 32bit integer"; nor does an integer of 64 bits overflow here.
#[test]
fn a_length_cannot_overflow() {
    let refused = [Got::Failed(ProtocolError::DiscardTooBig { limit: 16 << 20 })];
    for digits in 4..=30 {
        let octets = [&[0x80][..], &vec![0xFF; digits], &[0x7F]].concat();
        assert_eq!(found(&octets), refused, "{digits} digits");
    }
    // 2^64, which would be 0 if it wrapped around, and with 0xFF a close frame.
    let octets = [0xFF, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
    assert_eq!(found(&octets), refused);
    // 2^32 as well, also where no limit is set: it is a long wait, not a close frame.
    let none = Limits::default().max_frame_size(usize::MAX).max_message_size(usize::MAX);
    if usize::BITS >= 64 {
        assert_eq!(found_with(none, &[0xFF, 0x90, 0x80, 0x80, 0x80, 0x00, 0x00, b'x', 0xFF]), []);
        let longest = isize::MAX.unsigned_abs();
        assert_eq!(found_with(none, &octets), [Got::Failed(ProtocolError::DiscardTooBig { limit: longest })]);
    }
}

#[test]
fn other_types_up_to_0xff_are_discarded() {
    for frame_type in 0x01..=0x7F {
        let octets = [&[frame_type][..], b"no\x00no\xFF\x00yes\xFF"].concat();
        assert_eq!(found(&octets), [text("yes")], "{frame_type:#x}");
    }
}

#[test]
fn limits_hold_for_text_and_for_what_is_discarded() {
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
    // The smaller limit holds, for a frame is a message.
    let limits = Limits::default().max_frame_size(3);
    assert_eq!(found_with(limits, b"\x00abc\xFF"), [text("abc")]);
    assert_eq!(found_with(limits, b"\x00abcd\xFF"), [Got::Failed(ProtocolError::MessageTooBig { limit: 3 })]);
    // What never ends is refused before its end comes, and not held.
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
fn there_is_no_binary_and_no_ping() {
    for mut sender in [Sender::server(Version::Hybi00), client(Version::Hybi00)] {
        assert_eq!(sender.binary(b"x", None), Err(SendError::Unsupported));
        assert_eq!(sender.binary_owned(vec![0; 100_000]), Err(SendError::Unsupported));
        assert_eq!(sender.shared(&SharedMessage::binary(vec![0; 5000])), Err(SendError::Unsupported));
        assert_eq!(sender.ping(b""), Err(SendError::Unsupported));
        assert_eq!(sender.pong(b""), Err(SendError::Unsupported));
        sender.answer_ping(b"");
        assert_eq!(sender.queued(), 0);
        sender.text("only text", None).unwrap();
        assert_eq!(drain(&mut sender), b"\x00only text\xFF");
    }
}

#[test]
fn a_client_asks_for_no_masking_key() {
    let mut sender = Sender::client(Version::Hybi00, || unreachable!("draft 0 does not mask"));
    assert_eq!(sender.role(), Role::Client);
    sender.text("plain", None).unwrap();
    sender.close_without_code();
    assert_eq!(drain(&mut sender), b"\x00plain\xFF\xFF\x00");
}
