//! The cost that a peer can cause. Limits apply to a message while it inflates, a declared length
//! allocates nothing, and a finished connection keeps no decompressor.
#![cfg(feature = "deflate")]
#![allow(clippy::disallowed_methods, reason = "test code")]

use crate::common::deflate::{codecs, frames, no_takeover, sender};
use crate::common::*;
use clws_proto::{
    CloseCode, CodecPool, DeflateConfig, DeflateParams, Limits, ProtocolError, Receiver, Role, Version,
};

/// An upper bound for a decompressor, its output buffer and the rest of a receiver.
const INFLATER: usize = 64 * 1024;

fn server(limits: Limits, params: DeflateParams, codecs: &CodecPool) -> Receiver {
    Receiver::new(Version::Rfc6455, Role::Server, limits).deflate(params, codecs)
}

/// The payload of a compressed message of `count` zeros.
fn zeros(count: usize) -> Vec<u8> {
    let mut sender = sender(Role::Server, no_takeover(), &codecs());
    sender.binary(&vec![0; count], None).unwrap();
    frames(&drain(&mut sender)).1
}

#[test]
fn a_gigabyte_of_zeros_in_a_megabyte_is_refused_at_the_limit() {
    // Repeats 64 MiB of zeros. This is valid, because the blocks refer back within a piece.
    let piece = zeros(64 << 20);
    let bomb = [&piece[..], &[0x00, 0x00, 0xff, 0xff]].concat().repeat(16);
    assert!(bomb.len() < 1_100_000, "{}", bomb.len());
    let limit = 1 << 20;
    let limits = Limits::default().max_message_size(limit);
    for read_size in [1 << 10, 64 << 10, 2 << 20] {
        for opcode in [TEXT, BINARY] {
            let codecs = codecs();
            let mut receiver = server(limits, no_takeover(), &codecs);
            let wire = to_server(FIN | RSV1 | opcode, &bomb);
            let (mut read, mut failed) = (0, None);
            for bytes in wire.chunks(read_size) {
                read += bytes.len();
                failed = feed(&mut receiver, bytes).pop();
                assert!(receiver.held() <= 2 * limit + INFLATER, "{} held", receiver.held());
                if failed.is_some() {
                    break;
                }
            }
            assert_eq!(failed, Some(Got::Failed(ProtocolError::MessageTooBig { limit })));
            assert!(read <= 2 * read_size.max(2 << 10), "refused after {read} bytes");
            assert_eq!(receiver.held(), 0);
            assert!(codecs.held() < INFLATER, "the decompressor is returned");
        }
    }
    let error = ProtocolError::MessageTooBig { limit };
    assert_eq!(error.close_code(Version::Rfc6455), CloseCode::TOO_BIG);
}

#[test]
fn the_message_limit_applies_to_the_inflated_size() {
    let limits = Limits::default().max_message_size(100_000);
    for (count, fits) in [(100_000, true), (100_001, false)] {
        let payload = zeros(count);
        let mut receiver = server(limits, no_takeover(), &codecs());
        let got = feed(&mut receiver, &to_server(FIN | RSV1 | BINARY, &payload));
        match fits {
            true => assert_eq!(got, [Got::Binary(vec![0; count])]),
            false => assert_eq!(got, [Got::Failed(ProtocolError::MessageTooBig { limit: 100_000 })]),
        }
        // The sum of the fragments counts.
        let mut receiver = server(limits, no_takeover(), &codecs());
        let (one, two) = payload.split_at(payload.len() / 2);
        let wire = [to_server(RSV1 | BINARY, one), to_server(FIN, two)].concat();
        assert_eq!(matches!(feed(&mut receiver, &wire)[..], [Got::Binary(_)]), fits);
    }
}

