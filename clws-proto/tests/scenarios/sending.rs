//! A sender's bytes on the wire: the layout of fragments, shared messages encoded once, large
//! messages not copied. A refused message leaves the queue unchanged.

use std::io::IoSlice;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::common::*;
use clws_proto::{CloseCode, Role, SendError, Sender, SharedMessage, Version};

/// The first byte and the payload of each frame of a server.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [first, len @ 0..=125, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(usize::from(*len));
        found.push((*first, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty());
    found
}

#[test]
fn fragments_have_at_most_frame_size_bytes() {
    let sent = |message: &str, size: usize| {
        let mut sender = Sender::server(Version::Rfc6455);
        sender.text(message, NonZeroUsize::new(size)).unwrap();
        frames(&drain(&mut sender))
    };
    assert_eq!(
        sent("abcdefgh", 3),
        [(TEXT, b"abc".to_vec()), (CONTINUATION, b"def".to_vec()), (FIN | CONTINUATION, b"gh".to_vec())]
    );
    // A multiple of the frame size needs no empty frame at the end.
    assert_eq!(sent("abcdef", 3), [(TEXT, b"abc".to_vec()), (FIN | CONTINUATION, b"def".to_vec())]);
    assert_eq!(sent("abc", 3), [(FIN | TEXT, b"abc".to_vec())]);
    assert_eq!(sent("ab", 3), [(FIN | TEXT, b"ab".to_vec())]);
    // Bytes are counted, not characters, so a character may be split.
    assert_eq!(sent("éé", 3), [(TEXT, b"\xc3\xa9\xc3".to_vec()), (FIN | CONTINUATION, b"\xa9".to_vec())]);
    assert_eq!(sent("abc", 1).len(), 3);
    assert_eq!(sent("abc", usize::MAX), [(FIN | TEXT, b"abc".to_vec())]);
}

#[test]
fn an_empty_message_is_one_empty_frame() {
    for frame_size in [None, NonZeroUsize::new(1), NonZeroUsize::new(1000)] {
        let mut sender = Sender::server(Version::Rfc6455);
        sender.text("", frame_size).unwrap();
        sender.binary(b"", frame_size).unwrap();
        sender.shared(&SharedMessage::text("").frame_size(frame_size)).unwrap();
        assert_eq!(drain(&mut sender), [0x81, 0x00, 0x82, 0x00, 0x81, 0x00]);
    }
    let mut sender = Sender::server(Version::Hybi00);
    sender.text("", NonZeroUsize::new(1)).unwrap();
    assert_eq!(drain(&mut sender), [0x00, 0xFF]);
}

#[test]
fn draft_0_ignores_frame_size() {
    let mut sender = Sender::server(Version::Hybi00);
    sender.text("Hello", NonZeroUsize::new(2)).unwrap();
    sender.shared(&SharedMessage::text("Hello").frame_size(NonZeroUsize::new(2))).unwrap();
    assert_eq!(drain(&mut sender), b"\x00Hello\xFF\x00Hello\xFF");
}

#[test]
fn a_client_masks_every_fragment_with_a_fresh_key() {
    let mut keys = [[1, 2, 3, 4], [0; 4], [9, 9, 9, 9]].into_iter();
    let mut sender = Sender::client(Version::Rfc6455, move || keys.next().unwrap());
    sender.text("abcdef", NonZeroUsize::new(4)).unwrap();
    sender.ping(b"\x09").unwrap();
    let mut expected = vec![0x01, 0x84, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3, b'd' ^ 4];
    expected.extend_from_slice(&[0x80, 0x82, 0, 0, 0, 0, b'e', b'f']);
    expected.extend_from_slice(&[0x89, 0x81, 9, 9, 9, 9, 0]);
    assert_eq!(drain(&mut sender), expected);
}

