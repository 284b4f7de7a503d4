//! Hostile compressed bytes over real sockets, with and without context takeover: corrupt messages,
//! bombs, and connections that end within a message. Meanwhile other clients exchange compressed
//! echoes. One test checks on the wire that the server compresses as it has negotiated.
#![cfg(feature = "deflate")]

use std::io::Write;
use std::sync::Arc;

use crate::ALLOCATOR;
use crate::common::Running;
use crate::common::client::compress_all;
use crate::common::flood::Echo;
use crate::common::hostile::{assert_closed_with, while_memory_is_bounded};
use crate::common::wire::{BINARY, PING, TEXT, Wire, dial, frame, raw_frame, request};
use clws_proto::{CodecPool, DeflateParams, Sender};
use clws_server::{Config, DeflateConfig, Version};

in_both_modes_in_own_process!(
    invalid_messages_get_their_close_code,
    bombs_are_refused_at_the_limit,
    ends_within_a_message_do_not_affect_others,
    the_server_compresses_as_negotiated,
);

/// The first byte of a compressed text.
const COMPRESSED: u8 = 0xC1;
/// "Hello", RFC 7692 §7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// A reference to a "Hello" before it, RFC 7692 §7.2.3.2.
const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];
/// The same in a last block, which is followed by an empty one, RFC 7692 §7.2.3.4.
const FINAL_HELLO: [u8; 8] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
/// A stored block without content.
const EMPTY_BLOCK: [u8; 5] = [0x00, 0x00, 0x00, 0xff, 0xff];

/// A client that offers permessage-deflate with these parameters.
fn connect(server: &Running, parameters: &str) -> Wire {
    let mut client = Wire { socket: dial(&server.addresses[0]) };
    let offer = format!("\r\nSec-WebSocket-Extensions: permessage-deflate{parameters}\r\n\r\n");
    client.raw(request("/").replace("\r\n\r\n", &offer).as_bytes());
    let head = client.head();
    assert!(head.contains("\r\nSec-WebSocket-Extensions: permessage-deflate"), "{head}");
    client
}

fn with_deflate(config: &Config, takeover: bool) -> Config {
    config.clone().deflate(Some(DeflateConfig::default().context_takeover(takeover)))
}

/// The payload of a compressed message.
fn compress(message: &[u8]) -> Vec<u8> {
    let sender = Sender::client(Version::Rfc6455, || [0; 4]);
    let mut sender = sender.deflate(DeflateParams::default(), &CodecPool::new(&compress_all()));
    sender.binary(message, None).unwrap();
    let mut bytes = Vec::new();
    sender.write_to(&mut bytes).unwrap();
    let header = if bytes[1] & 0x7F == 126 { 8 } else { 6 };
    bytes.split_off(header)
}

fn invalid_messages_get_their_close_code(config: Config) {
    const MEMORY: usize = 4 << 20;

    let good = raw_frame(COMPRESSED, &HELLO);
    let fragment = raw_frame(0x41, &HELLO[..3]);
    let fragments = raw_frame(0, b"").repeat(1001);
    let cases = [
        ("RSV1 on a ping", raw_frame(0xC0 | PING, b"x"), 1002),
        ("RSV1 on a continuation", [&fragment[..], &raw_frame(0xC0, &HELLO[3..])].concat(), 1002),
        ("a block of the reserved type", raw_frame(COMPRESSED, &[0x06]), 1007),
        ("a corrupt fragment", raw_frame(0x41, &[0x06; 10]), 1007),
        ("a message that is cut off", [&fragment[..], &raw_frame(0x80, b"")].concat(), 1007),
        ("text that is not UTF-8", raw_frame(COMPRESSED, &compress(b"ok \xFF")), 1007),
        ("a thousand fragments", [&fragment[..], &fragments].concat(), 1008),
    ];
    for takeover in [false, true] {
        let config = with_deflate(&config, takeover).max_fragments(1000);
        while_memory_is_bounded(&ALLOCATOR, MEMORY, config, |server| {
            for (name, bytes, code) in &cases {
                assert_closed_with(connect(server, ""), name, bytes, Some(*code));
            }
            assert_closed_with(Wire::connect(server, "/"), "no negotiation", &good, Some(1002));

            // Valid messages of unusual form: their echoes are too short to be compressed.
            let mut client = connect(server, "");
            client.raw(&raw_frame(COMPRESSED, &FINAL_HELLO).repeat(2));
            client.raw(&raw_frame(COMPRESSED, &[&EMPTY_BLOCK.repeat(1000)[..], &[0]].concat()));
            client.raw(&[&fragment[..], &frame(PING, b"?"), &raw_frame(0x80, &HELLO[3..])].concat());
            client.raw(&raw_frame(COMPRESSED, &AGAIN));
            let hello = Some((TEXT, b"Hello".to_vec()));
            assert_eq!([client.next(), client.next()], [hello.clone(), hello.clone()]);
            assert_eq!(client.next(), Some((TEXT, Vec::new())));
            assert_eq!(client.next().unwrap().1, b"?");
            assert_eq!(client.next(), hello);
            if takeover {
                assert_eq!(client.next(), hello);
            } else {
                assert_eq!(client.close_code(), Some(1007), "there is nothing to refer to");
            }
        });
    }
}

