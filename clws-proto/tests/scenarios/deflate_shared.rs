//! Shared messages: compressed once per window size for connections without context takeover, and
//! once per connection with it.
#![cfg(feature = "deflate")]
#![allow(clippy::disallowed_methods, reason = "test code")]

use std::num::NonZeroUsize;

use crate::common::deflate::{codecs, no_takeover, noise, receiver, sender};
use crate::common::*;
use clws_proto::{DeflateParams, Role, Sender, SharedMessage, Version};

fn message() -> String {
    (0..200).map(|i| format!("{{\"id\":{i},\"state\":\"open\"}}")).collect()
}

#[test]
fn a_shared_message_is_compressed_once_per_window_size() {
    let codecs = codecs();
    let message = message();
    let shared = SharedMessage::text(message.clone());
    for round in 1..=3 {
        for bits in [15, 9, 12] {
            let params = no_takeover().server_max_window_bits(bits);
            for _ in 0..3 {
                let mut server = sender(Role::Server, params, &codecs);
                server.shared(&shared).unwrap();
                assert!(server.queued() < message.len() / 3);
                assert_eq!(feed(&mut receiver(Role::Client, params), &drain(&mut server)), [text(&message)]);
            }
        }
        assert_eq!(shared.encodings(), 3, "round {round}");
    }
    let mut plain = Sender::server(Version::Rfc6455);
    plain.shared(&shared).unwrap();
    let mut old = Sender::server(Version::Hybi00);
    old.shared(&shared).unwrap();
    assert_eq!(shared.encodings(), 5);
}

#[test]
fn compressed_bytes_are_shared() {
    let codecs = codecs();
    let four_values: Vec<u8> = noise(40_000).into_iter().map(|byte| byte & 3).collect();
    let shared = SharedMessage::binary(four_values);
    let mut senders: Vec<_> = (0..2).map(|_| sender(Role::Server, no_takeover(), &codecs)).collect();
    let addresses: Vec<_> = senders
        .iter_mut()
        .map(|sender| {
            sender.shared(&shared).unwrap();
            let mut slices = [std::io::IoSlice::new(&[])];
            sender.io_slices(&mut slices);
            slices[0].as_ptr() as usize
        })
        .collect();
    assert_eq!(addresses[0], addresses[1]);
}

#[test]
fn context_takeover_uses_the_context_of_the_connection() {
    let codecs = codecs();
    let mut ends: Vec<_> = [DeflateParams::default(), no_takeover(), DeflateParams::default()]
        .into_iter()
        .map(|params| (sender(Role::Server, params, &codecs), receiver(Role::Client, params)))
        .collect();
    ends[0].0.text(&message(), None).unwrap(); // only the first client has seen this message
    let wire = drain(&mut ends[0].0);
    feed(&mut ends[0].1, &wire);
    let shared = SharedMessage::text(message());
    let mut sizes = Vec::new();
    for (sender, receiver) in &mut ends {
        sender.shared(&shared).unwrap();
        sizes.push(sender.queued());
        assert_eq!(feed(receiver, &drain(sender)), [text(&message())]);
    }
    assert!(sizes[0] < sizes[1] / 3, "{sizes:?}");
    assert_eq!(sizes[1], sizes[2]);
    assert_eq!(shared.encodings(), 1);
}

#[test]
fn incompressible_and_small_messages_are_shared_uncompressed() {
    let shared = SharedMessage::binary(noise(3000));
    let codecs = codecs();
    let (mut one, mut plain) =
        (sender(Role::Server, no_takeover(), &codecs), Sender::server(Version::Rfc6455));
    for _ in 0..2 {
        one.shared(&shared).unwrap();
        plain.shared(&shared).unwrap();
        assert!(drain(&mut one) == drain(&mut plain));
    }
    assert_eq!(shared.encodings(), 1, "compression is tried once");
    let large = clws_proto::CodecPool::new(&clws_proto::DeflateConfig::default().threshold(5000));
    sender(Role::Server, no_takeover(), &large).shared(&SharedMessage::text("la ".repeat(300))).unwrap();
    assert_eq!(large.held(), 0, "no compressor was needed");
}

#[test]
fn fragments_are_compressed_in_both_roles() {
    let shared = SharedMessage::text(message()).frame_size(NonZeroUsize::new(100));
    for role in [Role::Server, Role::Client] {
        let mut sender = sender(role, no_takeover(), &codecs());
        sender.shared(&shared).unwrap();
        let to = if role == Role::Server { Role::Client } else { Role::Server };
        let wire = drain(&mut sender);
        assert_eq!(wire[0], RSV1 | TEXT);
        assert_eq!(feed(&mut receiver(to, no_takeover()), &wire), [text(&message())]);
    }
}

#[test]
fn concurrent_threads_compress_a_message_once() {
    let codecs = codecs();
    let shared = SharedMessage::text(message().repeat(50));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| sender(Role::Server, no_takeover(), &codecs).shared(&shared).unwrap());
        }
    });
    assert_eq!(shared.encodings(), 1);
}
