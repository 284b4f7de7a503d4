//! The closing handshake: close bodies of each version, silence after a close frame, the answer.

use crate::common::*;
use clws_proto::{CloseCode, CloseFrame, ProtocolError, Role, SendError, Sender, SharedMessage, Version};

fn close_body(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

fn closes(version: Version, body: &[u8]) -> Vec<Got> {
    let bytes = to_server(FIN | CLOSE, body);
    let whole = events(version, Role::Server, &bytes);
    assert_eq!(events_by_byte(version, Role::Server, &bytes), whole);
    whole
}

#[test]
fn each_version_accepts_its_own_close_codes() {
    for version in HYBI {
        for code in (0..=1100).chain([1999, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535]) {
            let allowed = match version {
                Version::Hixie75 | Version::Hybi00 => false,
                Version::Hybi07 => matches!(code, 1000..=1004 | 3000..=4999),
                Version::Hybi08 => matches!(code, 1000..=1004 | 1007..=1011 | 3000..=4999),
                Version::Rfc6455 => matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999),
            };
            let expected = if allowed {
                Got::Close(Some((code, String::new())))
            } else {
                Got::Failed(ProtocolError::InvalidCloseCode(code))
            };
            assert_eq!(closes(version, &close_body(code, b"")), [expected], "{code} in {version}");
        }
    }
}

#[test]
fn a_close_body_is_empty_or_has_a_code() {
    for version in HYBI {
        assert_eq!(closes(version, b""), [Got::Close(None)]);
        assert_eq!(closes(version, b"\x03"), [Got::Failed(ProtocolError::CloseBodyTooShort)]);
        assert_eq!(closes(version, b"\x03\xe8"), [Got::Close(Some((1000, String::new())))]);
    }
}

#[test]
fn a_reason_is_utf8_of_at_most_123_bytes() {
    let reason = "ü".repeat(61) + "!";
    for version in HYBI {
        assert_eq!(
            closes(version, &close_body(1000, reason.as_bytes())),
            [Got::Close(Some((1000, reason.clone())))]
        );
        for bad in [&b"\xff"[..], b"ok\xc3", b"\xed\xa0\x80"] {
            assert_eq!(
                closes(version, &close_body(1000, bad)),
                [Got::Failed(ProtocolError::InvalidCloseReason)]
            );
        }
    }
}

#[test]
fn input_after_a_close_frame_is_discarded() {
    for version in HYBI {
        let mut receiver = receiver(version, Role::Server);
        let bytes = [
            to_server(TEXT, b"never finis"),
            to_server(FIN | CLOSE, &close_body(1001, b"bye")),
            to_server(FIN | CONTINUATION, b"hed"),
            to_server(FIN | PING, b"?"),
            vec![0xFF; 100],
        ]
        .concat();
        assert_eq!(feed(&mut receiver, &bytes), [Got::Close(Some((1001, "bye".into())))]);
        assert!(receiver.is_finished());
        assert_eq!(receiver.held(), 0, "neither the message nor later input is kept");
        assert_eq!(feed(&mut receiver, &to_server(FIN | TEXT, b"late")), []);
        assert!(!receiver.has_unread());
    }
}

