//! Decoding that pauses after a number of frames without an event.

use clws_proto::{Limits, Receiver, Role, Version};
use proptest::prelude::*;

use super::splits::{garbage, role, sent, version, wire};
use crate::common::*;

/// All events of one read, decoded in portions of `max_frames` frames. Between two portions the
/// [`Events`](clws_proto::Events) are kept or dropped.
fn in_portions(receiver: &mut Receiver, bytes: &[u8], max_frames: u64, keep: bool) -> Vec<Got> {
    let (mut found, mut bytes) = (Vec::new(), bytes.to_vec());
    let mut events = receiver.receive(&mut bytes);
    loop {
        match events.next_within(max_frames) {
            Ok(Some(event)) => found.push(owned_event(event)),
            Ok(None) => {
                if !events.has_input() {
                    return found;
                }
                if !keep {
                    drop(events);
                    assert!(receiver.has_unread());
                    events = receiver.receive(&mut []);
                }
            }
            Err(error) => found.push(Got::Failed(error)),
        }
    }
}

/// The number of pauses before the first event of a read.
fn pauses(mut receiver: Receiver, bytes: &[u8], max_frames: u64) -> usize {
    let mut bytes = bytes.to_vec();
    let mut events = receiver.receive(&mut bytes);
    (0..).find(|_| events.next_within(max_frames).unwrap().is_some()).unwrap()
}

fn fragments(first: u8, payload: &[u8], count: usize) -> Vec<u8> {
    let middle = to_server(CONTINUATION, payload).repeat(count - 2);
    [to_server(first, payload), middle, to_server(FIN | CONTINUATION, payload)].concat()
}

#[test]
fn pauses_after_a_number_of_frames() {
    for payload in [&b""[..], b"x"] {
        let bytes = fragments(TEXT, payload, 1000);
        for (max_frames, expected) in [(u64::MAX, 0), (1000, 0), (999, 1), (100, 9), (1, 999), (0, 999)] {
            assert_eq!(pauses(server(), &bytes, max_frames), expected, "{max_frames} frames");
            assert_eq!(pauses(server().stream_messages(1 << 20), &bytes, max_frames), expected, "streaming");
        }
    }
    for (version, discarded) in [(Version::Hixie75, &b"\x01\xFF"[..]), (Version::Hybi00, b"\x80\x01x")] {
        let bytes = [&discarded.repeat(999)[..], b"\0end\xFF"].concat();
        assert_eq!(pauses(receiver(version, Role::Server), &bytes, 100), 9);
    }
    // Messages are events.
    assert_eq!(pauses(server(), &to_server(FIN | TEXT, b"").repeat(1000), 1), 0);
}

/// Empty fragments of a long message in pieces make no event either.
#[test]
fn pauses_between_the_pieces_of_a_message() {
    let bytes = [&to_server(BINARY, b"")[..], &fragments(CONTINUATION, b"", 1000)].concat();
    assert_eq!(pauses(server().stream_messages(0), &bytes, 100), 10);
}

#[test]
#[cfg(feature = "deflate")]
fn pauses_after_each_compressed_fragment() {
    use crate::common::deflate;
    let codecs = deflate::codecs();
    let mut sender = deflate::sender(Role::Server, deflate::no_takeover(), &codecs);
    sender.binary(&[7; 1 << 20], None).unwrap();
    let mut sent = Vec::new();
    sender.write_to(&mut sent).unwrap();
    let (_, payload) = deflate::frames(&sent);
    let mut bytes = Vec::new();
    let parts: Vec<_> = payload.chunks(payload.len().div_ceil(10)).collect();
    for (index, part) in parts.iter().enumerate() {
        let first = if index == 0 { RSV1 | BINARY } else { CONTINUATION };
        bytes.extend(to_server(if index == parts.len() - 1 { FIN | first } else { first }, part));
    }
    let receiver = || deflate::receiver(Role::Server, deflate::no_takeover());
    assert!(pauses(receiver(), &bytes, 64) >= parts.len() - 2);
    assert_eq!(in_portions(&mut receiver(), &bytes, 64, false), [Got::Binary(vec![7; 1 << 20])]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pauses_change_no_event(
        version in version(), role in role(), all in prop::collection::vec(sent(), 0..6), close: bool,
        max_frames in 0u64..4, keep: bool, above in prop_oneof![Just(None), (0usize..100).prop_map(Some)]
    ) {
        let (bytes, _) = wire(version, role, &all, close && version.has_close_frame());
        let receiver = || match above {
            None => receiver(version, role),
            Some(above) => receiver(version, role).stream_messages(above),
        };
        prop_assert_eq!(in_portions(&mut receiver(), &bytes, max_frames, keep), feed(&mut receiver(), &bytes));
    }

    #[test]
    fn pauses_change_no_error(
        version in version(), role in role(), bytes in garbage(), max_frames in 0u64..4, keep: bool,
        limit in prop_oneof![Just(1usize << 20), 0usize..100], fragments in 0u32..5
    ) {
        let limits = Limits::default().max_frame_size(limit).max_message_size(2 * limit).max_fragments(fragments);
        let receiver = || Receiver::new(version, role, limits);
        prop_assert_eq!(in_portions(&mut receiver(), &bytes, max_frames, keep), feed(&mut receiver(), &bytes));
    }
}
