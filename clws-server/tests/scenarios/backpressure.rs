//! Clients that do not read their messages.

use std::thread;

use crate::common;
use crate::common::{Callback, Peer, Probe, Received, Running, Stream, TIMEOUT, text};
use clws_handshake::client::ClientRequest;
use clws_server::{Client, Config, Listen, Origins, Resource, SendError, Sent, Server, Text, Version};

in_both_modes!(
    sends_report_a_full_outbox,
    a_client_that_pauses_reading_gets_every_echo,
    a_client_that_pauses_reading_and_half_closes_gets_every_echo,
    uploads_continue_below_the_high_water_mark,
    a_flood_of_pings_does_not_grow_the_outbox,
);

fn start(config: Config) -> (Running, common::Recorder) {
    let (probe, recorder) = Probe::new();
    (Running::start(config, probe), recorder)
}

fn sends_report_a_full_outbox(config: Config) {
    const HIGH_WATER: usize = 100_000;
    const BACKLOG: usize = 1_000_000;
    const MESSAGE: usize = 10_000;

    let (server, recorder) = start(config.write_high_water(HIGH_WATER).max_write_backlog(BACKLOG));
    let mut slow = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    let mut other = server.connect(Version::Rfc6455, "/");

    // First the socket buffers fill, then the outbox.
    let message = "x".repeat(MESSAGE);
    let (mut queued, mut high) = (0, 0);
    let full = loop {
        match client.send_text(&message) {
            Ok(Sent::Queued) => queued += 1,
            Ok(Sent::AboveHighWater) => high += 1,
            Ok(Sent::Dropped) => panic!("dropped without a policy"),
            Err(full) => break full,
        }
        if (queued + high) % 100 == 0 {
            other.assert_echo("undisturbed");
        }
        assert!((queued + high) * MESSAGE < 100 << 20, "the outbox never fills");
    };
    assert_eq!(full, SendError::Full);
    assert!(high >= (BACKLOG - HIGH_WATER) / MESSAGE / 2, "{queued} {high}");
    // The outbox may exceed the backlog by one message.
    assert!(client.buffered_amount() <= BACKLOG + MESSAGE + 14, "{}", client.buffered_amount());
    assert!(client.is_open(), "a full outbox ended the client");
    other.assert_echo("undisturbed");

    // Every accepted message arrives.
    for _ in 0..queued + high {
        assert!(slow.next() == text(&message));
    }
    slow.assert_echo("and it goes on");
    assert_eq!(client.send_text("again"), Ok(Sent::Queued));
}

/// Connects a client. Also returns a second handle of its stream.
fn connect(server: &Running) -> (Peer, Box<dyn Stream>) {
    let request = ClientRequest::new(Version::Rfc6455, "ws://localhost/");
    match &server.addresses[0] {
        #[cfg(unix)]
        Listen::Unix(path) => {
            let stream = common::unix(path);
            let writing = stream.try_clone().unwrap();
            (Peer::open(stream, Version::Rfc6455, request).unwrap(), Box::new(writing))
        }
        _ => {
            let stream = server.tcp();
            let writing = stream.try_clone().unwrap();
            (Peer::open(stream, Version::Rfc6455, request).unwrap(), Box::new(writing))
        }
    }
}

/// The largest sum of the socket buffers of both directions. The buffers of a Unix socket do not
/// grow, so they need few messages.
fn max_socket_buffers() -> usize {
    if !cfg!(unix) {
        return 24 << 20;
    }
    let value = std::fs::read_to_string("/proc/sys/net/core/wmem_default").unwrap_or_default();
    2 * value.trim().parse().unwrap_or(256 * 1024)
}

