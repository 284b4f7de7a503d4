//! Arbitrary bytes for a receiver of any version and role, split into reads in any way. The events
//! equal those of the reference implementation, memory is bounded, and nothing follows an error or
//! close frame.
#![no_main]

use clws_proto::{CloseCode, CodecPool, DeflateConfig, Limits, ProtocolError, Receiver, Role, Version};
use clws_proto_fuzz::{Got, Input, Random, feed, join_pieces, limits, params, pull, reference, version};
use libfuzzer_sys::fuzz_target;

/// An upper bound for a receiver's memory besides payload.
const STATE: usize = 512;

/// An upper bound for a decompressor, and the compressed start of a message.
const INFLATER: usize = 80 * 1024;

struct Setup {
    version: Version,
    role: Role,
    limits: Limits,
    deflate: Option<u8>,
}

impl Setup {
    fn receiver(&self) -> Receiver {
        let receiver = Receiver::new(self.version, self.role, self.limits);
        match self.deflate {
            Some(choice) => receiver.deflate(params(choice), &CodecPool::new(&DeflateConfig::default())),
            None => receiver,
        }
    }

    fn most_held(&self, received: usize, unread: usize) -> usize {
        let message = self.limits.max_message_size;
        match self.deflate {
            None => message.min(4 * received) + 2 * unread + STATE,
            Some(_) => message.min(1100 * received) + 2 * unread + INFLATER + STATE,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let (first, second, third, seed) = (input.byte(), input.byte(), input.byte(), input.u16());
    let setup = Setup {
        version: version(first & 0x1F),
        role: if first & 0x80 != 0 { Role::Client } else { Role::Server },
        limits: limits(second),
        deflate: (first & 0x40 != 0).then_some(third),
    };
    let wire = input.rest();
    let mut random = Random::new(u64::from(seed));

    let mut whole = Vec::new();
    feed(&mut setup.receiver(), wire, &mut whole);
    for (at, event) in whole.iter().enumerate() {
        assert!(!event.is_last() || at + 1 == whole.len(), "an event after {event:?}");
        assert_limits(&setup, event);
    }
    if setup.deflate.is_none() || !setup.version.has_extensions() {
        assert_eq!(whole, reference::events(setup.version, setup.role, &setup.limits, wire));
    }

    if wire.len() <= 2048 {
        assert_eq!(in_reads(&setup, wire, || 1), whole, "byte by byte");
    }
    assert_eq!(in_reads(&setup, wire, || random.cut()), whole, "in reads");
    assert_eq!(with_stops(&setup, wire, &mut random), whole, "with stops");
    assert_eq!(owned(&setup, wire, &mut random), whole, "in buffers given away");
    assert_eq!(streamed(&setup, wire, &mut random), whole, "in pieces");
    check_discard(&setup, wire, &whole, &mut random);
});

fn in_reads(setup: &Setup, wire: &[u8], mut cut: impl FnMut() -> usize) -> Vec<Got> {
    let (mut receiver, mut got, mut received) = (setup.receiver(), Vec::new(), 0);
    let mut rest = wire;
    while !rest.is_empty() {
        let (read, after) = rest.split_at(cut().min(rest.len()));
        rest = after;
        received += read.len();
        feed(&mut receiver, read, &mut got);
        assert!(!receiver.has_unread() && !receiver.is_close_next() && !receiver.is_ping_next());
        assert!(!receiver.is_in_message() || receiver.held() > 0);
        assert!(receiver.held() <= setup.most_held(received, 0), "{} held for {received}", receiver.held());
        let window = 1 << 15;
        assert!(receiver.context_size() <= window + window / 4);
        assert_end(&mut receiver, got.last());
    }
    got
}

/// A reader that stops before the last event, and continues later, with or without more input.
fn with_stops(setup: &Setup, wire: &[u8], random: &mut Random) -> Vec<Got> {
    let (mut receiver, mut got, mut received) = (setup.receiver(), Vec::new(), 0);
    let mut rest = wire;
    loop {
        let take = if random.below(3) == 0 { 0 } else { random.cut().min(rest.len()) };
        let (read, after) = rest.split_at(take);
        rest = after;
        received += take;
        let mut read = read.to_vec();
        let pulls = if random.below(2) == 0 { usize::MAX } else { random.below(3) };
        let mut events = receiver.receive(&mut read);
        let mut is_exhausted = false;
        for _ in 0..pulls {
            match pull(&mut events) {
                Some(event) => got.push(event),
                None => {
                    is_exhausted = true;
                    break;
                }
            }
        }
        drop(events);
        if is_exhausted {
            assert!(!receiver.has_unread(), "all events were pulled");
        }
        assert!(
            receiver.held() <= setup.most_held(received, received),
            "{} held for {received}",
            receiver.held()
        );
        assert_end(&mut receiver, got.last());
        if receiver.is_ping_next() {
            let mut events = receiver.receive(&mut []);
            assert!(events.is_ping_next());
            let event = pull(&mut events);
            drop(events);
            let is_ping = matches!(event, None | Some(Got::Ping(_) | Got::Failed(_)));
            assert!(is_ping, "{event:?} although a ping was next");
            got.extend(event);
        }
        let close_next = receiver.is_close_next();
        if close_next {
            let before = got.len();
            let mut events = receiver.receive(&mut []);
            got.extend(pull(&mut events));
            drop(events);
            let event = got.get(before);
            assert!(event.is_none_or(Got::is_last), "{event:?} although a close frame was next");
        }
        if rest.is_empty() && !receiver.has_unread() {
            return got;
        }
    }
}

/// A receiver that delivers long messages in pieces, for a reader that stops now and then. Its
/// messages are the joined pieces.
fn streamed(setup: &Setup, wire: &[u8], random: &mut Random) -> Vec<Got> {
    let above = random.below(300);
    let (mut receiver, mut got) = (setup.receiver().stream_messages(above), Vec::new());
    let mut rest = wire;
    while !rest.is_empty() || receiver.has_unread() {
        let (read, after) = rest.split_at(random.cut().min(rest.len()));
        rest = after;
        let mut read = read.to_vec();
        let mut events = receiver.receive(&mut read);
        let pulls = if random.below(4) == 0 { 1 } else { usize::MAX };
        got.extend(std::iter::from_fn(|| pull(&mut events)).take(pulls));
        drop(events);
        let most = setup.most_held(above.min(wire.len()), wire.len()) + INFLATER;
        assert!(receiver.held() <= most, "{} held", receiver.held());
        assert_end(&mut receiver, got.last());
    }
    let is_exact = setup.deflate.is_none() && !setup.version.is_hixie();
    join_pieces(got, is_exact.then_some(above)).0
}

/// BufferPool that a large message may keep, and reads directly into the receiver's buffer.
fn owned(setup: &Setup, wire: &[u8], random: &mut Random) -> Vec<Got> {
    let (mut receiver, mut got) = (setup.receiver(), Vec::new());
    let mut rest = wire;
    while !rest.is_empty() {
        if let Some(room) = receiver.spare_capacity(&clws_proto::buffer::NoPool) {
            let count = room.len().min(rest.len()).min(random.cut());
            room[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            let mut events = receiver.receive_direct(count, &clws_proto::buffer::NoPool);
            while let Some(event) = pull(&mut events) {
                got.push(event);
            }
            continue;
        }
        let take = random.cut().min(rest.len());
        let (read, after) = rest.split_at(take);
        rest = after;
        let start = random.below(3);
        let mut buffer = [&[0xAA; 2][..start], read, &[0xBB; 5][..random.below(6)]].concat();
        let mut events =
            receiver.receive_owned(&mut buffer, start..start + take, &clws_proto::buffer::NoPool);
        while let Some(event) = pull(&mut events) {
            got.push(event);
        }
    }
    got
}

/// Discarded messages are counted.
fn check_discard(setup: &Setup, wire: &[u8], whole: &[Got], random: &mut Random) {
    let (mut receiver, mut got) = (setup.receiver(), Vec::new());
    let pulls = random.below(whole.len() + 1);
    let mut read = wire.to_vec();
    let mut events = receiver.receive(&mut read);
    for _ in 0..pulls {
        got.extend(pull(&mut events));
    }
    drop(events);
    let was_finished = receiver.is_finished();
    let discarded = receiver.discard();
    let data = |events: &[Got]| events.iter().filter(|event| event.is_data()).count() as u64;
    let left = data(whole) - data(&got);
    let is_text_or_deflate_wrong = matches!(whole.last(), Some(Got::Failed(error)) if is_in_payload(error));
    if is_text_or_deflate_wrong && !was_finished {
        // Payloads of discarded messages are not checked.
        assert!(discarded >= left, "{discarded} discarded of {left}");
    } else {
        assert_eq!(discarded, left, "discarded");
    }
    assert!(receiver.is_finished() && receiver.held() == 0 && !receiver.has_unread());
}

/// Whether the error is in the payload of a message, and not in a header.
fn is_in_payload(error: &ProtocolError) -> bool {
    matches!(
        error,
        ProtocolError::InvalidUtf8 | ProtocolError::CorruptDeflate | ProtocolError::MessageTooBig { .. }
    )
}

fn assert_limits(setup: &Setup, event: &Got) {
    let len = match event {
        Got::Text(_) if setup.version.is_hixie() => 0, // replacement characters may be longer
        Got::Text(text) => text.len(),
        Got::Binary(bytes) => bytes.len(),
        Got::Piece(..) => panic!("a piece of a message"),
        Got::Ping(payload) | Got::Pong(payload) => {
            assert!(payload.len() <= 125 && !setup.version.is_hixie());
            0
        }
        Got::Close(frame) => {
            if let Some((code, reason)) = frame {
                assert!(CloseCode::new(*code).is_allowed_in(setup.version) && reason.len() <= 123);
            }
            0
        }
        Got::Failed(error) => {
            assert_close_code(setup.version, error);
            0
        }
    };
    assert!(len <= setup.limits.max_message_size);
}

/// RFC 6455 §7.4.1, and its counterparts in the drafts.
fn assert_close_code(version: Version, error: &ProtocolError) {
    let code = error.close_code(version).value();
    let expected = match error {
        ProtocolError::InvalidUtf8 | ProtocolError::InvalidCloseReason | ProtocolError::CorruptDeflate => {
            [1003, 1007, 1007]
        }
        ProtocolError::FrameTooBig { .. }
        | ProtocolError::MessageTooBig { .. }
        | ProtocolError::DiscardTooBig { .. } => [1004, 1009, 1009],
        ProtocolError::TooManyFragments { .. } => [1002, 1008, 1008],
        _ => [1002, 1002, 1002],
    };
    match version.number() {
        7 => assert_eq!(code, expected[0], "{error:?}"),
        8 => assert_eq!(code, expected[1], "{error:?}"),
        13 => assert_eq!(code, expected[2], "{error:?}"),
        _ => {}
    }
}

/// After a close frame or an error there are no events, and no memory is held.
fn assert_end(receiver: &mut Receiver, last: Option<&Got>) {
    let is_last = last.is_some_and(Got::is_last);
    assert_eq!(receiver.is_finished(), is_last);
    if is_last {
        let mut more = Vec::new();
        feed(receiver, &[0x81, 0x01, b'a', 0x00, b'a', 0xFF], &mut more);
        assert_eq!(more, []);
        assert_eq!((receiver.held(), receiver.context_size()), (0, 0));
        assert!(receiver.spare_capacity(&clws_proto::buffer::NoPool).is_none());
    }
}
