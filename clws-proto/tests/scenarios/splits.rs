//! A stream gives the same events however it is split into reads, and wherever the reader stops. A
//! valid stream gives the intended events, for every version and role. Garbage gives the events of
//! one large read.

use crate::common::*;
use clws_proto::{Limits, Receiver, Role, Version};
use proptest::collection::vec;
use proptest::prelude::*;

/// A message or frame of a peer, which is one event or none.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// A text or binary message, split into frames at `cuts`, with control frames at the cuts.
    Message {
        text: bool,
        payload: Vec<u8>,
        cuts: Vec<usize>,
        between: Vec<(bool, Vec<u8>)>,
    },
    Control(bool, Vec<u8>),
    /// Draft 0 and hixie-75 only: a frame of this type, which is discarded.
    Discarded(u8, Vec<u8>),
}

fn text_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        vec(prop::sample::select(vec!['a', 'é', '水', '😀']), 0..300)
            .prop_map(|chars| chars.into_iter().collect::<String>().into_bytes()),
    ]
}

fn control() -> impl Strategy<Value = (bool, Vec<u8>)> {
    (any::<bool>(), vec(any::<u8>(), 0..=125))
}

pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    let payload = prop_oneof![
        text_bytes().prop_map(|payload| (true, payload)),
        vec(any::<u8>(), 0..400).prop_map(|payload| (false, payload)),
    ];
    prop_oneof![
        4 => (payload, vec(any::<prop::sample::Index>(), 0..4), vec(control(), 0..3)).prop_map(
            |((text, payload), cuts, between)| {
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
                cuts.sort_unstable();
                Sent::Message { text, payload, cuts, between }
            }
        ),
        1 => control().prop_map(|(ping, payload)| Sent::Control(ping, payload)),
        1 => (1u8..=0xFF, vec(0u8..0xFF, 0..300)).prop_map(|(kind, data)| Sent::Discarded(kind, data)),
    ]
}

fn control_frame(ping: bool, payload: &[u8], to: Role) -> (Vec<u8>, Got) {
    let payload = payload.to_vec();
    match ping {
        true => (frame(FIN | PING, &payload, to), Got::Ping(payload)),
        false => (frame(FIN | PONG, &payload, to), Got::Pong(payload)),
    }
}

/// The bytes of these messages and frames, and the intended events.
pub(crate) fn wire(version: Version, to: Role, all: &[Sent], close: bool) -> (Vec<u8>, Vec<Got>) {
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    let hixie = version.is_hixie();
    for one in all {
        match one {
            Sent::Message { text: true, payload, .. } if hixie => {
                bytes.push(0x00);
                bytes.extend_from_slice(payload);
                bytes.push(0xFF);
                events.push(text(std::str::from_utf8(payload).unwrap()));
            }
            Sent::Discarded(kind @ ..0x80, data) if hixie => {
                bytes.push(*kind);
                bytes.extend_from_slice(data);
                bytes.push(0xFF);
            }
            Sent::Discarded(kind, data)
                if hixie && !(version.has_close_frame() && *kind == 0xFF && data.is_empty()) =>
            {
                bytes.push(*kind);
                let len = u16::try_from(data.len()).unwrap();
                bytes.push(0x80 | u8::try_from(len >> 7).unwrap());
                bytes.push(u8::try_from(len & 0x7F).unwrap());
                bytes.extend_from_slice(data);
            }
            _ if hixie => {}
            Sent::Message { text: is_text, payload, cuts, between } => {
                let mut opcode = if *is_text { TEXT } else { BINARY };
                let mut start = 0;
                let mut between = between.iter();
                for cut in cuts {
                    bytes.extend(frame(opcode, &payload[start..*cut], to));
                    (opcode, start) = (CONTINUATION, *cut);
                    if let Some((ping, payload)) = between.next() {
                        let (frame, event) = control_frame(*ping, payload, to);
                        bytes.extend(frame);
                        events.push(event);
                    }
                }
                bytes.extend(frame(FIN | opcode, &payload[start..], to));
                events.push(match is_text {
                    true => text(std::str::from_utf8(payload).unwrap()),
                    false => Got::Binary(payload.clone()),
                });
            }
            Sent::Control(ping, payload) => {
                let (frame, event) = control_frame(*ping, payload, to);
                bytes.extend(frame);
                events.push(event);
            }
            Sent::Discarded(..) => {}
        }
    }
    if !version.has_close_frame() {
        // There is no close frame.
    } else if close && hixie {
        bytes.extend_from_slice(&[0xFF, 0x00, 0x00, b'x', 0xFF]);
        events.push(Got::Close(None));
    } else if close {
        bytes.extend(frame(FIN | CLOSE, b"\x03\xe8bye", to));
        bytes.extend(frame(FIN | TEXT, b"ignored", to));
        events.push(Got::Close(Some((1000, "bye".into()))));
    }
    (bytes, events)
}

