//! A connection that ends reports the number of messages that were read and not delivered.

use std::num::NonZeroUsize;

use clws_proto::{Event, Limits, Receiver, Role, Sender, Version};

fn receiver(version: Version) -> Receiver {
    Receiver::new(version, Role::Server, Limits::default())
}

/// Ten messages, some fragmented, with pings in between, and the start of an eleventh.
fn wire(version: Version, mut sender: Sender) -> Vec<u8> {
    for number in 0..10 {
        let size = NonZeroUsize::new(if number % 2 == 0 { 7 } else { 1000 });
        sender.text(&format!("message {number} with an ä at the end: ä"), size).unwrap();
        if !version.is_hixie() {
            sender.ping(b"ping").unwrap();
        }
    }
    let whole = sender.queued();
    sender.text("cut off", None).unwrap();
    let mut bytes = Vec::new();
    sender.write_to(&mut bytes).unwrap();
    bytes.truncate(whole + 4);
    bytes
}

/// Checks the count wherever the reader stops and however the input is split.
#[track_caller]
fn assert_counted(version: Version, wire: &[u8], receiver: impl Fn() -> Receiver) {
    for pulled in 0..=10 {
        for cut in [0, 1, 5, 40, wire.len() / 2, wire.len()] {
            let mut receiver = receiver();
            let (mut first, mut second) = (wire[..cut].to_vec(), wire[cut..].to_vec());
            let mut messages = 0;
            for part in [&mut first, &mut second] {
                let mut events = receiver.receive(part);
                while messages < pulled
                    && let Some(event) = events.next().unwrap()
                {
                    messages += u64::from(matches!(event, Event::Text(_)));
                }
            }
            assert_eq!(messages + receiver.discard(), 10, "{version:?}, cut at {cut}, {pulled} pulled");
            assert_eq!((receiver.held(), receiver.has_unread(), receiver.is_finished()), (0, false, true));
            assert_eq!(receiver.discard(), 0);
        }
    }
}

#[test]
fn every_message_is_delivered_or_counted() {
    for version in Version::ALL {
        let wire = wire(version, Sender::client(version, || [1, 2, 3, 4]));
        assert_counted(version, &wire, || receiver(version));
    }
}

#[cfg(feature = "deflate")]
#[test]
fn compressed_messages_are_counted() {
    use clws_proto::{CodecPool, DeflateConfig, DeflateParams};

    let version = Version::Rfc6455;
    let codecs = CodecPool::new(&DeflateConfig::default().threshold(0));
    let params = DeflateParams::default();
    let sender = Sender::client(version, || [1, 2, 3, 4]).deflate(params, &codecs);
    let wire = wire(version, sender);
    assert_counted(version, &wire, || receiver(version).deflate(params, &codecs));
}

/// Input after a close frame or a protocol error has no messages.
#[test]
fn messages_after_the_end_do_not_count() {
    let mut sender = Sender::client(Version::Rfc6455, || [1, 2, 3, 4]);
    sender.text("one", None).unwrap();
    sender.close(1000.into(), "").unwrap();
    let mut closed = Vec::new();
    sender.write_to(&mut closed).unwrap();
    let one = closed.len() - 8;
    let broken = [&closed[..one], &[0xFF; 20][..]].concat();
    for mut wire in [[&closed[..], &closed[..one]].concat(), broken] {
        let mut receiver = receiver(Version::Rfc6455);
        drop(receiver.receive(&mut wire));
        assert_eq!(receiver.discard(), 1);
    }
}

#[test]
fn is_close_next_reports_an_unread_close_frame() {
    for version in Version::ALL.into_iter().filter(|version| version.has_close_frame()) {
        let mut sender = Sender::client(version, || [1, 2, 3, 4]);
        sender.text("one", None).unwrap();
        sender.close(1000.into(), "").unwrap();
        let mut wire = Vec::new();
        sender.write_to(&mut wire).unwrap();
        let mut receiver = receiver(version);
        assert!(!receiver.is_close_next());
        drop(receiver.receive(&mut wire));
        assert!(!receiver.is_close_next(), "{version:?}: a message comes first");
        let mut events = receiver.receive(&mut []);
        assert!(matches!(events.next(), Ok(Some(Event::Text(text))) if text == "one"));
        drop(events);
        assert!(receiver.is_close_next(), "{version:?}");
        let mut events = receiver.receive(&mut []);
        assert!(matches!(events.next(), Ok(Some(Event::Close(_)))));
        drop(events);
        assert!(!receiver.is_close_next());
    }
}
