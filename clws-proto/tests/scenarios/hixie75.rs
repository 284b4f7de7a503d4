//! hixie-75: the frames of draft 0 without a closing frame, and streams that end between messages.

use crate::common::*;
use clws_proto::{
    CloseCode, CloseFrame, Limits, ProtocolError, Receiver, Role, SendError, Sender, SharedMessage, Version,
};

/// The events in these bytes, which must agree for both roles, in one read and byte by byte.
fn found(bytes: &[u8]) -> Vec<Got> {
    let whole = events(Version::Hixie75, Role::Server, bytes);
    for role in [Role::Server, Role::Client] {
        assert_eq!(events_by_byte(Version::Hixie75, role, bytes), whole);
    }
    whole
}

#[test]
fn text_frames_are_received() {
    assert_eq!(found(b"\x00Hello\xFF\x00\xFF\x00\xe6\xb0\xb4\xFF"), [text("Hello"), text(""), text("水")]);
    assert_eq!(found(b"\x00a\xc3(b\xFE\xFF"), [text("a\u{FFFD}(b\u{FFFD}")]);
}

#[test]
fn ff_00_is_discarded() {
    for zero in [&b"\xFF\x00"[..], b"\xFF\x80\x00", b"\xFF\x80\x80\x00", b"\x80\x00"] {
        let bytes = [b"\x00before\xFF", zero, b"\x00after\xFF"].concat();
        assert_eq!(found(&bytes), [text("before"), text("after")], "{zero:x?}");
    }
    let mut receiver = receiver(Version::Hixie75, Role::Server);
    assert_eq!(feed(&mut receiver, b"\xFF\x00"), []);
    assert!(!receiver.is_finished() && receiver.is_between_messages());
}

#[test]
fn an_unread_ff_00_is_not_a_close_frame() {
    for (version, closes) in [(Version::Hybi00, true), (Version::Hixie75, false)] {
        let mut receiver = receiver(version, Role::Server);
        drop(receiver.receive(&mut b"\xFF\x00".to_owned()));
        assert_eq!((receiver.has_unread(), receiver.is_close_next()), (true, closes), "{version}");
    }
}

#[test]
fn limits_apply_to_discarded_frames() {
    let limits = Limits::default().max_frame_size(10);
    let receive = |bytes: &[u8]| feed(&mut Receiver::new(Version::Hixie75, Role::Server, limits), bytes);
    let too_big = [Got::Failed(ProtocolError::DiscardTooBig { limit: 10 })];
    assert_eq!(receive(b"\xFF\x0A0123456789\x00x\xFF"), [text("x")]);
    assert_eq!(receive(b"\xFF\x0B"), too_big);
    assert_eq!(receive(b"\x010123456789X"), too_big);
    // 2^64, which must not wrap around to 0.
    assert_eq!(receive(b"\xFF\x82\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), too_big);
    assert_eq!(receive(b"\x000123456789X"), [Got::Failed(ProtocolError::MessageTooBig { limit: 10 })]);
}

/// A stream in any version is cut at every byte.
#[test]
fn is_between_messages_is_true_only_after_whole_messages() {
    for version in Version::ALL {
        let mut ends = vec![0];
        let mut wire = Vec::new();
        if version.is_hixie() {
            let close: &[u8] = if version.has_close_frame() { b"\x80\x00" } else { b"\xFF\x00" };
            for frame in
                [&b"\x00Hello\xFF"[..], b"\x00\xFF", b"\x01skipped\xFF", b"\x80\x03abc", close, b"\x00x\xFF"]
            {
                wire.extend_from_slice(frame);
                ends.push(wire.len());
            }
        } else {
            for message in [
                to_server(FIN | TEXT, b"Hello"),
                [to_server(TEXT, b"a"), to_server(FIN | PING, b"?"), to_server(FIN | CONTINUATION, b"b")]
                    .concat(),
                to_server(FIN | BINARY, &[7; 300]),
                to_server(FIN | PONG, b""),
            ] {
                wire.extend_from_slice(&message);
                ends.push(wire.len());
            }
        }
        for at_once in [true, false] {
            for end in 0..=wire.len() {
                let mut receiver = receiver(version, Role::Server);
                if at_once {
                    feed(&mut receiver, &wire[..end]);
                } else {
                    wire[..end].iter().for_each(|byte| drop(feed(&mut receiver, &[*byte])));
                }
                assert_eq!(receiver.is_between_messages(), ends.contains(&end), "{version} {end} {at_once}");
            }
        }
        // Unread input would be lost.
        let mut receiver = receiver(version, Role::Server);
        drop(receiver.receive(&mut wire));
        assert!(!receiver.is_between_messages());
        receiver.discard();
        assert!(receiver.is_finished() && receiver.is_between_messages());
    }
}

#[test]
fn a_close_sends_no_bytes_and_nothing_follows() {
    let closes: [fn(&mut Sender); 4] = [
        |sender| sender.close(CloseCode::NORMAL, "left out").unwrap(),
        Sender::close_without_code,
        |sender| sender.answer_close(None),
        |sender| sender.answer_close(Some(&CloseFrame { code: CloseCode::ABNORMAL, reason: "" })),
    ];
    for close in closes {
        for mut sender in [Sender::server(Version::Hixie75), client(Version::Hixie75)] {
            sender.text("last", None).unwrap();
            close(&mut sender);
            assert!(sender.close_sent());
            assert_eq!(sender.text("x", None), Err(SendError::Closed));
            assert_eq!(sender.shared(&SharedMessage::text("x")), Err(SendError::Closed));
            assert_eq!(sender.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
            sender.answer_close(None);
            assert_eq!(drain(&mut sender), b"\x00last\xFF");
        }
    }
}

/// A code that no version may send is refused, although hixie-75 sends no codes.
#[test]
fn an_invalid_close_code_is_refused() {
    let mut sender = Sender::server(Version::Hixie75);
    assert_eq!(sender.close(CloseCode::ABNORMAL, ""), Err(SendError::InvalidCloseCode(1006)));
    assert_eq!((sender.queued(), sender.close_sent()), (0, false));
    for code in [1000, 1001, 1003, 1004, 1007, 1009, 1011, 3000, 4999] {
        let mut sender = Sender::server(Version::Hixie75);
        assert_eq!(sender.close(CloseCode::new(code), "a reason"), Ok(()));
        assert_eq!((sender.queued(), sender.close_sent()), (0, true));
    }
}

#[test]
fn only_text_without_fragments_can_be_sent() {
    for mut sender in [Sender::server(Version::Hixie75), client(Version::Hixie75)] {
        assert_only_text(&mut sender);
        sender.text("only text", std::num::NonZeroUsize::new(2)).unwrap();
        sender.text_owned("x".repeat(3)).unwrap();
        assert_eq!(drain(&mut sender), b"\x00only text\xFF\x00xxx\xFF");
    }
}
