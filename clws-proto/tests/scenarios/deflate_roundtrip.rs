//! One role deflates and the other inflates, for any messages, parameters and reads.
#![cfg(feature = "deflate")]

use std::num::NonZeroUsize;

use crate::common;
use crate::common::deflate::{codecs, receiver, sender};
use crate::common::*;
use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Role};
use proptest::prelude::*;

/// Messages that resemble each other, and random bytes.
pub(crate) fn message() -> impl Strategy<Value = Got> {
    prop_oneof![
        "[a-e ]{0,40}".prop_map(Got::Text),
        "(tick|bid|ask|[0-9]){0,500}".prop_map(Got::Text),
        "\\PC{0,60}".prop_map(Got::Text),
        prop::collection::vec(any::<u8>(), 0..3000).prop_map(Got::Binary),
        (any::<u8>(), 0usize..100_000).prop_map(|(byte, count)| Got::Binary(vec![byte; count])),
    ]
}

pub(crate) fn params() -> impl Strategy<Value = DeflateParams> {
    (8u8..=15, 8u8..=15, any::<bool>(), any::<bool>()).prop_map(
        |(server, client, server_alone, client_alone)| {
            DeflateParams::default()
                .server_max_window_bits(server)
                .client_max_window_bits(client)
                .server_no_context_takeover(server_alone)
                .client_no_context_takeover(client_alone)
        },
    )
}

pub(crate) fn config() -> impl Strategy<Value = DeflateConfig> {
    (1u8..=9, 1u8..=9, 0usize..300).prop_map(|(level, memory_level, threshold)| {
        DeflateConfig::default().level(level).memory_level(memory_level).threshold(threshold)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn deflated_messages_inflate_in_the_other_role(
        messages in prop::collection::vec(message(), 1..12),
        params in params(), config in config(), kept in 0usize..3, to_server: bool,
        frame_size in prop::option::of(1usize..2000), size in 1usize..5000,
    ) {
        let (from, to) = if to_server { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let mut sender = sender(from, params, &CodecPool::with_kept(&config, kept));
        let mut receiver = receiver(to, params);
        let frame_size = frame_size.and_then(NonZeroUsize::new);
        for message in &messages {
            match message {
                Got::Text(text) => sender.text(text, frame_size).unwrap(),
                Got::Binary(bytes) => sender.binary(bytes, frame_size).unwrap(),
                _ => {}
            }
        }
        let wire = drain(&mut sender);
        let got: Vec<_> = wire.chunks(size).flat_map(|piece| feed(&mut receiver, piece)).collect();
        prop_assert!(got == messages);
        prop_assert_eq!(receiver.held(), 0);
        let window = |bits: u8| (1usize << bits.max(9)) * 5 / 4;
        let (bits, alone) = if to_server {
            (params.client_max_window_bits, params.client_no_context_takeover)
        } else {
            (params.server_max_window_bits, params.server_no_context_takeover)
        };
        let most = if alone { 0 } else { window(bits) };
        prop_assert!(sender.context_size() <= most && receiver.context_size() <= most);
    }

    /// Two servers and their clients take turns with the same codecs.
    #[test]
    fn connections_that_share_codecs_do_not_mix(
        messages in prop::collection::vec((any::<bool>(), "(tick|bid|ask|[0-9]){0,300}"), 1..30),
        params in params(), kept in 0usize..3,
    ) {
        let codecs = CodecPool::with_kept(&DeflateConfig::default().threshold(0), kept);
        let mut ends = [0, 1].map(|_| (sender(Role::Server, params, &codecs), receiver(Role::Client, params)));
        for (second, message) in &messages {
            let (sender, receiver) = &mut ends[usize::from(*second)];
            sender.text(message, None).unwrap();
            prop_assert_eq!(feed(receiver, &drain(sender)), [text(message)]);
        }
    }
}

#[test]
fn large_messages_arrive_intact() {
    let lines: String =
        (0..40_000).map(|i| format!("{{\"id\":{i},\"name\":\"user {}\"}}\n", i * 7919 % 1000)).collect();
    for params in [DeflateParams::default(), common::deflate::no_takeover()] {
        let mut sender = sender(Role::Server, params, &codecs());
        let mut receiver = receiver(Role::Client, params);
        for _ in 0..2 {
            sender.text_owned(lines.clone()).unwrap();
            sender.binary_owned(lines.clone().into_bytes()).unwrap();
            assert!(sender.queued() < lines.len() / 2);
            let wire = drain(&mut sender);
            let got: Vec<_> = wire.chunks(60_000).flat_map(|piece| feed(&mut receiver, piece)).collect();
            assert!(got == [text(&lines), Got::Binary(lines.clone().into_bytes())]);
        }
    }
}
