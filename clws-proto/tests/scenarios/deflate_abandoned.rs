//! A message that does not shrink is sent uncompressed, and does not affect later messages of its
//! compressor.
#![cfg(feature = "deflate")]

use crate::common;
use crate::common::deflate::{no_takeover, noise, receiver, sender};
use crate::common::*;
use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Role, SharedMessage};

#[test]
fn the_next_message_through_the_compressor_is_intact() {
    let prose = "It was a bright cold day in April, and the clocks were striking thirteen. ".repeat(200);
    let noise = noise(200_000);
    for level in 1..=9 {
        // The algorithm of level 1 once did not emit all data, so it is tested with more lengths.
        let (memory_levels, step): (&[_], _) = if level == 1 { (&[1, 2, 8], 12_107) } else { (&[8], 60_107) };
        for &memory_level in memory_levels {
            let config = DeflateConfig::default().level(level).memory_level(memory_level);
            for params in [no_takeover(), DeflateParams::default()] {
                let codecs = CodecPool::with_kept(&config.threshold(0), 1);
                // The step has no factor in common with the sizes of zlib's buffers.
                for len in (8_000..200_000).step_by(step).chain([32_994, 64_036]) {
                    let (mut incompressible, mut other) =
                        (sender(Role::Server, params, &codecs), sender(Role::Server, params, &codecs));
                    let (mut first_peer, mut second_peer) =
                        (receiver(Role::Client, params), receiver(Role::Client, params));
                    for _ in 0..2 {
                        incompressible.binary(&noise[..len], None).unwrap();
                        assert_eq!(
                            feed(&mut first_peer, &drain(&mut incompressible)),
                            [Got::Binary(noise[..len].to_vec())]
                        );
                    }
                    for text in [&prose[..1300], &prose] {
                        other.text(text, None).unwrap();
                        let bytes = drain(&mut other);
                        assert!(bytes.len() < text.len() / 2);
                        let context =
                            format!("level {level}, memory {memory_level}, {len} bytes, {params:?}");
                        assert_eq!(feed(&mut second_peer, &bytes), [common::text(text)], "{context}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_next_shared_message_is_intact() {
    let (codecs, noise) = (CodecPool::with_kept(&DeflateConfig::default().level(1), 1), noise(100_000));
    for len in (8_000..100_000).step_by(3001) {
        let mut server = sender(Role::Server, no_takeover(), &codecs);
        let mut client = receiver(Role::Client, no_takeover());
        server.shared(&SharedMessage::binary(noise[..len].to_vec())).unwrap();
        assert_eq!(feed(&mut client, &drain(&mut server)), [Got::Binary(noise[..len].to_vec())]);
        server.shared(&SharedMessage::text("again and ".repeat(4000))).unwrap();
        assert_eq!(feed(&mut client, &drain(&mut server)), [text(&"again and ".repeat(4000))]);
    }
}

#[test]
fn window_sizes_out_of_range_are_clamped() {
    let mut params = DeflateParams::default();
    (params.server_max_window_bits, params.client_max_window_bits) = (200, 16);
    let mut server = sender(Role::Server, params, &CodecPool::new(&DeflateConfig::default()));
    server.text(&"x".repeat(10_000), None).unwrap();
    assert_eq!(feed(&mut receiver(Role::Client, params), &drain(&mut server)), [text(&"x".repeat(10_000))]);
}
