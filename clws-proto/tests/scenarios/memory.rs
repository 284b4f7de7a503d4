//! Memory: whole messages are borrowed from the read buffer. An incomplete message has a buffer
//! that follows the received bytes, never the declared length. Nothing is held between messages.
//! The work is linear, however the input is split and the events are pulled.
#![allow(clippy::disallowed_methods, reason = "test code")]

use crate::common::*;
use clws_proto::{Event, Limits, Receiver, Role, Version};

/// An upper bound for a receiver's memory besides payload bytes while a message is incomplete.
const STATE: usize = 256;

#[test]
fn a_whole_message_is_borrowed_from_the_read_buffer() {
    let mut read = [to_server(FIN | TEXT, b"Hello"), to_server(FIN | BINARY, &[1; 200])].concat();
    let input = read.as_ptr_range();
    let mut receiver = server();
    let mut events = receiver.receive(&mut read);
    match events.next().unwrap() {
        Some(Event::Text(text)) => assert!(input.contains(&text.as_ptr())),
        other => panic!("{other:?}"),
    }
    match events.next().unwrap() {
        Some(Event::Binary(bytes)) => assert!(input.contains(&bytes.as_ptr())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_assembled_message_is_kept_without_a_copy() {
    let mut receiver = server();
    assert_eq!(feed(&mut receiver, &to_server(BINARY, &[1; 1000])), []);
    let mut read = to_server(FIN | CONTINUATION, &[2; 700]);
    match receiver.receive(&mut read).next().unwrap() {
        Some(Event::Binary(bytes)) => {
            let address = bytes.as_ptr();
            assert_eq!(bytes.into_bytes().as_ptr(), address);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(feed(&mut receiver, &to_server(TEXT, &[b'1'; 1000])), []);
    let mut read = to_server(FIN | CONTINUATION, &[b'2'; 700]);
    match receiver.receive(&mut read).next().unwrap() {
        Some(Event::Text(text)) => {
            let address = text.as_ptr();
            assert_eq!(text.into_bytes().as_ptr(), address);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn assembled_text_is_kept_as_a_bytestring_without_a_copy() {
    let mut receiver = server();
    assert_eq!(feed(&mut receiver, &to_server(TEXT, &[b'1'; 1000])), []);
    let mut read = to_server(FIN | CONTINUATION, &[b'2'; 700]);
    match receiver.receive(&mut read).next().unwrap() {
        Some(Event::Text(text)) => {
            let lies_at = text.as_ptr();
            let kept = text.into_bytestring();
            assert_eq!((kept.as_ptr(), kept.clone().as_ptr()), (lies_at, lies_at));
            assert_eq!(kept.into_bytes().as_ptr(), lies_at);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_are_text_if_they_are_utf_8() {
    assert_eq!(clws_proto::Text::try_from(&b"text"[..]).unwrap(), "text");
    assert_eq!(clws_proto::Text::try_from(&b"te\xFFt"[..]).unwrap_err().valid_up_to(), 2);
}

#[test]
fn nothing_is_held_between_messages() {
    let messages = [
        to_server(FIN | TEXT, &[b'x'; 300]),
        [to_server(BINARY, &[1; 300]), to_server(FIN | CONTINUATION, &[2; 300])].concat(),
        to_server(FIN | PING, &[b'x'; 125]),
        to_server(FIN | TEXT, b""),
    ];
    let mut receiver = server();
    for message in messages {
        assert_eq!(feed(&mut receiver, &message).len(), 1);
        assert_eq!(receiver.held(), 0, "after one read");
        let (last, before) = message.split_last().unwrap();
        for byte in before {
            assert_eq!(feed(&mut receiver, &[*byte]), []);
            assert!(receiver.held() > 0);
        }
        assert_eq!(feed(&mut receiver, &[*last]).len(), 1);
        assert_eq!(receiver.held(), 0, "after reads of one byte");
    }
    let mut receiver = Receiver::new(Version::Hybi00, Role::Server, Limits::default());
    assert_eq!(feed(&mut receiver, b"\x00Hel"), []);
    assert!(receiver.held() > 0);
    assert_eq!(feed(&mut receiver, b"lo\xFF"), [text("Hello")]);
    assert_eq!(receiver.held(), 0);
}

#[test]
fn a_declared_length_reserves_nothing() {
    let limits = Limits::default().max_frame_size(usize::MAX).max_message_size(usize::MAX);
    for opcode in [TEXT, BINARY] {
        for declared in [1000, 1 << 16, 16 << 20, isize::MAX as u64] {
            let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, limits);
            assert_eq!(feed(&mut receiver, &header(FIN | opcode, declared, Role::Server)), []);
            assert!(receiver.held() < STATE, "{} for a header", receiver.held());
            let mut received = 0;
            for piece in [1, 10, 100, 400, 4] {
                let masked: Vec<u8> = (received..received + piece).map(|i| b'x' ^ KEY[i % 4]).collect();
                assert_eq!(feed(&mut receiver, &masked), []);
                received += piece;
                assert!(receiver.held() <= 2 * received + STATE, "{} for {received}", receiver.held());
            }
        }
    }
}

#[test]
fn a_buffer_never_exceeds_the_message_limit() {
    let limits = Limits::default().max_frame_size(100_000).max_message_size(100_000);
    for version in [Version::Rfc6455, Version::Hybi00, Version::Hixie75] {
        let mut receiver = Receiver::new(version, Role::Server, limits);
        let begin = match version {
            Version::Hixie75 | Version::Hybi00 => vec![0x00],
            _ => header(FIN | TEXT, 100_000, Role::Server),
        };
        assert_eq!(feed(&mut receiver, &begin), []);
        for _ in 0..99 {
            let piece = match version {
                Version::Hixie75 | Version::Hybi00 => vec![b'x'; 1000],
                _ => to_server(0, &[b'x'; 1000]).split_off(8),
            };
            assert_eq!(feed(&mut receiver, &piece), []);
            assert!(receiver.held() <= 100_000 + STATE, "{}", receiver.held());
        }
    }
}

/// A buffer doubles when it grows, however small the pieces. The copies are linear in total.
#[test]
fn growth_is_geometric() {
    let reads: [(Version, Vec<u8>, &[u8]); 3] = [
        (Version::Rfc6455, header(FIN | BINARY, 1 << 20, Role::Server), &[0]),
        (Version::Rfc6455, to_server(TEXT, b""), &to_server(CONTINUATION, b"x")),
        (Version::Hybi00, vec![0x00], b"x"),
    ];
    for (version, begin, piece) in reads {
        let mut receiver = receiver(version, Role::Server);
        assert_eq!(feed(&mut receiver, &begin), []);
        let (mut sizes, mut largest) = (0, 0);
        for _ in 0..100_000 {
            assert_eq!(feed(&mut receiver, piece), []);
            if receiver.held() > largest {
                largest = receiver.held();
                sizes += 1;
            }
        }
        assert!(sizes <= 20, "{sizes} sizes on the way to 100,000 bytes");
    }
}

/// A reader under backpressure may stop at every event. Quadratic work would move over 10 TB here, so
/// that this test would run for more than an hour.
#[test]
fn stopping_at_every_event_is_linear() {
    const MESSAGES: usize = 2_000_000;
    let mut read = to_server(FIN | PING, b"").repeat(MESSAGES);
    let len = read.len();
    let mut receiver = server();
    assert_eq!(pull(&mut receiver.receive(&mut read)), Some(Got::Ping(vec![])));
    let mut found = 1;
    let mut left = receiver.held();
    assert!(left <= len + STATE);
    while receiver.has_unread() {
        assert_eq!(pull(&mut receiver.receive(&mut [])), Some(Got::Ping(vec![])));
        found += 1;
        assert!(receiver.held() <= left, "memory shrinks as events are pulled");
        left = receiver.held();
        let unread = (MESSAGES - found) * 6;
        assert!(left <= 4 * unread + STATE, "{left} held for {unread} unread");
    }
    assert_eq!((found, receiver.held()), (MESSAGES, 0));
}

/// Each read brings two messages and delivers one. Quadratic work would move 3 TB here.
#[test]
fn falling_behind_is_linear() {
    const READS: usize = 1_000_000;
    let two = to_server(FIN | PING, b"").repeat(2);
    let mut receiver = server();
    for _ in 0..READS {
        assert_eq!(pull(&mut receiver.receive(&mut two.clone())), Some(Got::Ping(vec![])));
    }
    assert!(receiver.held() <= 4 * 6 * READS + STATE);
    assert_eq!(feed(&mut receiver, &[]).len(), READS);
    assert_eq!(receiver.held(), 0);
}

#[test]
fn unread_input_is_freed_when_the_connection_fails() {
    let mut read = [to_server(FIN | TEXT, b"one"), to_server(0x40, b"bad"), vec![0; 1000]].concat();
    let mut receiver = server();
    assert_eq!(pull(&mut receiver.receive(&mut read)), Some(text("one")));
    assert!(receiver.has_unread() && receiver.held() > 1000);
    assert_eq!(feed(&mut receiver, &[]).len(), 1);
    assert!(receiver.is_finished() && !receiver.has_unread());
    assert_eq!(receiver.held(), 0);
}
