//! The statistics of a server after sessions whose every message and byte is known.

use std::thread;
use std::time::Duration;

use crate::common::wire::{BINARY, CLOSE, PING, TEXT, Wire, dial, frame, request};
use crate::common::{ALL_VERSIONS, Probe, Running, eventually, text};
use clws_server::{
    CloseCode, Config, DropReason, HandshakeOutcome, HttpResponse, Origins, Resource, Server, Stats, Version,
};

in_both_modes!(
    messages_and_bytes_add_up_exactly,
    ends_are_counted_by_code_and_cause,
    handshakes_are_counted_by_outcome_and_status,
    a_full_server_counts_its_refusals,
    a_late_request_is_counted,
    clients_are_counted_by_resource_and_version,
    lost_messages_are_counted,
    queued_bytes_fall_to_0,
);

/// Echoes, and obeys commands.
fn commanded(config: Config) -> Running {
    let (probe, _) = Probe::with(|client, text| match text {
        "panic" => panic!("on command"),
        "close" => client.close((CloseCode::new(3456), "bye")),
        "abort" => client.abort(),
        _ => drop(client.send_text(text)),
    });
    Running::start(config, probe)
}

/// Waits until the number of ended connections is right.
#[track_caller]
fn after_ends(server: &Running, count: u64) -> Stats {
    let ended = |stats: &Stats| stats.closes.iter().map(|entry| entry.count).sum::<u64>();
    eventually("the ends are counted", || ended(&server.handle.stats()) == count);
    server.wait_for_clients(0);
    server.handle.stats()
}

fn messages_and_bytes_add_up_exactly(config: Config) {
    let has_shards = !config.task_per_client;
    let server = commanded(config);
    let mut sent = request("/").len();
    let mut client = Wire { socket: dial(&server.addresses[0]) };
    client.raw(request("/").as_bytes());
    let mut received = client.head().len();
    for _ in 0..100 {
        client.text("hello");
        assert_eq!(client.next(), Some((TEXT, b"hello".to_vec())));
    }
    (sent, received) = (sent + 100 * (6 + 5), received + 100 * (2 + 5));
    // Many messages in one read.
    client.raw(&frame(TEXT, b"again").repeat(200));
    for _ in 0..200 {
        assert_eq!(client.next(), Some((TEXT, b"again".to_vec())));
    }
    (sent, received) = (sent + 200 * (6 + 5), received + 200 * (2 + 5));
    // A message in two frames is one message, and a big one fills several reads.
    client.raw(&[&[0x01, 0x81, 0, 0, 0, 0, b'a'][..], &[0x80, 0x81, 0, 0, 0, 0, b'b']].concat());
    assert_eq!(client.next(), Some((TEXT, b"ab".to_vec())));
    let big = vec![7; 300_000];
    client.send(BINARY, &big);
    assert_eq!(client.next(), Some((BINARY, big)));
    (sent, received) = (sent + 14 + 14 + 300_000, received + 4 + 10 + 300_000);
    client.send(PING, b"not a message");
    client.next();
    (sent, received) = (sent + 6 + 13, received + 2 + 13);
    client.finish();
    (sent, received) = (sent + 8, received + 4);

    let stats = after_ends(&server, 1);
    assert_eq!((stats.received.messages, stats.sent.messages), (302, 302));
    assert_eq!((stats.received.bytes, stats.sent.bytes), (sent as u64, received as u64));
    assert_eq!((stats.undelivered, stats.discarded_bytes, stats.dropped.len()), (0, 0, 0));
    assert!((1..=302).contains(&stats.handler_time.count()), "{:?}", stats.handler_time);
    assert_eq!(stats.turn_time.count() > 0, has_shards);
}

