//! When the last client has gone, the server holds no more memory than before the first came.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::alloc::System;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, PoisonError};

use cap::Cap;
use clws_server::{Config, Version};
use common::{Got, Probe, Running};

/// Counts the bytes that are allocated and not freed.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The tests of this file measure the whole process, and so take turns.
static TURN: Mutex<()> = Mutex::new(());

/// What lazily made tables and thread stacks of the runtime may differ by, but no client's message.
const SLACK: usize = 400 * 1024;

in_both_modes!(after_partial_messages, after_big_messages, after_members_who_did_not_read);

#[track_caller]
fn assert_returned(server: &Running, before: usize) {
    server.wait_for_clients(0);
    common::eventually("the memory is back", || ALLOCATOR.allocated() <= before + SLACK);
}

/// The first bytes of a message that never ends, text or binary.
fn begin(stream: &mut TcpStream, text: bool, bytes: usize) {
    let declared = u64::try_from(4 * bytes).unwrap();
    let head = [&[if text { 0x81 } else { 0x82 }, 0xFF][..], &declared.to_be_bytes(), &[0; 4]].concat();
    stream.write_all(&head).unwrap();
    stream.write_all(&vec![b'x'; bytes]).unwrap();
}

fn after_partial_messages(config: Config) {
    const CLIENTS: usize = 100;
    const SIZE: usize = 1 << 20;

    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    drop(server.connect(Version::Rfc6455, "/"));
    server.wait_for_clients(0);
    let before = ALLOCATOR.allocated();
    for _ in 0..3 {
        let streams: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let mut stream = server.tcp();
                stream.write_all(REQUEST).unwrap();
                begin(&mut stream, number % 2 == 0, SIZE);
                stream
            })
            .collect();
        common::eventually("they hold it", || ALLOCATOR.allocated() > before + CLIENTS * SIZE / 2);
        for stream in &streams {
            stream.shutdown(Shutdown::Both).unwrap();
        }
        drop(streams);
        while diary.count(|_| true) > 0 {}
        assert_returned(&server, before);
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// BufferPool that threads keep are freed too, the biggest among them.
fn after_big_messages(config: Config) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    drop(server.connect(Version::Rfc6455, "/"));
    server.wait_for_clients(0);
    let before = ALLOCATOR.allocated();
    for size in [100_000, 1 << 20, 16_000_000] {
        let mut peer = server.connect(Version::Rfc6455, "/");
        for _ in 0..3 {
            peer.binary(&vec![7; size]);
            assert!(matches!(peer.next(), Got::Binary(payload) if payload.len() == size));
        }
        drop(peer);
        while diary.count(|_| true) > 0 {}
        assert_returned(&server, before);
    }
}

fn after_members_who_did_not_read(config: Config) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (probe, diary) = Probe::new();
    let server = Running::start(config.max_write_backlog(4 << 20), probe);
    drop(server.connect(Version::Rfc6455, "/"));
    diary.connected();
    server.wait_for_clients(0);
    let before = ALLOCATOR.allocated();
    let peers: Vec<_> = (0..10).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    let group = clws_server::Group::new();
    for _ in &peers {
        group.join(&diary.connected());
    }
    for _ in 0..20_000 {
        let _ = group.send_text("x".repeat(1000));
    }
    drop(peers);
    common::eventually("they leave", || group.is_empty());
    while diary.count(|_| true) > 0 {}
    assert_returned(&server, before);
}