#[test]
fn a_shared_message_is_encoded_once_per_framing() {
    for frame_size in [None, NonZeroUsize::new(100)] {
        for len in [0, 10, 1000, 1024, 1025, 100_000] {
            let message = SharedMessage::text("m".repeat(len)).frame_size(frame_size);
            assert_eq!((message.encodings(), message.len(), message.is_empty()), (0, len, len == 0));
            for _ in 0..50 {
                for version in HYBI {
                    Sender::server(version).shared(&message).unwrap();
                }
            }
            assert_eq!(message.encodings(), 1, "drafts 7, 8 and 13 share one encoding");
            for _ in 0..50 {
                Sender::server(Version::Hybi00).shared(&message).unwrap();
                Sender::server(Version::Hixie75).shared(&message).unwrap();
            }
            assert_eq!(message.encodings(), 2, "draft 0 and hixie-75 share another");

            let mut shared = Sender::server(Version::Rfc6455);
            shared.shared(&message).unwrap();
            let mut single = Sender::server(Version::Rfc6455);
            single.text(&"m".repeat(len), frame_size).unwrap();
            assert_eq!(drain(&mut shared), drain(&mut single), "the same bytes as an unshared message");
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the crate has no threads, its users do")]
fn threads_share_one_encoding() {
    let message = Arc::new(SharedMessage::binary(vec![7; 100_000]));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let message = Arc::clone(&message);
            std::thread::spawn(move || {
                let mut sender = Sender::server(Version::Rfc6455);
                sender.shared(&message).unwrap();
                drain(&mut sender).len()
            })
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 100_010));
    assert_eq!(message.encodings(), 1);
}

/// In CLWS, one draft-0 client made a binary broadcast fail for all clients.
#[test]
fn a_draft_0_client_does_not_affect_a_binary_broadcast() {
    for len in [10, 100_000] {
        let message = SharedMessage::binary(vec![7; len]);
        let versions = [Version::Rfc6455, Version::Hybi00, Version::Hybi07, Version::Hybi00, Version::Hybi08];
        let mut senders = versions.map(Sender::server);
        let results: Vec<_> = senders.iter_mut().map(|sender| sender.shared(&message)).collect();
        let refused = Err(SendError::Unsupported);
        assert_eq!(results, [Ok(()), refused, Ok(()), refused, Ok(())]);
        for sender in &mut senders {
            let version = sender.version();
            let found = events(version, Role::Client, &drain(sender));
            let expected = if version.is_hixie() { vec![] } else { vec![Got::Binary(vec![7; len])] };
            assert_eq!(found, expected);
        }
        assert_eq!(message.encodings(), 1);
    }
}

#[test]
fn a_client_masks_shared_messages() {
    let message = SharedMessage::text("Hello");
    let mut sender = client(Version::Rfc6455);
    sender.shared(&message).unwrap();
    assert_eq!(drain(&mut sender), to_server(FIN | TEXT, b"Hello"));
    assert_eq!(message.encodings(), 0);
}

#[test]
fn large_messages_are_queued_without_a_copy() {
    let text = "t".repeat(20_000);
    let binary = vec![7; 20_000];
    let shared = SharedMessage::text("s".repeat(20_000));
    let (text_at, binary_at) = (text.as_ptr(), binary.as_ptr());
    let expected = [
        &[0x81, 126, 0x4E, 0x20][..],
        text.as_bytes(),
        &[0x82, 126, 0x4E, 0x20],
        &binary,
        &[0x81, 126, 0x4E, 0x20],
        &[b's'; 20_000],
        b"\x81\x03end",
    ]
    .concat();

    let mut sender = Sender::server(Version::Rfc6455);
    let mut other = Sender::server(Version::Hybi08);
    sender.text_owned(text).unwrap();
    sender.binary_owned(binary).unwrap();
    sender.shared(&shared).unwrap();
    sender.text("end", None).unwrap();
    other.shared(&shared).unwrap();
    assert_eq!(sender.queued(), expected.len());

    let mut slices = [IoSlice::new(&[]); 8];
    let filled = sender.io_slices(&mut slices);
    assert_eq!(filled, 6, "header, text, header, binary, shared with its header, end");
    assert_eq!(slices[1].as_ptr(), text_at, "moved, not copied");
    assert_eq!(slices[3].as_ptr(), binary_at, "moved, not copied");
    let mut others = [IoSlice::new(&[])];
    other.io_slices(&mut others);
    assert_eq!(slices[4].as_ptr(), others[0].as_ptr(), "both senders refer to the same bytes");
    assert_eq!(join(&slices[..filled]), expected);
    assert_eq!(drain(&mut sender), expected);
}

#[test]
fn small_messages_share_one_slice() {
    let mut sender = Sender::server(Version::Rfc6455);
    for _ in 0..100 {
        sender.text("small", None).unwrap();
        sender.text_owned("owned").unwrap();
        sender.shared(&SharedMessage::text("shared")).unwrap();
        sender.ping(b"").unwrap();
    }
    let mut slices = [IoSlice::new(&[]); 8];
    assert_eq!(sender.io_slices(&mut slices), 1);
    assert_eq!(slices[0].len(), sender.queued());
}

#[test]
fn writes_may_end_anywhere() {
    let expected = {
        let mut sender = Sender::server(Version::Rfc6455);
        fill(&mut sender);
        drain(&mut sender)
    };
    for at_a_time in [1, 2, 3, 7, 1000, 4096, 16_385] {
        let mut sender = Sender::server(Version::Rfc6455);
        fill(&mut sender);
        let mut found = Vec::new();
        while sender.queued() > 0 {
            let queued = sender.queued();
            let written = write(&mut sender, at_a_time);
            assert_eq!(sender.queued(), queued - written.len());
            found.extend(written);
        }
        assert_eq!(found, expected, "{at_a_time} at a time");
        assert_eq!(sender.io_slices(&mut [IoSlice::new(&[])]), 0);
    }

    fn fill(sender: &mut Sender) {
        sender.text("first", None).unwrap();
        sender.binary_owned(vec![1; 20_000]).unwrap();
        sender.binary_owned(vec![2; 20_000]).unwrap();
        sender.text("between", None).unwrap();
        sender.shared(&SharedMessage::text("s".repeat(2000))).unwrap();
        sender.close(CloseCode::NORMAL, "last").unwrap();
    }
}

#[test]
fn a_refused_message_leaves_the_queue_unchanged() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.text("kept", None).unwrap();
    let before = peek(&sender);
    assert_eq!(sender.ping(&[0; 126]), Err(SendError::ControlTooLong));
    assert_eq!(sender.pong(&[0; 1000]), Err(SendError::ControlTooLong));
    assert_eq!(sender.close(CloseCode::NO_STATUS, ""), Err(SendError::InvalidCloseCode(1005)));
    assert_eq!((peek(&sender), sender.close_sent()), (before, false));
    // The longest allowed payload and reason are accepted.
    sender.ping(&[0; 125]).unwrap();
    sender.close(CloseCode::NORMAL, &"x".repeat(123)).unwrap();
    let found = events(Version::Rfc6455, Role::Client, &drain(&mut sender));
    assert_eq!(found.len(), 3);
}

