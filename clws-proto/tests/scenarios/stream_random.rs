//! A stream in pieces gives the same messages and the same error as whole messages, for any input,
//! version, role, division into reads and stops of the reader.

use crate::common::*;
use crate::splits::{garbage, in_pieces, pulls, role, sent, sizes, version, wire};
use clws_proto::{Limits, Receiver};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_stream_gives_the_intended_messages(
        version in version(), role in role(), all in vec(sent(), 0..6), close: bool, sizes in sizes(),
        pulls in pulls(), above in prop_oneof![Just(0usize), 1usize..300]
    ) {
        let close = close && version.has_close_frame();
        let (bytes, expected) = wire(version, role, &all, close);
        let mut receiver = receiver(version, role).stream_messages(above);
        let pieces = in_pieces(&mut receiver, &bytes, &sizes, &pulls);
        prop_assert_eq!(join_pieces(pieces, Some(above)), (expected, Vec::new()));
        prop_assert_eq!((receiver.held(), receiver.has_unread(), receiver.is_finished()), (0, false, close));
        prop_assert!(receiver.is_between_messages());
    }

    #[test]
    fn garbage_gives_the_same_messages_and_error(
        version in version(), role in role(), bytes in garbage(), sizes in sizes(), pulls in pulls(),
        limit in prop_oneof![Just(1usize << 20), 0usize..100], fragments in 0u32..5, above in 0usize..60
    ) {
        let limits = Limits::default()
            .max_frame_size(limit)
            .max_message_size(limit.saturating_mul(2))
            .max_fragments(fragments);
        let expected = feed(&mut Receiver::new(version, role, limits), &bytes);
        let mut receiver = Receiver::new(version, role, limits).stream_messages(above);
        // Replaced characters of hixie versions have another length.
        let checked = (!version.is_hixie()).then_some(above);
        let pieces = in_pieces(&mut receiver, &bytes, &sizes, &pulls);
        let (joined, rest) = join_pieces(pieces, checked);
        prop_assert_eq!(joined, expected);
        prop_assert!(rest.is_empty() || !receiver.is_between_messages() || receiver.is_finished());
    }

    /// Whatever was pulled, the messages that were not are counted.
    #[test]
    fn discarded_messages_are_counted(
        version in version(), role in role(), all in vec(sent(), 0..6), pulls in 0usize..8, above in 0usize..100
    ) {
        let (bytes, expected) = wire(version, role, &all, false);
        let mut receiver = receiver(version, role).stream_messages(above);
        let mut read = bytes;
        let mut events = receiver.receive(&mut read);
        let pulled: Vec<_> = std::iter::from_fn(|| pull(&mut events)).take(pulls).collect();
        drop(events);
        let data = |events: &[Got]| events.iter().filter(|event| event.is_data()).count() as u64;
        let pulled = data(&join_pieces(pulled, Some(above)).0);
        prop_assert_eq!(receiver.discard(), data(&expected) - pulled);
        prop_assert_eq!((receiver.held(), receiver.has_unread()), (0, false));
    }
}
