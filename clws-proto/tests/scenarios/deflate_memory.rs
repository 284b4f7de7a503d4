//! The memory that permessage-deflate adds to a connection: nothing before the first compressed
//! message, then a window of recent data, and never a compressor.
#![cfg(feature = "deflate")]

use crate::common;
use crate::common::deflate::{codecs, no_takeover, receiver, sender};
use crate::common::*;
use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Receiver, Role, Sender};

#[test]
fn a_connection_without_deflate_pays_nothing() {
    if size_of::<usize>() == 8 {
        assert!(size_of::<Receiver>() <= 40, "{}", size_of::<Receiver>());
        assert!(size_of::<Sender>() <= 24, "{}", size_of::<Sender>());
    }
    let server = Sender::server(clws_proto::Version::Rfc6455);
    assert_eq!((server.context_size(), common::server().context_size()), (0, 0));
}

#[test]
fn a_context_begins_with_the_first_compressed_message() {
    let config = DeflateConfig::default().threshold(100);
    let codecs = CodecPool::new(&config);
    let params = DeflateParams::default();
    let (mut server, mut client) = (sender(Role::Server, params, &codecs), receiver(Role::Client, params));
    let mut exchange = |message: &str| {
        server.text(message, None).unwrap();
        assert_eq!(feed(&mut client, &drain(&mut server)), [text(message)]);
        (server.context_size(), client.context_size())
    };
    assert_eq!(exchange("short"), (0, 0));
    assert_eq!(codecs.held(), 0, "no compressor was created");
    assert_eq!(exchange(&"x".repeat(100)), (100, 100));
    assert_eq!(exchange("short"), (100, 100));
    let (one, two) = exchange(&"y".repeat(60_000));
    assert!(one <= 40 * 1024 && two <= 40 * 1024, "32 KiB plus a quarter: {one}, {two}");
    assert!(one >= 32 * 1024 && two >= 32 * 1024);
    for i in 0..2000 {
        let (one, two) = exchange(&format!("{i}").repeat(40));
        assert!(one <= 40 * 1024 && two <= 40 * 1024, "{one}, {two}");
    }
}

#[test]
fn the_window_bounds_the_context() {
    for bits in 9..=15 {
        let params = DeflateParams::default().server_max_window_bits(bits).client_max_window_bits(bits);
        let (mut server, mut client) =
            (sender(Role::Server, params, &codecs()), receiver(Role::Client, params));
        for i in 0..100 {
            server.text(&format!("{i} {}", i * 7919).repeat(i), None).unwrap();
            feed(&mut client, &drain(&mut server));
            let most = (1 << bits) * 5 / 4;
            assert!(server.context_size() <= most && client.context_size() <= most);
        }
        assert!(server.context_size() >= 1 << bits);
    }
}

#[test]
fn without_takeover_no_context_remains() {
    let codecs = codecs();
    let (mut server, mut client) =
        (sender(Role::Server, no_takeover(), &codecs), receiver(Role::Client, no_takeover()));
    for _ in 0..10 {
        server.text(&"la ".repeat(1000), None).unwrap();
        feed(&mut client, &drain(&mut server));
        assert_eq!((server.context_size(), client.context_size(), client.held()), (0, 0, 0));
    }
}

#[test]
fn a_thousand_connections_share_a_few_compressors() {
    let codecs = codecs();
    let one = {
        let other = common::deflate::codecs();
        sender(Role::Server, no_takeover(), &other).text(&"la ".repeat(50), None).unwrap();
        other.held()
    };
    assert!((350_000..420_000).contains(&one), "{one}");
    let mut servers: Vec<_> =
        (0..1000).map(|_| sender(Role::Server, DeflateParams::default(), &codecs)).collect();
    for _ in 0..3 {
        for server in &mut servers {
            server.text(&"la ".repeat(50), None).unwrap();
        }
    }
    assert!(codecs.held() <= 8 * one, "{}", codecs.held());
    let contexts: usize = servers.iter().map(Sender::context_size).sum();
    assert_eq!(contexts, 1000 * 600, "each context has its messages, in a buffer that doubled");
    let small = CodecPool::new(&DeflateConfig::default().threshold(0).memory_level(1));
    sender(Role::Server, no_takeover().server_max_window_bits(9), &small)
        .text(&"la ".repeat(50), None)
        .unwrap();
    assert!(small.held() < 150_000, "{}", small.held());
}

#[test]
fn receivers_and_senders_can_move_between_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Receiver>();
    send::<Sender>();
    sync::<Receiver>();
    send::<CodecPool>();
    sync::<CodecPool>();
}
