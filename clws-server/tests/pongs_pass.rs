//! A client that is sent much more than it has read pings, and finds the answer right behind what the system had taken of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::io::Read;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use clws_server::{Client, CloseCode, Config, SendOptions, SharedMessage};
use common::wire::{CLOSE, PING, PONG, Wire, soon};
use common::{Probe, Running};

in_both_modes!(
    behind_small_messages,
    behind_big_messages,
    behind_messages_to_many,
    between_fragments,
    with_a_close_frame_queued,
    before_a_message_that_waits,
);

/// What is queued for the client.
const QUEUED: usize = 12 << 20;
/// How far behind what the system had taken the answer may be: a buffer of small frames, and for a stream a copy of 64 KiB
/// that it has seen.
const BEHIND: usize = 2 * 64 * 1024 + 4096;

/// Bytes of a frame from the server.
fn frame_len(len: usize) -> usize {
    len + match len {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// Bytes of both answers.
const PONGS: usize = 5 + 13;

/// Bytes that are queued, when the system takes no more.
fn settled(client: &Client) -> usize {
    let (mut before, mut unchanged) = (usize::MAX, 0);
    soon("the system takes no more", || {
        thread::sleep(Duration::from_millis(100));
        let now = client.buffered_amount();
        // The server may only be slower than this thread.
        unchanged = if std::mem::replace(&mut before, now) == now { unchanged + 1 } else { 0 };
        unchanged == 4
    });
    before
}

/// Queues with `send`, which tells how many bytes of frames that is, and pings.
fn pings(config: Config, closes: bool, send: impl Fn(&Client) -> usize) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let mut wire = Wire::connect(&server, "/");
    let client = diary.connected();
    let mut total = send(&client);
    if closes {
        client.close((CloseCode::NORMAL, "bye"));
        total += frame_len(5);
    }
    let mut before = settled(&client);
    assert!(before > QUEUED / 2, "the system has taken too much for this test: {before} are left");
    for ping in [&b"one"[..], b"and another"] {
        wire.send(PING, ping);
        // The answer makes it more, and what the system takes when it is offered that makes it less.
        soon("an answer is queued", || client.buffered_amount() != before);
        before = settled(&client);
    }
    let taken = total + PONGS - before;

    let (mut found, mut payload, mut read) = (Vec::new(), Vec::new(), 0);
    while let Some(opcode) = wire.next_to(&mut payload) {
        if opcode == PONG {
            assert!(read <= taken + BEHIND, "behind {read} bytes, of which the system had {taken}");
            found.push(payload.clone());
        }
        read += frame_len(payload.len());
        if opcode == CLOSE || (!closes && read == total + PONGS) {
            break;
        }
    }
    assert_eq!(found, [&b"one"[..], b"and another"]);
    assert_eq!(read, total + PONGS, "all else has come");
}

fn behind_small_messages(config: Config) {
    pings(config, false, |client| {
        let message = "x".repeat(1000);
        (0..QUEUED / 1004).map(|_| client.send_text(&message).map(|_| 1004).unwrap()).sum()
    });
}

fn behind_big_messages(config: Config) {
    pings(config, false, |client| {
        let message = vec![7; 60_000];
        (0..QUEUED / 60_004).map(|_| client.send(message.clone()).map(|_| 60_004).unwrap()).sum()
    });
}

fn behind_messages_to_many(config: Config) {
    pings(config, false, |client| {
        let message = SharedMessage::text("x".repeat(3000));
        (0..QUEUED / 3004).map(|_| client.send(&message).map(|_| 3004).unwrap()).sum()
    });
}

fn between_fragments(config: Config) {
    for shared in [false, true] {
        pings(config.clone(), false, |client| {
            let (message, size) = ("x".repeat(QUEUED), NonZeroUsize::new(4096));
            if shared {
                client.send(SharedMessage::text(message).with_frame_size(size)).unwrap();
            } else {
                client.send_with(&message, SendOptions::new().frame_size(size.unwrap().get())).unwrap();
            }
            QUEUED / 4096 * 4100
        });
    }
}

fn with_a_close_frame_queued(config: Config) {
    pings(config, true, |client| {
        let message = "x".repeat(1000);
        (0..QUEUED / 1004).map(|_| client.send_text(&message).map(|_| 1004).unwrap()).sum()
    });
}

/// Pings that come behind a message wait with it: nothing of what comes is read out of order. It and they are heard when the
/// client has read.
fn before_a_message_that_waits(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let mut wire = Wire::connect(&server, "/");
    let client = diary.connected();
    let message = vec![7; 60_000];
    let count = QUEUED / 60_000;
    for _ in 0..count {
        client.send_binary(&message).unwrap();
    }
    wire.send(PING, b"first");
    wire.text("between");
    wire.send(PING, b"last");
    let (mut pongs, mut answers) = (Vec::new(), 0);
    for _ in 0..count + 3 {
        match wire.next().unwrap() {
            (PONG, payload) => pongs.push((answers, payload)),
            (_, payload) if payload == b"between" => answers += 1,
            (_, payload) => assert_eq!(payload, message),
        }
    }
    assert_eq!(answers, 1);
    // The last one was answered when the text was, and may have passed the answer to that.
    assert_eq!(pongs, [(0, b"first".to_vec()), (pongs[1].0, b"last".to_vec())]);
    // And it goes on.
    wire.text("after");
    assert_eq!(wire.next().unwrap().1, b"after");
    let _ = wire.socket.set_read_timeout(Some(Duration::from_millis(1)));
    assert!(wire.socket.read(&mut [0]).is_err(), "nothing else comes");
}
