//! The answer to a ping moves ahead of queued frames, to the next frame boundary. No other frame
//! moves, and the answer does not pass bytes of a frame in progress or pinned bytes.

use std::io::IoSlice;
use std::num::NonZeroUsize;

use crate::common::*;
use clws_proto::{CloseCode, Limits, Receiver, Role, Sender, SharedMessage, Version};

/// More than one buffer of small frames, and less than two.
const BUFFER: usize = 64 * 1024;

/// The offset of the pong in the queued bytes of a server.
fn pong_at(sender: &mut Sender, payload: &[u8]) -> usize {
    let before = sender.queued();
    sender.answer_ping(payload);
    let frame = [&[FIN | PONG, u8::try_from(payload.len()).unwrap()], payload].concat();
    assert_eq!(sender.queued(), before + frame.len());
    queued(sender).windows(frame.len()).position(|bytes| bytes == frame).unwrap()
}

/// All queued bytes.
fn queued(sender: &Sender) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); sender.slices()];
    let filled = sender.io_slices(&mut slices);
    assert_eq!(filled, sender.slices());
    let wire = slices.iter().map(|slice| &slice[..]).collect::<Vec<_>>().concat();
    assert_eq!(wire.len(), sender.queued());
    wire
}

/// The events that a client without limits finds in these bytes.
fn all(wire: &[u8]) -> Vec<Got> {
    let mut limits = Limits::default();
    (limits.max_frame_size, limits.max_message_size) = (usize::MAX, usize::MAX);
    limits.max_fragments = u32::MAX;
    feed(&mut Receiver::new(Version::Rfc6455, Role::Client, limits), wire)
}

#[test]
fn a_pong_passes_megabytes_of_small_messages() {
    for version in HYBI {
        let mut sender = Sender::server(version);
        for i in 0..4000 {
            sender.text(&format!("{i:01000}"), None).unwrap();
        }
        sender.consume(5);
        let at = pong_at(&mut sender, b"how are you?");
        assert!(at <= BUFFER, "{at}");
        let wire = [&[FIN | TEXT, 126, 3, 232, b'0'][..], &drain(&mut sender)].concat();
        let found = all(&wire);
        assert_eq!(found.len(), 4001);
        let texts = found.iter().filter(|got| matches!(got, Got::Text(_)));
        assert!(texts.enumerate().all(|(i, got)| *got == text(&format!("{i:01000}"))));
    }
}

/// A peer reads slowly and sends pings all the time.
#[test]
fn repeated_pings_are_answered_in_time() {
    let mut sender = Sender::server(Version::Rfc6455);
    for _ in 0..3000 {
        sender.text(&"x".repeat(1000), None).unwrap();
    }
    let mut wire = Vec::new();
    for i in 0..100u8 {
        let at = pong_at(&mut sender, &[i; 5]);
        assert!(at <= 2 * BUFFER, "{at}");
        wire.extend(write(&mut sender, 20_000));
    }
    wire.extend(drain(&mut sender));
    let pongs: Vec<_> = all(&wire).into_iter().filter(|got| matches!(got, Got::Pong(_))).collect();
    assert_eq!(pongs, (0..100u8).map(|i| Got::Pong(vec![i; 5])).collect::<Vec<_>>());
}

/// Two frames that are just short enough to be copied share a buffer. No buffer is longer.
#[test]
fn a_pong_passes_all_but_one_buffer_of_long_frames() {
    let mut sender = Sender::server(Version::Rfc6455);
    let message = "x".repeat(60 * 1024 - 10);
    (0..20).for_each(|_| sender.text(&message, None).unwrap());
    sender.consume(1);
    let at = pong_at(&mut sender, b"?");
    assert!(at > BUFFER && at <= 120 * 1024, "{at}");
}

/// A frame in progress cannot be passed, but the frames after it can.
#[test]
fn a_pong_follows_the_frame_being_written() {
    let megabyte = "m".repeat(1 << 20);
    type Send = fn(&mut Sender, &str);
    let sends: [Send; 4] = [
        |sender, message| sender.text(message, None).unwrap(),
        |sender, message| sender.text_owned(message).unwrap(),
        |sender, message| sender.binary_owned(message.as_bytes().to_vec()).unwrap(),
        |sender, message| sender.shared(&SharedMessage::text(message)).unwrap(),
    ];
    for first in sends {
        for then in sends {
            for written in [1, 9, 10, 11, 1 << 19, (1 << 20) + 9] {
                let mut sender = Sender::server(Version::Rfc6455);
                first(&mut sender, &megabyte);
                let frame = sender.queued();
                then(&mut sender, &megabyte);
                then(&mut sender, &megabyte);
                let mut wire = write(&mut sender, 10.min(written));
                wire.extend(queued(&sender));
                wire.truncate(written);
                sender.consume(written - written.min(10));
                assert_eq!(pong_at(&mut sender, b"?"), frame - written, "{written}");
                assert_eq!(pong_at(&mut sender, b"!"), frame - written + 3, "{written}");
                wire.extend(queued(&sender));
                let found = all(&wire);
                assert_eq!(found.len(), 5);
                assert_eq!(found[1..3], [Got::Pong(b"?".to_vec()), Got::Pong(b"!".to_vec())]);
            }
        }
    }
}