fn ends_are_counted_by_code_and_cause(config: Config) {
    let server = commanded(config);
    for code in [1000_u16, 1000, 1001, 4000, 4999] {
        let mut client = Wire::connect(&server, "/");
        client.send(CLOSE, &code.to_be_bytes());
        while client.next().is_some() {}
    }
    Wire::connect(&server, "/").shutdown_write();
    for (input, code) in [(vec![0xFF; 10], 1002), (frame(TEXT, &[0xFF]), 1007), (frame(TEXT, b"panic"), 1011)]
    {
        let mut client = Wire::connect(&server, "/");
        client.raw(&input);
        assert_eq!(client.close_code(), Some(code));
    }
    let mut client = Wire::connect(&server, "/");
    client.text("abort");
    while client.next().is_some() {}
    // The application closes. Its client had sent two more messages.
    let mut client = Wire::connect(&server, "/");
    client.raw(&[frame(TEXT, b"close"), frame(TEXT, b"1"), frame(TEXT, b"2")].concat());
    assert_eq!(client.close_code(), Some(3456));
    client.send(CLOSE, &3456_u16.to_be_bytes());
    while client.next().is_some() {}

    let stats = after_ends(&server, 11);
    let mut closes: Vec<_> =
        stats.closes.iter().map(|entry| (entry.cause, entry.code, entry.count)).collect();
    closes.sort_unstable();
    let expected = [
        ("aborted", "1006", 1),
        ("closed", "1000", 2),
        ("closed", "1001", 1),
        ("closed", "3xxx", 1),
        ("closed", "4xxx", 2),
        ("panic", "1011", 1),
        ("protocol", "1002", 1),
        ("protocol", "1007", 1),
        ("vanished", "1006", 1),
    ];
    assert_eq!(closes, expected);
    assert_eq!((stats.closed_with(CloseCode::new(4321)), stats.closed_by("protocol")), (2, 2));
    assert_eq!((stats.received.messages, stats.undelivered), (3, 2));
    assert_eq!(stats.handshakes_with(HandshakeOutcome::Accepted), 11);
    assert_eq!((stats.clients.len(), stats.client_count(), stats.connections), (0, 0, 0));
}

fn handshakes_are_counted_by_outcome_and_status(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0").protocol_75_support(false)).unwrap();
    let (probe, _) = Probe::new();
    let origins = Origins::prefix(["https://here.example"]);
    server.resources().register_shared("/", Origins::any(), probe.clone()).unwrap();
    server.resources().register_shared("/ours", origins, probe).unwrap();
    let server = Running::run(server);
    let status = |request: &str| {
        let mut wire = Wire { socket: dial(&server.addresses[0]) };
        wire.raw(request.as_bytes());
        wire.head().split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    assert_eq!(status(&request("/none")), 404);
    assert_eq!(status(&request("/nothing?secret=1")), 404);
    let foreign = request("/ours").replace("\r\n\r\n", "\r\nOrigin: https://there.example\r\n\r\n");
    assert_eq!(status(&foreign), 403);
    assert_eq!(status("nonsense\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: here.example\r\n\r\n"), 426);
    server.handle.resources().http(|_| HttpResponse::text(204, ""));
    assert_eq!(status("GET / HTTP/1.1\r\nHost: here.example\r\n\r\n"), 204);
    drop(dial(&server.addresses[0]));
    Wire::connect(&server, "/").finish();

    let abandoned = || server.handle.stats().handshakes_with(HandshakeOutcome::Abandoned);
    eventually("the peer that said nothing", || abandoned() == 1);
    let stats = after_ends(&server, 1);
    let counts: Vec<_> =
        stats.handshakes.iter().map(|entry| (entry.outcome, entry.status, entry.count)).collect();
    let expected = [
        (HandshakeOutcome::Accepted, Some(101), 1),
        (HandshakeOutcome::Rejected, Some(400), 1),
        (HandshakeOutcome::Rejected, Some(403), 1),
        (HandshakeOutcome::Rejected, Some(404), 2),
        (HandshakeOutcome::Rejected, Some(426), 1),
        (HandshakeOutcome::Http, None, 1),
        (HandshakeOutcome::Abandoned, None, 1),
    ];
    assert_eq!(counts, expected);
    assert_eq!((stats.rejected_with(404), stats.rejected_with(401)), (2, 0));
}

fn a_full_server_counts_its_refusals(config: Config) {
    let server = commanded(config.max_clients(1));
    let client = Wire::connect(&server, "/");
    for _ in 0..3 {
        assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503));
    }
    let stats = server.handle.stats();
    assert_eq!(stats.handshakes_with(HandshakeOutcome::Full), 3);
    assert_eq!(stats.handshakes_with(HandshakeOutcome::Accepted), 1);
    client.finish();
}

