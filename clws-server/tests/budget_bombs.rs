//! A hundred clients that send 15 KiB each, of which 15 MiB are inflated, and never end their messages.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;

use clws_handshake::client::ClientRequest;
use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Sender};
use clws_server::{Config, Version};
use common::memory::{LIMIT, UNUSED, Watch, assert_all_is_free, limited};
use common::{Probe, Running, Seen};

in_both_modes!(messages_in_progress_are_bounded_together);

const BOMB: usize = 15 << 20;
const BOMBS: u64 = 100;
/// So many of them fit into the limit.
const FIT: u64 = 4;

/// A frame that inflates to most of a message, which goes on.
fn bomb() -> Vec<u8> {
    let codecs = CodecPool::new(&DeflateConfig::default());
    let mut sender =
        Sender::client(Version::Rfc6455, || [1, 2, 3, 4]).with_deflate(DeflateParams::default(), &codecs);
    let frame = NonZeroUsize::new(14_000).unwrap();
    sender.binary(&vec![0; BOMB], Some(frame)).unwrap();
    let mut octets = Vec::new();
    sender.write_to(&mut octets).unwrap();
    octets.truncate(8 + frame.get());
    octets
}

fn connect(server: &Running) -> TcpStream {
    let url = format!("ws://{}/", server.address());
    let request = ClientRequest::new(Version::Rfc6455, &url).deflate(&DeflateConfig::default());
    let (octets, _) = request.build(&mut |random: &mut [u8]| random.fill(7)).unwrap();
    let mut stream = server.tcp();
    stream.write_all(&octets).unwrap();
    let mut answer = [0; 4096];
    let count = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.starts_with("HTTP/1.1 101") && answer.contains("permessage-deflate"), "{answer}");
    stream
}

fn messages_in_progress_are_bounded_together(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(limited(config).deflate(Some(DeflateConfig::default())), probe);
    let watch = Watch::new(&server.handle);
    let mut small = server.connect(Version::Rfc6455, "/");
    let bomb = bomb();

    let bombers: Vec<_> = (0..BOMBS)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(&bomb).unwrap();
            small.assert_echo("undisturbed");
            stream
        })
        .collect();
    common::eventually("most are dropped", || {
        small.assert_echo("undisturbed");
        server.handle.dropped_for_memory() >= BOMBS - FIT - 1
    });
    // Each thread may have inflated one before it looked.
    assert!(watch.most() <= LIMIT + 3 * BOMB + UNUSED, "{}", watch.most());
    assert!(server.handle.buffered() <= LIMIT + UNUSED, "{}", server.handle.buffered());

    let mut told = 0;
    common::eventually("the resource is told of each", || {
        told += diary.count(|seen| match seen {
            Seen::Gone { code, cause, .. } => {
                assert_eq!((*code, cause.as_str()), (1006, "held too much memory"));
                true
            }
            _ => false,
        });
        told as u64 == server.handle.dropped_for_memory()
    });
    assert!(server.handle.dropped_for_memory() < BOMBS, "some fit in");
    small.assert_echo("to the end");
    drop((bombers, small));
    assert_all_is_free(&server);
}
