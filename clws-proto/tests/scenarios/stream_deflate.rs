//! Compressed messages in pieces.

use std::num::NonZeroUsize;

use clws_proto::{CodecPool, DeflateParams, Limits, ProtocolError, Receiver, Role, Version};
use proptest::prelude::*;

use crate::common::deflate::{codecs, no_takeover, noise, sender};
use crate::common::*;
use crate::deflate_roundtrip::{config, message, params};
use crate::splits::{in_pieces, pulls, sizes};

/// The memory of a decompressor, and of one piece.
const MAX_HELD: usize = 160 * 1024;

fn streaming(role: Role, params: DeflateParams, limits: Limits, above: usize) -> Receiver {
    Receiver::new(Version::Rfc6455, role, limits).deflate(params, &codecs()).stream_messages(above)
}

fn wire(from: Role, params: DeflateParams, codecs: &CodecPool, all: &[Got], frame: Option<usize>) -> Vec<u8> {
    let mut sender = sender(from, params, codecs);
    let frame = frame.and_then(NonZeroUsize::new);
    for message in all {
        match message {
            Got::Text(text) => sender.text(text, frame).unwrap(),
            Got::Binary(bytes) => sender.binary(bytes, frame).unwrap(),
            _ => {}
        }
    }
    drain(&mut sender)
}

#[test]
fn a_bomb_takes_little_memory_and_ends_at_the_limit() {
    let limits = Limits::default().max_message_size(8 << 20);
    let params = no_takeover();
    let all = [Got::Binary(vec![0; 20 << 20])];
    let bytes = wire(Role::Client, params, &codecs(), &all, None);
    assert!(bytes.len() < 64 * 1024, "one read: {}", bytes.len());
    let mut receiver = streaming(Role::Server, params, limits, 64 * 1024);
    let (mut read, mut received, mut pieces) = (bytes, 0, 0);
    let error = loop {
        let mut events = receiver.receive(&mut read);
        match events.next() {
            Ok(Some(clws_proto::Event::Piece(piece))) => {
                assert!(!piece.last && piece.bytes().len() <= 96 * 1024);
                received += piece.bytes().len();
                pieces += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
        drop(events);
        // The rest of the input is held, because this reader stops after each piece.
        assert!(receiver.held() < MAX_HELD + 64 * 1024, "{}", receiver.held());
        assert!(receiver.has_unread());
        read = Vec::new();
    };
    assert_eq!(error, ProtocolError::MessageTooBig { limit: 8 << 20 });
    assert!((7 << 20..=8 << 20).contains(&received) && pieces > 200, "{received} in {pieces}");
    assert_eq!((receiver.held(), receiver.context_size()), (0, 0));
}

#[test]
fn a_short_beginning_holds_no_decompressor() {
    let message: Vec<u8> = noise(40_000).iter().map(|byte| byte & 0xF).collect();
    let bytes = wire(Role::Client, no_takeover(), &codecs(), &[Got::Binary(message.clone())], None);
    let mut receiver = streaming(Role::Server, no_takeover(), Limits::default(), 0);
    for byte in &bytes[..700] {
        assert_eq!(feed(&mut receiver, &[*byte]), []);
        assert!(receiver.held() < 4096, "{}", receiver.held());
    }
    let (joined, _) = join_pieces(feed(&mut receiver, &bytes[700..]), None);
    assert_eq!(joined, [Got::Binary(message)]);
    assert_eq!(receiver.held(), 0);
}

#[test]
fn exactly_messages_above_the_limit_are_in_pieces() {
    for (above, whole, in_pieces) in [(0, 16 * 1024, 16 * 1024 + 1), (50_000, 50_000, 50_001)] {
        for (len, is_whole) in [(whole, true), (in_pieces, false)] {
            let bytes = wire(Role::Client, no_takeover(), &codecs(), &[Got::Binary(vec![7; len])], None);
            let mut receiver = streaming(Role::Server, no_takeover(), Limits::default(), above);
            let found = feed(&mut receiver, &bytes);
            assert_eq!(matches!(found[..], [Got::Binary(_)]), is_whole, "{len} above {above}");
            assert_eq!(join_pieces(found, None).0, [Got::Binary(vec![7; len])]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_are_the_messages(
        messages in prop::collection::vec(message(), 1..8), params in params(), config in config(),
        to_server: bool, frame in prop::option::of(1usize..20_000), sizes in sizes(), pulls in pulls(),
        above in prop_oneof![Just(0usize), 0usize..60_000],
    ) {
        let (from, to) = if to_server { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let sizes: Vec<_> = sizes.iter().map(|size| size * 7).collect();
        let bytes = wire(from, params, &CodecPool::new(&config), &messages, frame);
        let mut receiver = streaming(to, params, Limits::default(), above);
        let pieces = in_pieces(&mut receiver, &bytes, &sizes, &pulls);
        prop_assert_eq!(join_pieces(pieces, None), (messages, Vec::new()));
        prop_assert_eq!((receiver.held(), receiver.has_unread()), (0, false));
        prop_assert!(receiver.is_between_messages());
    }

    #[test]
    fn damaged_messages_give_the_same_messages_and_error(
        messages in prop::collection::vec(message(), 1..5), params in params(), config in config(),
        frame in prop::option::of(1usize..5000), sizes in sizes(), above in 0usize..30_000,
        at: prop::sample::Index, flip in 1u8..=255, limit in prop_oneof![Just(1usize << 20), 0usize..60_000],
    ) {
        let mut bytes = wire(Role::Server, params, &CodecPool::new(&config), &messages, frame);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let limits = Limits::default().max_message_size(limit);
        let whole = Receiver::new(Version::Rfc6455, Role::Client, limits).deflate(params, &codecs());
        let expected = feed(&mut { whole }, &bytes);
        let mut receiver = streaming(Role::Client, params, limits, above);
        let sizes: Vec<_> = sizes.iter().map(|size| size * 7).collect();
        let pieces = in_pieces(&mut receiver, &bytes, &sizes, &[usize::MAX]);
        prop_assert_eq!(join_pieces(pieces, None).0, expected);
    }

    /// Whatever was pulled, the messages that were not are counted.
    #[test]
    fn discarded_messages_are_counted(
        messages in prop::collection::vec(message(), 0..6), params in params(), config in config(),
        frame in prop::option::of(1usize..20_000), stop in 0usize..12,
    ) {
        let mut bytes = wire(Role::Client, params, &CodecPool::new(&config), &messages, frame);
        let mut receiver = streaming(Role::Server, params, Limits::default(), 0);
        let mut events = receiver.receive(&mut bytes);
        let pulled: Vec<_> = std::iter::from_fn(|| pull(&mut events)).take(stop).collect();
        drop(events);
        let pulled = join_pieces(pulled, None).0.len() as u64;
        prop_assert_eq!(receiver.discard(), messages.len() as u64 - pulled);
        prop_assert_eq!((receiver.held(), receiver.context_size()), (0, 0));
    }
}