#[test]
fn nothing_is_sent_after_a_close_frame() {
    for mut sender in HYBI.map(Sender::server).into_iter().chain([Sender::server(Version::Hybi00)]) {
        let hixie = sender.version().is_hixie();
        sender.text("last", None).unwrap();
        sender.close(CloseCode::NORMAL, "done").unwrap();
        assert!(sender.close_sent());
        let before = peek(&sender);

        assert_eq!(sender.text("x", None), Err(SendError::Closed));
        assert_eq!(sender.text_owned("x".repeat(100_000)), Err(SendError::Closed));
        assert_eq!(sender.binary(b"x", None), Err(SendError::Closed));
        assert_eq!(sender.binary_owned(vec![0; 100_000]), Err(SendError::Closed));
        assert_eq!(sender.ping(b""), Err(SendError::Closed));
        assert_eq!(sender.pong(b""), Err(SendError::Closed));
        assert_eq!(sender.shared(&SharedMessage::text("x")), Err(SendError::Closed));
        assert_eq!(sender.shared(&SharedMessage::binary(vec![0; 5000])), Err(SendError::Closed));
        assert_eq!(sender.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
        sender.answer_ping(b"?");
        sender.answer_close(None);
        sender.close_without_code();

        assert_eq!(peek(&sender), before);
        let expected: &[u8] =
            if hixie { b"\x00last\xFF\xFF\x00" } else { b"\x81\x04last\x88\x06\x03\xe8done" };
        assert_eq!(drain(&mut sender), expected);
        assert_eq!(sender.queued(), 0);
    }
}

#[test]
fn an_answer_echoes_the_code_once() {
    for version in HYBI {
        let mut sender = Sender::server(version);
        let frame = CloseFrame { code: CloseCode::GOING_AWAY, reason: "not echoed" };
        sender.answer_close(Some(&frame));
        sender.answer_close(Some(&frame));
        assert_eq!(drain(&mut sender), b"\x88\x02\x03\xe9");

        let mut sender = Sender::server(version);
        sender.answer_close(None);
        assert_eq!(drain(&mut sender), b"\x88\x00");
    }
    let mut sender = Sender::server(Version::Hybi00);
    sender.answer_close(None);
    assert_eq!(drain(&mut sender), b"\xFF\x00");
}

/// RFC 6455 §5.5.1: "the endpoint MUST send a Close frame in response".
#[test]
fn a_close_frame_is_answered_even_if_its_code_cannot_be_echoed() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.answer_close(Some(&CloseFrame { code: CloseCode::ABNORMAL, reason: "" }));
    assert_eq!(drain(&mut sender), b"\x88\x00");
    assert!(sender.close_sent());
}

/// RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less".
#[test]
fn a_long_reason_is_cut_at_a_character_boundary() {
    for version in HYBI {
        for role in [Role::Server, Role::Client] {
            let euros = "\u{20ac}".repeat(42); // 126 bytes
            let faces = format!("-{}", "\u{1f600}".repeat(1000));
            for (reason, len) in [("x".repeat(123), 123), ("x".repeat(124), 123), (euros, 123), (faces, 121)]
            {
                let mut sender = if role == Role::Server { Sender::server(version) } else { client(version) };
                assert_eq!(sender.close(CloseCode::NORMAL, &reason), Ok(()));
                assert!(sender.close_sent());
                let other = if role == Role::Server { Role::Client } else { Role::Server };
                let expected = Got::Close(Some((1000, reason[..len].to_owned())));
                assert_eq!(events(version, other, &drain(&mut sender)), [expected], "{version}");
            }
        }
    }
}

#[test]
fn a_code_that_a_version_lacks_is_replaced_by_the_nearest() {
    let sent = |version, code: u16| {
        let mut sender = Sender::server(version);
        sender.close(CloseCode::new(code), "").map(|()| {
            let bytes = drain(&mut sender);
            u16::from_be_bytes([bytes[2], bytes[3]])
        })
    };
    assert_eq!(sent(Version::Rfc6455, 1009), Ok(1009));
    assert_eq!(sent(Version::Hybi08, 1009), Ok(1009));
    assert_eq!(sent(Version::Hybi07, 1009), Ok(1004));
    assert_eq!(sent(Version::Hybi07, 1011), Ok(1001));
    assert_eq!(sent(Version::Rfc6455, 1004), Ok(1009));
    assert_eq!(sent(Version::Hybi07, 4321), Ok(4321));
    for version in HYBI {
        for code in [0, 999, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert_eq!(sent(version, code), Err(SendError::InvalidCloseCode(code)), "{code} in {version}");
        }
    }
}
