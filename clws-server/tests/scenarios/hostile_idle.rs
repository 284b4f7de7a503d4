//! The memory of an idle connection: after its handshake, and after its first message.
//!
//! The bounds are on allocated bytes, because resident memory depends on the allocator. Clients are
//! bare sockets, so all of it is the server's. The bounds allow a sixth more than was measured.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::ALLOCATOR;
use crate::common::flood::{Echo, executor_threads};
use crate::common::wire::{TEXT, Wire, dial, frame, request};
use crate::common::{Running, eventually};
use clws_server::Config;

in_both_modes_in_own_process!(an_idle_connection_takes_little_memory);

/// The number of measured clients.
const CLIENTS: usize = 250;

/// These clients come first, because the first clients cause one-time allocations.
const WARM_UP: usize = 30;

/// The memory when nothing is in progress.
fn settled() -> usize {
    let samples = std::iter::repeat_with(|| {
        thread::sleep(Duration::from_millis(3));
        ALLOCATOR.allocated()
    });
    samples.take(10).min().unwrap()
}

/// Opens connections with an offer of extensions. Each response has the expected answer.
fn connect(server: &Running, offer: &str, answer: &str, clients: &mut Vec<Wire>, count: usize) {
    let request = request("/").replace(
        "\r\n\r\n",
        &format!("\r\nX-Kept: like a cookie of a browser, or its other headers\r\n{offer}\r\n"),
    );
    for _ in 0..count {
        let mut client = Wire { socket: dial(&server.addresses[0]) };
        client.raw(request.as_bytes());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(answer), "{head}");
        clients.push(client);
    }
}

/// Sends the message on each connection, and waits for an answer.
fn exchange(clients: &mut [Wire], message: &[u8]) {
    clients.iter_mut().for_each(|client| client.raw(message));
    clients.iter_mut().for_each(|client| assert!(client.next().is_some()));
}

/// Checks the bytes that a connection takes after its handshake, and after a message.
fn assert_takes(config: Config, (offer, answer): (&str, &str), message: &[u8], most: [usize; 2]) {
    let server = Running::start(config, Arc::new(Echo));
    let mut clients = Vec::with_capacity(WARM_UP + CLIENTS);
    connect(&server, offer, answer, &mut clients, WARM_UP);
    exchange(&mut clients, message);
    let before = settled();
    let assert_within = |most: usize, what: &str| {
        let each = || ALLOCATOR.allocated().saturating_sub(before) / CLIENTS;
        eventually(what, || each() <= most);
        println!("{what}: {} of {most} bytes", each());
    };
    connect(&server, offer, answer, &mut clients, CLIENTS);
    assert_within(most[0], "memory of a new connection");
    exchange(&mut clients[WARM_UP..], message);
    assert_within(most[1], "memory of a connection after a message");
    server.wait_for_clients(WARM_UP + CLIENTS);
}

/// JSON of 1,000 bytes in a compressed frame, as the first message of a client.
#[cfg(feature = "deflate")]
fn compressed() -> Vec<u8> {
    use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Sender};

    let codecs = CodecPool::new(&DeflateConfig::default());
    let sender = Sender::client(clws_server::Version::Rfc6455, || [0; 4]);
    let mut sender = sender.deflate(DeflateParams::default(), &codecs);
    let rows =
        (0..25).map(|row| format!("{{\"id\":{:05},\"user\":\"ada\",\"ok\":true}},", row * 7919 % 99_991));
    sender.text(&rows.collect::<String>(), None).unwrap();
    let mut bytes = Vec::new();
    sender.write_to(&mut bytes).unwrap();
    bytes
}

fn an_idle_connection_takes_little_memory(config: Config) {
    // A task is larger than a slot of a shard. Each thread of the executor has a buffer to read
    // into, and the first clients may not have used all threads.
    let tasks = 1536 + executor_threads() * 64 * 1024 / CLIENTS;
    let most = if config.task_per_client { tasks } else { 544 };
    // Keepalive costs an idle client of a shard nothing.
    let interval = (!config.task_per_client).then_some(Duration::from_secs(20));
    let config = config.ping_interval(interval);
    // The second shard would allocate its buffers and codecs later.
    let config = config.shards(1);
    assert_takes(config.clone(), ("", ""), &frame(TEXT, &[b'x'; 100]), [most; 2]);

    // On tasks, each thread of the executor would get codecs later.
    #[cfg(feature = "deflate")]
    for (takeover, most) in [(false, [928; 2]), (true, [928, 3072])] {
        if config.task_per_client {
            return;
        }
        let deflate = clws_server::DeflateConfig::default().context_takeover(takeover);
        let answer = "\r\nSec-WebSocket-Extensions: permessage-deflate";
        let answer = if takeover { format!("{answer}\r\n") } else { format!("{answer}; server_no_context") };
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let config = config.clone().deflate(Some(deflate));
        assert_takes(config, (offer, &answer), &compressed(), most);
    }
}