/// Feeds pieces of these sizes in turn. Pulls at most this many events from each read.
pub(crate) fn in_pieces(
    receiver: &mut Receiver,
    mut bytes: &[u8],
    sizes: &[usize],
    pulls: &[usize],
) -> Vec<Got> {
    let mut found = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut pulls = pulls.iter().cycle();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at((*sizes.next().unwrap()).min(bytes.len()));
        bytes = rest;
        let mut piece = piece.to_vec();
        let mut events = receiver.receive(&mut piece);
        found.extend(std::iter::from_fn(|| pull(&mut events)).take(*pulls.next().unwrap()));
        drop(events);
        piece.fill(0xAA); // the caller may reuse its buffer
    }
    while receiver.has_unread() {
        let mut events = receiver.receive(&mut []);
        let before = found.len();
        found.extend(std::iter::from_fn(|| pull(&mut events)).take((*pulls.next().unwrap()).max(1)));
        drop(events);
        assert!(found.len() > before || !receiver.has_unread(), "each read gives an event or is the last");
    }
    found
}

pub(crate) fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

pub(crate) fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![Role::Server, Role::Client])
}

pub(crate) fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1usize..4, 1..8), vec(1usize..200, 1..8), vec(1usize..5000, 1..3)]
}

/// The number of events to pull from each read: all, or few.
pub(crate) fn pulls() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![usize::MAX]), vec(0usize..3, 1..5)]
}

/// Bytes that are sometimes valid frames.
pub(crate) fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let first =
        prop::sample::select(vec![0x81, 0x01, 0x80, 0x00, 0x82, 0x02, 0x89, 0x8A, 0x88, 0xC1, 0xFF, 0x7F]);
    let piece = prop_oneof![
        6 => (first.clone(), vec(any::<u8>(), 0..20)).prop_map(|(first, data)| to_server(first, &data)),
        4 => (first, text_bytes()).prop_map(|(first, data)| frame(first, &data, Role::Client)),
        1 => vec(any::<u8>(), 0..20),
        1 => any::<u64>().prop_map(|len| header(0x82, len, Role::Server)),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_stream_gives_the_intended_events(
        version in version(), role in role(), all in vec(sent(), 0..6), close: bool, sizes in sizes(), pulls in pulls()
    ) {
        let close = close && version.has_close_frame();
        let (bytes, expected) = wire(version, role, &all, close);
        prop_assert_eq!(&events(version, role, &bytes), &expected);
        let mut receiver = receiver(version, role);
        prop_assert_eq!(in_pieces(&mut receiver, &bytes, &sizes, &pulls), expected);
        prop_assert_eq!((receiver.held(), receiver.has_unread(), receiver.is_finished()), (0, false, close));
        prop_assert!(receiver.is_between_messages());
    }

    #[test]
    fn garbage_gives_the_events_of_one_read(
        version in version(), role in role(), bytes in garbage(), sizes in sizes(), pulls in pulls(),
        limit in prop_oneof![Just(1usize << 20), 0usize..100], fragments in 0u32..5
    ) {
        let limits = Limits::default()
            .max_frame_size(limit)
            .max_message_size(limit.saturating_mul(2))
            .max_fragments(fragments);
        let expected = feed(&mut Receiver::new(version, role, limits), &bytes);
        let mut receiver = Receiver::new(version, role, limits);
        prop_assert_eq!(in_pieces(&mut receiver, &bytes, &sizes, &pulls), expected);
    }
}