fn a_late_request_is_counted(config: Config) {
    let server = commanded(config.handshake_timeout(Duration::from_millis(20)));
    let mut client = Wire { socket: dial(&server.addresses[0]) };
    client.raw(b"GET / HTTP/1.1\r\n");
    assert!(client.head().starts_with("HTTP/1.1 408 "));
    assert_eq!(server.handle.stats().handshakes_with(HandshakeOutcome::TimedOut), 1);
}

fn clients_are_counted_by_resource_and_version(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (probe, _) = Probe::new();
    server.resources().register_shared("/a", Origins::any(), probe).unwrap();
    server.resources().register_prefix("/rooms/", Origins::any(), Silent).unwrap();
    server.resources().register_fallback(Origins::any(), Silent).unwrap();
    let server = Running::run(server);
    let list = || {
        let stats = server.handle.stats();
        let entry = |entry: &clws_server::ClientCount| {
            (entry.resource.to_string(), entry.version.number(), entry.count)
        };
        stats.clients.iter().map(entry).collect::<Vec<_>>()
    };
    let mut peers: Vec<_> =
        ALL_VERSIONS.iter().map(|version| server.connect(*version, "/a?secret")).collect();
    peers.push(server.connect(Version::Rfc6455, "/rooms/secret"));
    peers.push(server.connect(Version::Rfc6455, "/rooms/other"));
    peers.push(server.connect(Version::Hybi08, "/other"));
    let entry = |resource: &str, version, count| (resource.to_owned(), version, count);
    let of_a = [0, 7, 8, 13, 75].map(|version| entry("/a", version, 1));
    let expected = [&[entry("*", 8, 1)][..], &of_a, &[entry("/rooms/*", 13, 2)]].concat();
    assert_eq!(list(), expected);

    server.handle.resources().unregister_prefix("/rooms/");
    let expected = [&[entry("(unregistered)", 13, 2), entry("*", 8, 1)][..], &of_a].concat();
    assert_eq!(list(), expected);
    drop(peers);
    server.wait_for_clients(0);
    assert_eq!(list(), []);
}

struct Silent;

impl Resource for Silent {}

fn lost_messages_are_counted(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.max_write_backlog(100_000).write_high_water(50_000), probe);
    let peer = server.connect(Version::Hybi00, "/");
    let client = recorder.connected();
    assert!(client.send_binary(b"not in this version").is_err());
    // The client does not read. The system takes some megabytes, until the client is full for long.
    let message = "x".repeat(10_000);
    let (mut accepted, mut refused, mut in_a_row) = (0, 0, 0);
    while in_a_row < 20 {
        if client.send_text(&message).is_ok() {
            (accepted, in_a_row) = (accepted + 1, 0);
        } else {
            (refused, in_a_row) = (refused + 1, in_a_row + 1);
            thread::sleep(Duration::from_millis(5));
        }
    }
    let stats = server.handle.stats();
    assert_eq!(stats.dropped_for(DropReason::Unsupported), 1);
    assert_eq!(stats.dropped_for(DropReason::Full), refused);
    assert!(stats.queued_bytes >= 64 * 1024, "{}", stats.queued_bytes);

    // Another thread ends the connection while data is queued.
    client.abort();
    let stats = after_ends(&server, 1);
    assert!(stats.discarded_bytes >= 50_000, "{}", stats.discarded_bytes);
    assert_eq!(stats.sent.messages, accepted);
    assert_eq!(stats.queued_bytes, 0);
    assert!(client.send_text("gone").is_err());
    assert_eq!(server.handle.stats().dropped_for(DropReason::Closed), 1);
    drop(peer);
}

fn queued_bytes_fall_to_0(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    let message = "x".repeat(100_000);
    for _ in 0..100 {
        client.send_text(&message).unwrap();
    }
    let received: Vec<_> = (0..100).map(|_| peer.next()).collect();
    assert!(received.iter().all(|received| *received == text(&message)));
    eventually("all is written", || server.handle.stats().queued_bytes == 0);
    assert_eq!(server.handle.stats().sent.messages, 100);
}
