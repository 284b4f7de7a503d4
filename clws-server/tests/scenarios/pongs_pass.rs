//! A client with a full outbox pings. The pong follows right after the data that the socket already
//! accepted.

use std::io::Read;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use crate::common::wire::{CLOSE, PING, PONG, Wire, soon};
use crate::common::{Probe, Running};
use clws_server::{Client, CloseCode, Config, SendOptions, SharedMessage};

in_both_modes!(
    pongs_overtake_small_messages,
    pongs_overtake_large_messages,
    pongs_overtake_shared_messages,
    pongs_overtake_fragments,
    pongs_overtake_data_before_a_queued_close_frame,
    pings_after_an_unread_message_wait,
);

/// The bytes queued for the client.
const QUEUED: usize = 12 << 20;
/// How many bytes may precede a pong after the data that the socket accepted. That is a buffer of
/// small frames. For a stream, it is also a copy of 64 KiB that the stream has already seen.
const MAX_AHEAD: usize = 2 * 64 * 1024 + 4096;

/// The length of a frame from the server.
fn frame_len(len: usize) -> usize {
    len + match len {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// The length of both pongs.
const PONGS: usize = 5 + 13;

/// Waits until the socket accepts no more data. Returns the number of queued bytes.
fn wait_until_blocked(client: &Client) -> usize {
    let (mut before, mut unchanged) = (usize::MAX, 0);
    soon("the socket buffers are full", || {
        thread::sleep(Duration::from_millis(100));
        let now = client.buffered_amount();
        // The server may only be slower than this thread.
        unchanged = if std::mem::replace(&mut before, now) == now { unchanged + 1 } else { 0 };
        unchanged == 4
    });
    before
}

/// Queues data with `send`, which returns the length of its frames, and then pings.
fn check_pongs(config: Config, closes: bool, send: impl Fn(&Client) -> usize) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut wire = Wire::connect(&server, "/");
    let client = recorder.connected();
    let mut total = send(&client);
    if closes {
        client.close((CloseCode::NORMAL, "bye"));
        total += frame_len(5);
    }
    let mut before = wait_until_blocked(&client);
    assert!(before > QUEUED / 2, "the socket accepted too much for this test: {before} bytes are left");
    for ping in [&b"one"[..], b"and another"] {
        wire.send(PING, ping);
        // The pong adds to the queue. The write that it triggers may remove from the queue.
        soon("an answer is queued", || client.buffered_amount() != before);
        before = wait_until_blocked(&client);
    }
    let accepted = total + PONGS - before;

    let (mut found, mut payload, mut read) = (Vec::new(), Vec::new(), 0);
    while let Some(opcode) = wire.next_into(&mut payload) {
        if opcode == PONG {
            assert!(
                read <= accepted + MAX_AHEAD,
                "the pong came after {read} bytes, of which the socket held {accepted}"
            );
            found.push(payload.clone());
        }
        read += frame_len(payload.len());
        if opcode == CLOSE || (!closes && read == total + PONGS) {
            break;
        }
    }
    assert_eq!(found, [&b"one"[..], b"and another"]);
    assert_eq!(read, total + PONGS, "data is missing");
}

fn pongs_overtake_small_messages(config: Config) {
    check_pongs(config, false, |client| {
        let message = "x".repeat(1000);
        (0..QUEUED / 1004).map(|_| client.send_text(&message).map(|_| 1004).unwrap()).sum()
    });
}

fn pongs_overtake_large_messages(config: Config) {
    check_pongs(config, false, |client| {
        let message = vec![7; 60_000];
        (0..QUEUED / 60_004).map(|_| client.send(message.clone()).map(|_| 60_004).unwrap()).sum()
    });
}

fn pongs_overtake_shared_messages(config: Config) {
    check_pongs(config, false, |client| {
        let message = SharedMessage::text("x".repeat(3000));
        (0..QUEUED / 3004).map(|_| client.send(&message).map(|_| 3004).unwrap()).sum()
    });
}

fn pongs_overtake_fragments(config: Config) {
    for shared in [false, true] {
        check_pongs(config.clone(), false, |client| {
            let (message, size) = ("x".repeat(QUEUED), NonZeroUsize::new(4096));
            if shared {
                client.send(SharedMessage::text(message).frame_size(size)).unwrap();
            } else {
                client.send_with(&message, SendOptions::new().frame_size(4096)).unwrap();
            }
            QUEUED / 4096 * 4100
        });
    }
}

fn pongs_overtake_data_before_a_queued_close_frame(config: Config) {
    check_pongs(config, true, |client| {
        let message = "x".repeat(1000);
        (0..QUEUED / 1004).map(|_| client.send_text(&message).map(|_| 1004).unwrap()).sum()
    });
}

/// Input stays in order: pings after an unread message wait with that message. The server handles
/// them once the client reads.
fn pings_after_an_unread_message_wait(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut wire = Wire::connect(&server, "/");
    let client = recorder.connected();
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
    // The last ping is answered together with the text. Its pong may precede the answer to the
    // text.
    assert_eq!(pongs, [(0, b"first".to_vec()), (pongs[1].0, b"last".to_vec())]);
    // The connection still works.
    wire.text("after");
    assert_eq!(wire.next().unwrap().1, b"after");
    let _ = wire.socket.set_read_timeout(Some(Duration::from_millis(1)));
    assert!(wire.socket.read(&mut [0]).is_err(), "unexpected data");
}