#[test]
fn a_pong_passes_a_large_frame_that_is_not_begun() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.binary_owned(vec![7; 1 << 20]).unwrap();
    assert_eq!(pong_at(&mut sender, b"?"), 0);
    sender.consume(3);
    assert_eq!(pong_at(&mut sender, b"!"), 0);
    sender.consume(3 + 10 + (1 << 20));
    assert_eq!(sender.queued(), 0);
}

/// A short queue is written at once, so pongs keep the order of the events.
#[test]
fn a_short_queue_keeps_its_order() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.text("before", None).unwrap();
    sender.answer_ping(b"?");
    sender.text("after", None).unwrap();
    assert_eq!(all(&drain(&mut sender)), [text("before"), Got::Pong(b"?".to_vec()), text("after")]);
}

/// RFC 6455 §5.4: "Control frames MAY be injected in the middle of a fragmented message."
#[test]
fn a_pong_goes_between_fragments() {
    let message = "f".repeat(1 << 20);
    type Send = fn(&mut Sender, &str, usize);
    let sends: [Send; 3] = [
        |sender, message, size| sender.text(message, NonZeroUsize::new(size)).unwrap(),
        |sender, message, size| sender.binary(message.as_bytes(), NonZeroUsize::new(size)).unwrap(),
        |sender, message, size| {
            sender.shared(&SharedMessage::text(message).frame_size(NonZeroUsize::new(size))).unwrap();
        },
    ];
    for send in sends {
        for size in [100, 125, 126, 4096, 65_535, 65_536, (1 << 20) - 1] {
            for written in [1, 129, 130, 600_000] {
                let mut sender = Sender::server(Version::Rfc6455);
                send(&mut sender, &message, size);
                let whole = queued(&sender);
                sender.consume(written);
                let at = pong_at(&mut sender, b"?");
                assert!(at <= BUFFER.max(size + 10), "{at} of {size}");
                let next = pong_at(&mut sender, b"!");
                assert_eq!(next, at + 3);
                let mut wire = whole[..written].to_vec();
                wire.extend(queued(&sender));
                let found = all(&wire);
                assert_eq!(found[..2], [Got::Pong(b"?".to_vec()), Got::Pong(b"!".to_vec())]);
                assert!(matches!(&found[2..], [Got::Text(_) | Got::Binary(_)]), "{size} {written}");
            }
        }
    }
}

/// A pong goes between any two shared messages.
#[test]
fn a_pong_goes_between_shared_messages() {
    let mut sender = Sender::server(Version::Rfc6455);
    let frames = 3000;
    for i in 0..frames {
        sender.shared(&SharedMessage::text(format!("{i:02000}"))).unwrap();
    }
    let mut wire = write(&mut sender, 1000);
    for i in 0..20u8 {
        assert!(pong_at(&mut sender, &[i; 5]) <= 2004);
        wire.extend(write(&mut sender, 2500));
    }
    wire.extend(queued(&sender));
    let slices = sender.slices();
    assert!(slices > frames - 50 && slices < frames, "{slices}");
    let found = all(&wire);
    let texts: Vec<_> = found.iter().filter(|got| matches!(got, Got::Text(_))).collect();
    assert_eq!(texts.len(), frames);
    assert!(texts.iter().enumerate().all(|(i, got)| **got == text(&format!("{i:02000}"))));
    assert_eq!(found.len(), frames + 20);
}

/// Applications use their own pings as barriers.
#[test]
fn pings_and_pongs_of_the_application_keep_their_place() {
    let mut sender = Sender::server(Version::Rfc6455);
    for i in 0..200u8 {
        sender.text(&"x".repeat(1000), None).unwrap();
        sender.ping(&[i]).unwrap();
        sender.pong(&[i]).unwrap();
    }
    let mut wire = write(&mut sender, 3);
    sender.answer_ping(b"??");
    wire.extend(queued(&sender));
    let mut found = all(&wire);
    let at = found.iter().position(|got| *got == Got::Pong(b"??".to_vec())).unwrap();
    assert!(at < 200, "{at}");
    found.remove(at);
    for (i, three) in (0..200u8).zip(found.chunks(3)) {
        assert_eq!(three[1..], [Got::Ping(vec![i]), Got::Pong(vec![i])]);
    }
}