/// Writes megabytes before it reads the first byte. The server must pause reading, and resume
/// later.
fn check_pipelined_echoes(config: Config, half_close: bool) {
    const SIZE: usize = 20_000;

    #[cfg(unix)]
    let config = {
        let mode = if config.task_per_client { "tasks" } else { "shards" };
        let name = format!("clws-pipelined-{}-{mode}-{half_close}", std::process::id());
        config.listen(Listen::Unix(std::env::temp_dir().join(name)))
    };
    let (server, recorder) = start(config.write_high_water(50_000));
    // Exceeds the socket buffers, so a server that does not read stops the writer.
    let messages = (max_socket_buffers() + (4 << 20)) / SIZE;
    let (mut peer, mut writing) = connect(&server);
    let client = recorder.connected();
    let (mut other, _) = connect(&server);
    let writer = thread::spawn(move || {
        let mut sender = clws_proto::Sender::client(Version::Rfc6455, || [9, 8, 7, 6]);
        let padding = "0".repeat(SIZE);
        for i in 0..messages {
            sender.text(&format!("{i}{padding}"), None).unwrap();
            while sender.queued() > 0 {
                let mut slices = [std::io::IoSlice::new(&[])];
                sender.io_slices(&mut slices);
                let written = writing.write(&slices[0]).unwrap();
                sender.consume(written);
            }
        }
        if half_close {
            writing.end();
        }
    });
    // The server pauses reading: the buffered amount stays constant, above the high-water mark.
    let (mut before, mut times) = (0, 0);
    common::eventually("a pause", || {
        thread::sleep(std::time::Duration::from_millis(20));
        let now = client.buffered_amount();
        times = if now > 50_000 && std::mem::replace(&mut before, now) == now { times + 1 } else { 0 };
        times == 8
    });
    assert!(!writer.is_finished(), "the server did not pause reading");
    assert!(before < 1_000_000, "{before}");
    other.assert_echo("undisturbed");
    let padding = "0".repeat(SIZE);
    for i in 0..messages {
        assert!(peer.next() == Received::Text(format!("{i}{padding}")), "{i}");
    }
    writer.join().unwrap();
    if half_close {
        assert_eq!(peer.next(), Received::End);
    } else {
        peer.assert_echo("and it goes on");
    }
}

fn a_client_that_pauses_reading_gets_every_echo(config: Config) {
    check_pipelined_echoes(config, false);
}

fn a_client_that_pauses_reading_and_half_closes_gets_every_echo(config: Config) {
    check_pipelined_echoes(config, true);
}

/// Sends data that the client does not read, and keeps reading from the client.
struct IgnoresBackpressure;

impl Resource for IgnoresBackpressure {
    fn connected(&self, client: &Client) -> Result<(), clws_server::Close> {
        let message = "x".repeat(100_000);
        // Sends until the socket buffers are full.
        thread::spawn({
            let client = client.clone();
            move || while client.buffered_amount() < 200_000 && client.send_text(&message).is_ok() {}
        });
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        if &*text == "count me" {
            client.abort();
        }
    }
}

/// While less than the high-water mark is queued for a client, the server keeps reading from it.
fn uploads_continue_below_the_high_water_mark(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), IgnoresBackpressure).unwrap();
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    for _ in 0..1000 {
        peer.text(&"y".repeat(30_000));
    }
    peer.text("count me");
    server.wait_for_clients(0);
}

fn a_flood_of_pings_does_not_grow_the_outbox(config: Config) {
    let (server, recorder) = start(config.max_write_backlog(1_000_000));
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    let mut other = server.connect(Version::Rfc6455, "/");
    // Fills the outbox first, so that no pong gets through.
    while client.send_text(&"x".repeat(10_000)).is_ok() {}
    let full = client.buffered_amount();
    for _ in 0..200 {
        peer.send(|sender| (0..100).for_each(|_| sender.ping(&[7; 100]).unwrap()));
        assert!(client.buffered_amount() < full + 10_000);
    }
    other.assert_echo("undisturbed");
    // Once the client reads, its newest ping is answered.
    peer.send(|sender| sender.ping(b"newest").unwrap());
    let end = std::time::Instant::now() + TIMEOUT;
    while peer.next() != Received::Pong(b"newest".to_vec()) {
        assert!(std::time::Instant::now() < end);
    }
    assert_eq!(recorder.count(|callback| matches!(callback, Callback::Disconnected { .. })), 0);
}