/// Eight clients send 64 MiB of zeros in 64 KiB each. Each stops at three quarters of the limit.
/// When all have stopped, they send the rest one after another.
fn bombs_are_refused_at_the_limit(config: Config) {
    const LIMIT: usize = 1 << 20;
    // For each client the part up to the limit, in a buffer that has doubled, and a decompressor.
    const MEMORY: usize = 8 * (2 * LIMIT + (128 << 10)) + (4 << 20);

    let mebibyte = compress(&vec![0; 1 << 20]);
    let bomb = [&mebibyte[..], &[0x00, 0x00, 0xff, 0xff]].concat().repeat(64);
    let after_empty_blocks = [&EMPTY_BLOCK.repeat(1000)[..], &bomb].concat();
    let mut pieces = bomb.chunks(100);
    let mut fragments = raw_frame(0x42, pieces.next().unwrap());
    pieces.for_each(|piece| fragments.extend(raw_frame(0, piece)));
    let bombs = [
        (raw_frame(0xC0 | BINARY, &bomb), 0),
        (raw_frame(COMPRESSED, &bomb), 0),
        (fragments, 0),
        (raw_frame(COMPRESSED, &after_empty_blocks), 5000),
    ];
    for takeover in [false, true] {
        let config = with_deflate(&config, takeover).max_read_message_size(LIMIT);
        while_memory_is_bounded(&ALLOCATOR, MEMORY, config, |server| {
            let mut clients: Vec<_> = bombs
                .iter()
                .cycle()
                .take(8)
                .map(|(bytes, before)| {
                    let mut client = connect(server, "");
                    let (begin, rest) = bytes.split_at(before + mebibyte.len() / 4 * 3);
                    client.raw(begin);
                    (client, rest)
                })
                .collect();
            for (client, rest) in &mut clients {
                let _ = client.socket.write_all(rest); // the server may close before their end
                assert_eq!(client.close_code(), Some(1009));
                assert_eq!(client.next(), None);
            }
            // A message of exactly the limit is no bomb.
            let mut client = connect(server, "");
            client.raw(&raw_frame(0xC0 | BINARY, &mebibyte));
            assert_eq!(client.next().unwrap().0, BINARY);
        });
    }
}

/// Other clients get their codecs.
fn ends_within_a_message_do_not_affect_others(config: Config) {
    const MEMORY: usize = 4 << 20;

    let text: String = (0..2000).map(|number| format!("{} ", number * 7919 % 10_007)).collect();
    let message = raw_frame(COMPRESSED, &compress(text.as_bytes()));
    for takeover in [false, true] {
        let config = with_deflate(&config, takeover);
        while_memory_is_bounded(&ALLOCATOR, MEMORY, config, |server| {
            for part in 0..20 {
                let mut client = connect(server, "");
                client.raw(&message[..message.len() * part / 20]);
                client.reset();
            }
        });
    }
}

/// Incompressible bytes.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Noise that repeats after 2,000 bytes shrinks by half if the window is large enough. Noise of an
/// earlier message shrinks to a few bytes if the context is kept.
fn the_server_compresses_as_negotiated(config: Config) {
    let (noise, default) = (noise(2000), DeflateConfig::default());
    let messages = [noise.repeat(2), noise.clone(), vec![b'x'; 511], vec![b'x'; 512]];
    for (ours, offer, [is_near, is_kept]) in [
        (default, "", [true, false]),
        (default.max_window_bits(10), "", [false, false]),
        (default.max_window_bits(12), "", [true, false]),
        (default, "; server_max_window_bits=10", [false, false]),
        (default.context_takeover(true), "", [true, true]),
        (default.context_takeover(true), "; server_no_context_takeover", [true, false]),
        (
            default.context_takeover(true),
            "; client_no_context_takeover; client_max_window_bits=9",
            [true, true],
        ),
        (default.context_takeover(true).max_window_bits(9), "; client_max_window_bits", [false, false]),
    ] {
        let server = Running::start(config.clone().deflate(Some(ours)), Arc::new(Echo));
        let mut client = connect(&server, offer);
        let lengths = messages.each_ref().map(|message| {
            client.send(BINARY, message);
            client.next().unwrap().1.len()
        });
        assert_eq!(lengths[0] < 2200, is_near, "{lengths:?} for {ours:?} and {offer:?}");
        assert_eq!(lengths[1] < 100, is_kept, "{lengths:?} for {ours:?} and {offer:?}");
        assert!(lengths[2] == 511 && lengths[3] < 100, "the threshold is 512: {lengths:?}");
    }
}