#[test]
fn the_frame_limit_applies_to_the_compressed_size() {
    let payload = zeros(1 << 20);
    let limits = Limits::default().max_frame_size(payload.len());
    let wire = to_server(FIN | RSV1 | BINARY, &payload);
    assert!(matches!(feed(&mut server(limits, no_takeover(), &codecs()), &wire)[..], [Got::Binary(_)]));
    let limit = payload.len() - 1;
    let limits = limits.max_frame_size(limit);
    let got = feed(&mut server(limits, no_takeover(), &codecs()), &wire);
    assert_eq!(got, [Got::Failed(ProtocolError::FrameTooBig { limit })]);
    // A frame may be longer than a message may be, if it inflates to less.
    let limits = Limits::default().max_message_size(10);
    let stored = [&[0x00, 0x00, 0x00, 0xff, 0xff].repeat(100)[..], &[0x00]].concat();
    let got = feed(&mut server(limits, no_takeover(), &codecs()), &to_server(FIN | RSV1 | BINARY, &stored));
    assert_eq!(got, [Got::Binary(vec![])]);
}

#[test]
fn compressed_fragments_are_counted() {
    let limits = Limits::default().max_fragments(3);
    let mut wire = to_server(RSV1 | TEXT, &[]);
    for _ in 0..3 {
        wire.extend(to_server(CONTINUATION, &[]));
    }
    let got = feed(&mut server(limits, no_takeover(), &codecs()), &wire);
    assert_eq!(got, [Got::Failed(ProtocolError::TooManyFragments { limit: 3 })]);
}

#[test]
fn a_declared_length_reserves_nothing() {
    let limits = Limits::default().max_frame_size(usize::MAX).max_message_size(usize::MAX);
    let mut receiver = server(limits, no_takeover(), &codecs());
    assert_eq!(feed(&mut receiver, &header(FIN | RSV1 | BINARY, 1 << 40, Role::Server)), []);
    assert!(receiver.held() < 256, "{}", receiver.held());
    assert!(
        receiver.spare_capacity(&clws_proto::buffer::NoPool).is_none(),
        "compressed bytes go to the decompressor"
    );
    // A stored block declares 65,535 bytes, and one arrives.
    let start: Vec<u8> =
        [0x00, 0xff, 0xff, 0x00, 0x00, 0x07].iter().zip(KEY.iter().cycle()).map(|(a, b)| a ^ b).collect();
    assert_eq!(feed(&mut receiver, &start), []);
    assert!(receiver.held() < INFLATER + 256, "{}", receiver.held());
}

/// More input than a receiver keeps compressed: flushes that add nothing to the message.
fn empty_blocks() -> Vec<u8> {
    [0x00, 0x00, 0x00, 0xff, 0xff].repeat(1000)
}

#[test]
fn a_dropped_connection_returns_its_decompressor() {
    let codecs = codecs();
    let mut receivers: Vec<_> = (0..5).map(|_| server(Limits::default(), no_takeover(), &codecs)).collect();
    for receiver in &mut receivers {
        // A message costs no more than the bytes received so far.
        assert_eq!(feed(receiver, &to_server(RSV1 | TEXT, &[0x00, 0x00])), []);
        assert!(receiver.held() < 1000, "{}", receiver.held());
    }
    for receiver in &mut receivers {
        assert_eq!(feed(receiver, &to_server(0, &empty_blocks()[2..])), []);
        assert!(receiver.held() > 50_000);
    }
    assert_eq!(codecs.held(), 0, "all five are in use");
    drop(receivers);
    assert!(codecs.held() >= 5 * 50_000, "{}", codecs.held());
    // The number of idle decompressors that are kept is configurable.
    let few = CodecPool::with_kept(&DeflateConfig::default(), 2);
    let mut receivers: Vec<_> = (0..5).map(|_| server(Limits::default(), no_takeover(), &few)).collect();
    for receiver in &mut receivers {
        assert_eq!(feed(receiver, &to_server(RSV1 | TEXT, &empty_blocks())), []);
    }
    drop(receivers);
    assert_eq!(few.held(), codecs.held() / 5 * 2);
}

/// Each final block resets the decompressor. If a reset cost as much as a new decompressor, this test
/// would run for many minutes.
#[test]
fn a_flood_of_final_blocks_is_cheap() {
    let mut receiver = server(Limits::default(), no_takeover(), &codecs());
    let wire = to_server(FIN | RSV1 | BINARY, &[0x03, 0x00].repeat(500_000));
    for _ in 0..10 {
        assert_eq!(feed(&mut receiver, &wire), [Got::Binary(vec![])]);
    }
}
