//! The memory of a sender: copied messages count with their buffers, shared messages count once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clws_proto::buffer::Meter;
use clws_proto::{Sender, SharedMessage, Version};

/// An upper bound for the memory of an outbox besides its few messages.
const OVERHEAD: usize = 1024;

#[derive(Debug, Default)]
struct Count {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Count {
    fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }
}

impl Meter for Count {
    fn charge(&self, bytes: usize) {
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    fn release(&self, bytes: usize) {
        self.now.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn metered(message: SharedMessage) -> (SharedMessage, Arc<Count>) {
    let count = Arc::new(Count::default());
    message.set_meter(&(count.clone() as _));
    (message, count)
}

#[test]
fn an_empty_sender_holds_no_memory() {
    for version in Version::ALL {
        let mut sender = Sender::server(version);
        assert_eq!((sender.held(), sender.slices()), (0, 0));
        sender.text("hello", None).unwrap();
        assert!(sender.held() >= sender.queued() && sender.held() < OVERHEAD, "{}", sender.held());
        sender.consume(sender.queued());
        assert!(sender.take_buffer().is_some());
        assert_eq!(sender.held(), 0);
    }
}

#[test]
fn copies_count_with_their_buffers() {
    let mut sender = Sender::server(Version::Rfc6455);
    for _ in 0..10_000 {
        sender.text("12345678", None).unwrap();
        assert!(sender.held() >= sender.queued());
        assert!(sender.held() <= 2 * sender.queued() + OVERHEAD, "{}", sender.held());
    }
}

#[test]
fn a_long_outbox_is_not_reallocated() {
    let mut sender = Sender::server(Version::Rfc6455);
    for _ in 0..10_000 {
        sender.text(&"x".repeat(1000), None).unwrap();
        sender.cut();
        assert!(sender.held() <= sender.queued() + 8 * sender.queued() / 60 + 130_000, "{}", sender.held());
    }
    assert!((150..180).contains(&sender.slices()), "{}", sender.slices());
    sender.consume(9_000_000);
    assert!(sender.held() <= 1_300_000, "{}", sender.held());
    let mut rest = Vec::new();
    sender.write_to(&mut rest).unwrap();
    assert!(rest.len() == 1_040_000 && rest.ends_with(&[b'x'; 1000]));
}

#[test]
fn owned_messages_count_while_they_are_queued() {
    let mut sender = Sender::server(Version::Rfc6455);
    sender.binary_owned(vec![1; 100_000]).unwrap();
    sender.text_owned("x".repeat(100_000)).unwrap();
    assert!((200_000..200_000 + OVERHEAD).contains(&sender.held()), "{}", sender.held());
    assert_eq!(sender.slices(), 4);
    sender.consume(150_000);
    assert!((100_000..100_000 + OVERHEAD).contains(&sender.held()), "{}", sender.held());
    sender.abandon();
    assert_eq!(sender.held(), 0);
}

#[test]
fn a_shared_message_counts_once_while_it_is_queued() {
    let (message, count) = metered(SharedMessage::text("x".repeat(100_000)));
    let mut senders = [0; 60].map(|_| Sender::server(Version::Rfc6455));
    for sender in &mut senders {
        sender.shared(&message).unwrap();
        assert!(sender.held() < OVERHEAD, "{}", sender.held());
        assert_eq!(sender.queued(), 100_010);
    }
    assert!((100_010..100_010 + OVERHEAD).contains(&count.now()), "{}", count.now());

    // Some senders write it, others are dropped. The last one releases it, although the application
    // still has the message.
    let [first, last, others @ ..] = senders;
    drop(others);
    let mut first = first;
    first.consume(100_009);
    drop(last);
    assert!(count.now() > 0, "its last byte is queued");
    first.consume(1);
    assert_eq!(count.now(), 0);

    // It can be sent again, and counts again.
    first.shared(&message).unwrap();
    assert!(count.now() > 100_000);
    first.abandon();
    assert_eq!(count.now(), 0);
    assert_eq!(message.encodings(), 1);
}

#[test]
fn each_encoding_counts() {
    let (message, count) = metered(SharedMessage::text("x".repeat(10_000)));
    let mut senders = Version::ALL.map(Sender::server);
    for sender in &mut senders {
        sender.shared(&message).unwrap();
    }
    assert_eq!(message.encodings(), 2);
    assert!((20_000..20_000 + 2 * OVERHEAD).contains(&count.now()), "{}", count.now());
    drop(message);
    assert!(count.now() > 20_000, "the outboxes keep it");
    drop(senders);
    assert_eq!(count.now(), 0);
}

/// The members of a chat do not read. Each message is held once, and each outbox refers to it.
#[test]
fn long_outboxes_refer_to_small_messages() {
    const MEMBERS: usize = 60;
    const BACKLOG: usize = 64 << 20;
    let count = Arc::new(Count::default());
    let mut senders = [0; MEMBERS].map(|_| Sender::server(Version::Rfc6455));
    while senders[0].queued() < BACKLOG {
        let message = SharedMessage::text("x".repeat(1000));
        message.set_meter(&(count.clone() as _));
        for sender in &mut senders {
            sender.shared(&message).unwrap();
        }
    }
    let queued: usize = senders.iter().map(Sender::queued).sum();
    let held = senders.iter().map(Sender::held).sum::<usize>() + count.now();
    assert!(queued >= MEMBERS * BACKLOG);
    assert!(held < queued / 25, "{held} held of {queued}");

    // All messages are written in full, and their memory is released.
    let [first, others @ ..] = &mut senders;
    let mut all = Vec::new();
    first.write_to(&mut all).unwrap();
    for frame in all.chunks(1004) {
        assert!(frame[..4] == [0x81, 126, 3, 232] && frame[4..] == [b'x'; 1000]);
    }
    for sender in others {
        sender.consume(sender.queued());
        assert!(sender.held() <= 128 * 1024, "{}", sender.held());
    }
    assert_eq!(count.now(), 0);
}

#[test]
fn messages_are_copied_if_they_are_short_or_the_peer_reads() {
    let (message, count) = metered(SharedMessage::text("x".repeat(1000)));
    let mut sender = Sender::server(Version::Rfc6455);
    for _ in 0..100 {
        sender.shared(&message).unwrap();
        assert_eq!(sender.slices(), 1);
        sender.consume(sender.queued());
    }
    assert_eq!(count.peak.load(Ordering::Relaxed), 0);

    sender.binary(&[0; 20_000], None).unwrap();
    let (short, count) = metered(SharedMessage::text("x".repeat(50)));
    sender.shared(&short).unwrap();
    assert_eq!((sender.slices(), count.now()), (1, 0));
    sender.shared(&message).unwrap();
    assert_eq!(sender.slices(), 2);
}

#[cfg(feature = "deflate")]
mod deflate {
    use clws_proto::{CodecPool, DeflateConfig, DeflateParams};

    use super::*;

    #[test]
    fn deflate_contexts_count() {
        let codecs = CodecPool::new(&DeflateConfig::default());
        let mut sender = Sender::server(Version::Rfc6455).deflate(DeflateParams::default(), &codecs);
        sender.text(&"a message that is long enough ".repeat(100), None).unwrap();
        sender.consume(sender.queued());
        drop(sender.take_buffer());
        assert!(sender.held() >= 3000 && sender.held() == sender.context_size());
        sender.seal();
        assert_eq!(sender.held(), 0);
    }

    #[test]
    fn compressed_shared_messages_count_once_per_window_size() {
        let codecs = CodecPool::new(&DeflateConfig::default());
        let noise: Vec<u8> =
            (0..50_000u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect();
        let (message, count) = metered(SharedMessage::binary(noise));
        let mut senders: Vec<_> = (0..40)
            .map(|i| {
                let params = DeflateParams::default()
                    .server_no_context_takeover(true)
                    .server_max_window_bits(if i % 2 == 0 { 15 } else { 12 });
                Sender::server(Version::Rfc6455).deflate(params, &codecs)
            })
            .collect();
        for sender in &mut senders {
            sender.shared(&message).unwrap();
        }
        let each: usize = senders.iter().take(2).map(Sender::queued).sum();
        assert_eq!(message.encodings(), 2);
        assert!((each..2 * each + 2 * OVERHEAD).contains(&count.now()), "{} {each}", count.now());
        drop(senders);
        assert_eq!(count.now(), 0);
    }
}
