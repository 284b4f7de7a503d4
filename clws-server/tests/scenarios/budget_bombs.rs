//! A hundred clients send 15 KiB each, which inflates to 15 MiB, and never finish their messages.
#![cfg(feature = "deflate")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;

use crate::common;
use crate::common::memory::{LIMIT, MemoryWatch, UNUSED_CREDIT, assert_memory_is_free, with_memory_limit};
use crate::common::{Callback, Probe, Running};
use clws_handshake::client::ClientRequest;
use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Sender};
use clws_server::{Config, Version};

in_both_modes_in_own_process!(messages_in_progress_are_bounded_together);

const BOMB: usize = 15 << 20;
const BOMBS: u64 = 100;
/// The number of bombs that fit into the limit.
const FIT: u64 = 4;

/// A frame that inflates to most of a message. The message never ends.
fn bomb() -> Vec<u8> {
    let codecs = CodecPool::new(&DeflateConfig::default());
    let mut sender =
        Sender::client(Version::Rfc6455, || [1, 2, 3, 4]).deflate(DeflateParams::default(), &codecs);
    let frame = NonZeroUsize::new(14_000).unwrap();
    sender.binary(&vec![0; BOMB], Some(frame)).unwrap();
    let mut bytes = Vec::new();
    sender.write_to(&mut bytes).unwrap();
    bytes.truncate(8 + frame.get());
    bytes
}

fn connect(server: &Running) -> TcpStream {
    let url = format!("ws://{}/", server.address());
    let request = ClientRequest::new(Version::Rfc6455, &url).deflate(&DeflateConfig::default());
    let (bytes, _) = request.build(&mut |random: &mut [u8]| random.fill(7)).unwrap();
    let mut stream = server.tcp();
    stream.write_all(&bytes).unwrap();
    let mut answer = [0; 4096];
    let count = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.starts_with("HTTP/1.1 101") && answer.contains("permessage-deflate"), "{answer}");
    stream
}

fn messages_in_progress_are_bounded_together(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(with_memory_limit(config).deflate(Some(DeflateConfig::default())), probe);
    let watch = MemoryWatch::new(&server.handle);
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
    common::eventually("most clients are dropped", || {
        small.assert_echo("undisturbed");
        server.handle.dropped_for_memory() >= BOMBS - FIT - 1
    });
    // Each thread may inflate one bomb before it checks the limit.
    assert!(watch.max() <= LIMIT + 3 * BOMB + UNUSED_CREDIT, "{}", watch.max());
    assert!(server.handle.buffered() <= LIMIT + UNUSED_CREDIT, "{}", server.handle.buffered());

    let mut disconnected = 0;
    common::eventually("`disconnected` is called for each", || {
        disconnected += recorder.count(|seen| match seen {
            Callback::Disconnected { code, cause, .. } => {
                assert_eq!((*code, cause.as_str()), (1006, "held too much memory"));
                true
            }
            _ => false,
        });
        disconnected as u64 == server.handle.dropped_for_memory()
    });
    assert!(server.handle.dropped_for_memory() < BOMBS, "every client was dropped");
    small.assert_echo("to the end");
    drop((bombers, small));
    assert_memory_is_free(&server);
}
