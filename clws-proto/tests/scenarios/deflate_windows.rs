//! References stay within the agreed window, for each window size and level. The inflater of the
//! tests measures them.
#![cfg(feature = "deflate")]

use crate::common;
use crate::common::deflate::{Strict, frames, sender};
use crate::common::*;
use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Role};

/// Messages with repetitions at every distance.
fn messages() -> Vec<Vec<u8>> {
    let mut random = 1u32;
    let mut next = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random >> 16
    };
    let words: Vec<Vec<u8>> =
        (0..200).map(|_| (0..4 + next() % 9).map(|_| b'a' + (next() % 26) as u8).collect()).collect();
    let text = |len: usize| {
        let mut message = Vec::new();
        while message.len() < len {
            message.extend_from_slice(&words[next() as usize % words.len()]);
        }
        message
    };
    [1, 30, 300, 600, 3000, 1200, 10_000, 25_000, 40].into_iter().map(text).collect()
}

fn params(bits: u8, takeover: bool) -> DeflateParams {
    DeflateParams::default().server_max_window_bits(bits).server_no_context_takeover(!takeover)
}

#[test]
fn no_reference_exceeds_the_window() {
    let messages = messages();
    for bits in 9..=15 {
        for level in [1, 2, 3, 6, 7, 9] {
            // zlib-rs has four algorithms, which start at levels 1, 2, 3 and 7
            for takeover in [false, true] {
                let config = DeflateConfig::default().threshold(0).level(level);
                let mut server = sender(Role::Server, params(bits, takeover), &CodecPool::new(&config));
                let mut peer = Strict::default();
                for message in &messages {
                    server.binary(message, None).unwrap();
                    let (firsts, payload) = frames(&drain(&mut server));
                    if firsts[0] & RSV1 == 0 {
                        assert_eq!(payload, *message, "sent uncompressed");
                    } else {
                        assert!(takeover || payload.len() < message.len());
                        assert!(peer.message(&payload, takeover) == *message, "{bits} bits, level {level}");
                    }
                }
                assert!(peer.furthest <= 1 << bits, "{} of {bits} bits, level {level}", peer.furthest);
                assert!(peer.furthest > 1 << (bits - 2), "{} uses too little of {bits} bits", peer.furthest);
            }
        }
    }
}

/// zlib has no window of 256 bytes, so messages for this window are sent uncompressed.
#[test]
fn with_8_bits_nothing_is_compressed() {
    let mut server = sender(Role::Server, params(8, true), &common::deflate::codecs());
    server.text(&"la ".repeat(100), None).unwrap();
    assert_eq!(server.queued(), 4 + 300);
    assert_eq!(server.context_size(), 0);
    // A receiver treats 8 bits like 9.
    let agreed = DeflateParams::default().client_max_window_bits(8);
    let mut client = sender(Role::Client, agreed.client_max_window_bits(9), &common::deflate::codecs());
    let mut receiver = common::deflate::receiver(Role::Server, agreed);
    for _ in 0..5 {
        client.text(&"la ".repeat(300), None).unwrap();
        assert_eq!(feed(&mut receiver, &drain(&mut client)), [text(&"la ".repeat(300))]);
    }
}

/// A compressor gives the same result if other connections used it in between.
#[test]
fn compressors_are_interchangeable_between_connections() {
    let messages = messages();
    let config = DeflateConfig::default().threshold(0);
    for kept in [0, 1, 2, 8] {
        let shared = CodecPool::with_kept(&config, kept);
        let mut servers: Vec<_> = (0..4).map(|_| sender(Role::Server, params(12, true), &shared)).collect();
        let mut peers: Vec<_> = (0..4).map(|_| Strict::default()).collect();
        for (turn, message) in messages.iter().cycle().take(60).enumerate() {
            let index = turn * 7 % 5 % 4;
            servers[index].binary(message, None).unwrap();
            let (firsts, payload) = frames(&drain(&mut servers[index]));
            if firsts[0] & RSV1 != 0 {
                assert!(peers[index].message(&payload, true) == *message, "turn {turn}, {kept} kept");
            }
        }
        assert!(peers.iter().all(|peer| peer.furthest <= 1 << 12));
    }
}