/// The response to the opening handshake comes first, for any amount of data queued after it.
#[test]
fn a_pong_does_not_pass_the_handshake_response() {
    for size in [10, 1 << 20] {
        let mut sender = Sender::server(Version::Rfc6455);
        sender.preface(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
        sender.binary_owned(vec![0; size]).unwrap();
        sender.binary(&vec![0; size], None).unwrap();
        sender.answer_ping(b"?");
        let wire = queued(&sender);
        assert!(wire.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x82"));
        assert_eq!(all(&wire[36..]).len(), 3);
    }
}

/// Some writers must write the same bytes again.
#[test]
fn a_pong_does_not_pass_pinned_bytes() {
    for pinned in [1, 100, 70_000, 100_000, 1_000_000] {
        let mut sender = Sender::server(Version::Rfc6455);
        for _ in 0..30 {
            sender.binary_owned(vec![1; 20_000]).unwrap();
            (0..20).for_each(|_| sender.text(&"x".repeat(1000), None).unwrap());
            (0..20).for_each(|_| sender.shared(&SharedMessage::text("s".repeat(1500))).unwrap());
        }
        let before = queued(&sender);
        sender.pin(pinned);
        let at = pong_at(&mut sender, b"?");
        let (second, mut after) = (pong_at(&mut sender, b"!"), Vec::new());
        assert!(at >= pinned && at <= pinned + 30_000, "{at} for {pinned}");
        assert_eq!(second, at + 3);
        after.extend(queued(&sender));
        assert_eq!(after[..pinned], before[..pinned]);
        assert_eq!(all(&after).len(), 30 * 41 + 2);
        // Once they are written, a pong may move ahead again.
        sender.consume(pinned);
        assert!(pong_at(&mut sender, b"...") <= 30_000);
    }
}

/// A close frame is last. Pings that arrive while it is queued are answered before it.
#[test]
fn a_pong_passes_a_queued_close_frame() {
    let mut sender = Sender::server(Version::Rfc6455);
    for _ in 0..1000 {
        sender.text(&"x".repeat(1000), None).unwrap();
    }
    sender.close(CloseCode::NORMAL, "bye").unwrap();
    let mut wire = write(&mut sender, 1);
    assert!(pong_at(&mut sender, b"?") <= BUFFER);
    // A close frame in progress cannot be passed, and nothing follows it.
    wire.extend(queued(&sender));
    sender.consume(sender.queued() - 3);
    let left = sender.queued();
    sender.answer_ping(b"late");
    assert_eq!(sender.queued(), left);
    sender.consume(left);
    sender.answer_ping(b"later");
    assert_eq!(sender.queued(), 0);
    let found = all(&wire);
    assert_eq!(found.len(), 1002);
    assert_eq!(found.last(), Some(&Got::Close(Some((1000, "bye".into())))));
}

/// A peer gets no answer after it ended its side or sent a close frame.
#[test]
fn a_sealed_outbox_gets_no_pong() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.binary_owned(vec![0; 1 << 20]).unwrap();
    sender.binary_owned(vec![0; 1 << 20]).unwrap();
    sender.seal();
    let left = sender.queued();
    sender.answer_ping(b"?");
    assert_eq!(sender.queued(), left);
}

/// A flood grows a long queue no more than a short one, and its newest ping is answered.
#[test]
fn a_flood_grows_a_long_queue_by_a_bounded_amount() {
    let mut sender = Sender::server(Version::Rfc6455);
    (0..100).for_each(|_| sender.binary_owned(vec![0; 20_000]).unwrap());
    let mut wire = write(&mut sender, 1);
    let (before, held) = (sender.queued(), sender.held());
    for i in 0..100_000u32 {
        sender.answer_ping(&i.to_be_bytes());
    }
    assert!(sender.queued() - before < 4096 + 200);
    assert!(sender.held() - held < 16 * 1024, "{}", sender.held() - held);
    for left in [1_500_000, 1_000_000, 10] {
        let count = sender.queued() - left;
        wire.extend_from_slice(&queued(&sender)[..count]);
        sender.consume(count);
    }
    wire.extend(drain(&mut sender));
    let pongs: Vec<_> = all(&wire).into_iter().filter(|got| matches!(got, Got::Pong(_))).collect();
    assert!(pongs.len() > 500 && pongs.len() < 1000, "{}", pongs.len());
    assert_eq!(pongs.last(), Some(&Got::Pong(99_999u32.to_be_bytes().to_vec())));
}