#[test]
fn an_abandoned_outbox_is_empty_and_closed() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.text("lost", None).unwrap();
    sender.binary_owned(vec![0; 100_000]).unwrap();
    sender.abandon();
    assert_eq!((sender.queued(), sender.io_slices(&mut [IoSlice::new(&[])])), (0, 0));
    assert_eq!(sender.text("x", None), Err(SendError::Closed));
}

#[test]
fn a_buffer_moves_from_one_idle_outbox_to_another() {
    let mut first = Sender::server(Version::Rfc6455);
    first.text("Hello", None).unwrap();
    let mut slices = [IoSlice::new(&[])];
    first.io_slices(&mut slices);
    let address = slices[0].as_ptr();
    assert!(first.take_buffer().is_none(), "it is in use");
    drain(&mut first);
    let buffer = first.take_buffer().unwrap();
    assert!(buffer.capacity() > 0);
    assert!(first.take_buffer().is_none(), "it is taken");

    let mut second = Sender::server(Version::Hybi07);
    second.give_buffer(buffer);
    second.text("Hi", None).unwrap();
    let mut slices = [IoSlice::new(&[])];
    second.io_slices(&mut slices);
    assert_eq!((slices[0].as_ptr(), &*slices[0]), (address, &b"\x81\x02Hi"[..]));
}

#[test]
fn shared_text_may_be_given_as_bytes() {
    let message = SharedMessage::text_from_utf8(&b"\xC3\xA9t\xC3\xA9"[..]).unwrap();
    assert!(message.is_text() && message.len() == 5);
    let mut sender = Sender::server(Version::Rfc6455);
    sender.shared(&message).unwrap();
    let mut bytes = Vec::new();
    sender.write_to(&mut bytes).unwrap();
    assert_eq!(bytes, b"\x81\x05\xC3\xA9t\xC3\xA9");
    let error = SharedMessage::text_from_utf8(&b"ab\xFF"[..]).unwrap_err();
    assert_eq!(error.valid_up_to(), 2);
}

#[test]
fn each_data_message_is_counted_once() {
    let size = NonZeroUsize::new(10);
    let shared = SharedMessage::text("shared");
    for (version, role) in Version::ALL.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let mut sender =
            if role { Sender::server(version) } else { Sender::client(version, || [1, 2, 3, 4]) };
        assert_eq!(sender.take_message_count(), 0);
        sender.text("short", None).unwrap();
        sender.text(&"long ".repeat(20_000), None).unwrap();
        sender.text("in several frames", size).unwrap();
        sender.text_owned("owned ".repeat(10_000)).unwrap();
        sender.shared(&shared).unwrap();
        let binaries = [sender.binary(b"binary", None), sender.binary_owned(vec![1; 100_000])];
        let count = 5 + binaries.iter().flatten().count();
        let _ = sender.ping(b"no message");
        sender.close_without_code();
        assert!(sender.text("refused", None).is_err());
        assert_eq!(sender.take_message_count() as usize, count, "{version:?} {role}");
        assert_eq!(sender.take_message_count(), 0);
    }
}

#[test]
fn a_buffer_takes_no_count_to_another_sender() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.text("a", None).unwrap();
    sender.consume(sender.queued());
    let mut other = Sender::server(Version::Rfc6455);
    other.give_buffer(sender.take_buffer().unwrap());
    assert_eq!(other.take_message_count(), 0);
}
