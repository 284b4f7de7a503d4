//! Whatever the application closes with, and whatever state the client is in, the client is closed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use clws_handshake::client::ClientRequest;
use clws_server::{
    ByteString, Client, Close, CloseCode, Config, Event, Group, Origins, Resource, ResourceListener,
    SendError, Server, Text, Topics, Version, WebSocket, async_handler, mailbox,
};
use common::gate::Gate;
use common::wire::{PING, frame};
use common::{ALL, Got, PATIENCE, Peer, Probe, Running, within};
use futures::StreamExt;

in_both_modes!(
    whatever_the_code_and_the_reason,
    with_a_full_outbox,
    with_a_full_outbox_that_nobody_reads,
    behind_a_flood_of_pings,
    twice,
    while_it_is_paused,
    before_connected_has_returned,
);

/// The code and the reason of a close frame, if it has them.
type Body = Option<(u16, String)>;

/// What is closed with, and the close frame that comes.
fn cases() -> Vec<(u16, String, Body)> {
    let mut cases: Vec<_> = [
        ("x".repeat(123), 123),
        ("x".repeat(124), 123),
        ("\u{20ac}".repeat(42), 123),                 // 126 bytes
        (format!("-{}", "\u{20ac}".repeat(42)), 121), // the cut is within a character
        (format!("---{}", "\u{1f600}".repeat(31)), 123),
        ("x".repeat(70_000), 123),
    ]
    .into_iter()
    .map(|(reason, len)| {
        let sent = reason[..len].to_owned();
        (4001, reason, Some((4001, sent)))
    })
    .collect();
    for code in [0, 999, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        cases.push((code, "why".to_owned(), None));
        cases.push((code, "x".repeat(200), None));
    }
    cases
}

/// The case that a client asks for.
fn case(number: &str) -> (CloseCode, String) {
    let (code, reason, _) = cases().swap_remove(number.parse().unwrap());
    (code.into(), reason)
}

/// Closes in a handler, in one of several ways.
struct Closes(fn(&Client, CloseCode, &str));

impl Resource for Closes {
    fn text(&self, client: &Client, text: Text<'_>) {
        let (code, reason) = case(&text);
        (self.0)(client, code, &reason);
    }
}

fn on_a_thread(client: &Client, code: CloseCode, reason: &str) {
    let (client, reason) = (client.clone(), reason.to_owned());
    thread::spawn(move || client.close((code, reason)));
}

fn in_a_group(client: &Client, code: CloseCode, reason: &str) {
    let group = Group::new();
    group.join(client);
    group.close((code, reason));
}

fn in_a_topic(client: &Client, code: CloseCode, reason: &str) {
    let topics = Topics::new();
    topics.subscribe("news", client);
    topics.group("news").unwrap().close((code, reason));
}

/// Ends a client in `connected`.
struct Ends {
    refuses: bool,
}

impl Resource for Ends {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        let (code, reason) = case(client.query_string().unwrap());
        if self.refuses {
            return Err(Close::new(code, reason));
        }
        client.close((code, reason));
        Ok(())
    }
}

struct Queued {
    refuses: bool,
}

impl ResourceListener for Queued {
    type Message = ();

    fn connected(&mut self, client: &Client) -> Result<(), Close> {
        let (code, reason) = case(client.query_string().unwrap());
        if self.refuses { Err(Close::new(code, reason)) } else { Ok(()) }
    }

    fn text(&mut self, client: &Client, text: ByteString) {
        let (code, reason) = case(&text);
        client.close((code, reason));
    }
}

async fn function(mut socket: WebSocket) {
    if let Some(clws_server::Message::Text(text)) = socket.next().await {
        let (code, reason) = case(&text);
        socket.close((code, reason));
        while socket.next().await.is_some() {}
    }
}

async fn half(socket: WebSocket) {
    let (mut reader, mut writer) = socket.split();
    if let Some(clws_server::Message::Text(text)) = reader.next().await {
        let (code, reason) = case(&text);
        writer.close((code, reason));
        while reader.next().await.is_some() {}
    }
}

fn whatever_the_code_and_the_reason(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let any = Origins::any;
    server
        .resources()
        .register("/handler", any(), Closes(|client, code, reason| client.close((code, reason))))
        .unwrap();
    server.resources().register("/thread", any(), Closes(on_a_thread)).unwrap();
    server.resources().register("/group", any(), Closes(in_a_group)).unwrap();
    server.resources().register("/topic", any(), Closes(in_a_topic)).unwrap();
    server.resources().register("/refuse", any(), Ends { refuses: true }).unwrap();
    server.resources().register("/connected", any(), Ends { refuses: false }).unwrap();
    server.resources().register("/function", any(), async_handler(function)).unwrap();
    server.resources().register("/half", any(), async_handler(half)).unwrap();
    server.resources().run_resource_listener("/listener", any(), Queued { refuses: false }).unwrap();
    server.resources().run_resource_listener("/listener-refuses", any(), Queued { refuses: true }).unwrap();
    let (resource, mut events) = mailbox::<()>();
    server.resources().register("/mailbox", any(), resource).unwrap();
    let receiver = async_std::task::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::Text(client, text) = event {
                let (code, reason) = case(&text);
                client.close((code, reason));
            }
        }
    });
    let paths = [
        "handler",
        "thread",
        "group",
        "topic",
        "refuse",
        "connected",
        "function",
        "half",
        "listener",
        "listener-refuses",
        "mailbox",
    ];
    let server = Running::run(server);
    for version in ALL {
        for path in paths {
            for (number, (code, reason, expected)) in cases().into_iter().enumerate() {
                let mut peer = server.connect(version, &format!("/{path}?{number}"));
                peer.text(&number.to_string());
                let expected = expected.filter(|_| !version.is_hixie());
                assert_eq!(peer.next(), Got::Close(expected), "{code} {} at {path}", reason.len());
                peer.finish();
            }
        }
    }
    server.wait_for_clients(0);
    drop(server);
    within(receiver);
}

/// A client for which as much is queued as may be.
fn fill(config: Config) -> (Running, common::Diary, Peer, Client) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config.write_high_water(10_000).max_write_backlog(100_000), probe);
    let peer = server.connect(Version::Rfc6455, "/");
    let client = diary.connected();
    let message = "x".repeat(5000);
    for sent in 0.. {
        if client.send_text(&message) == Err(SendError::Full) {
            // The server may only be slower than this thread: then it takes more.
            let queued = client.buffered_amount();
            thread::sleep(Duration::from_millis(50));
            if client.buffered_amount() == queued {
                break;
            }
        }
        assert!(sent < 20_000, "it never is full");
    }
    (server, diary, peer, client)
}

/// What comes before the close frame, and the close frame.
fn read_to_close(peer: &mut Peer) -> (usize, Body) {
    for before in 0.. {
        if let Got::Close(frame) = peer.next() {
            return (before, frame);
        }
    }
    unreachable!();
}

fn with_a_full_outbox(config: Config) {
    let (server, diary, mut peer, client) = fill(config);
    client.close((CloseCode::new(4001), "y".repeat(500)));
    assert!(!client.is_open());
    assert_eq!(client.send_text("more"), Err(SendError::Closed));
    let (messages, frame) = read_to_close(&mut peer);
    assert!(messages > 100_000 / 5000, "{messages}");
    assert_eq!(frame, Some((4001, "y".repeat(123))));
    peer.finish();
    assert_eq!(diary.gone().2, "closed");
    server.wait_for_clients(0);
}

fn with_a_full_outbox_that_nobody_reads(config: Config) {
    let (server, diary, peer, client) = fill(config.close_timeout(Duration::from_millis(150)));
    client.close((CloseCode::new(1005), "why"));
    assert!(!client.is_open());
    assert_eq!(diary.gone().2, "did not answer a close frame");
    server.wait_for_clients(0);
    drop(peer);
}

/// More pongs are due than are kept for it.
fn behind_a_flood_of_pings(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = diary.connected();
    let pings = frame(PING, &[b'?'; 125]).repeat(2000);
    for written in 0.. {
        if client.buffered_amount() > 4000 {
            break;
        }
        assert!(written < 400, "all pongs fit");
        peer.raw(&pings);
    }
    peer.raw(&pings);
    client.close((CloseCode::new(4001), "y".repeat(500)));
    assert!(!client.is_open());
    let (pongs, frame) = read_to_close(&mut peer);
    assert!(pongs > 30);
    assert_eq!(frame, Some((4001, "y".repeat(123))));
    peer.finish();
    assert_eq!(diary.gone().2, "closed");
    server.wait_for_clients(0);
}

fn twice(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = diary.connected();
    client.close((CloseCode::new(4001), "first"));
    client.close((CloseCode::new(4002), "second".repeat(100)));
    client.close(CloseCode::new(1005));
    assert_eq!(peer.next(), Got::Close(Some((4001, "first".into()))));
    peer.finish();
    diary.gone();
    client.close((CloseCode::new(4003), "when it is gone"));
    server.wait_for_clients(0);
}

fn while_it_is_paused(config: Config) {
    let server = Server::bind(config.max_handler_read_backlog(1).listen("127.0.0.1:0")).unwrap();
    let (resource, mut events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), resource).unwrap();
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let Some(Event::Connected(client)) = within(events.next()) else { panic!() };
    for _ in 0..100 {
        peer.text("this pauses it");
    }
    let Some(Event::Text(..)) = within(events.next()) else { panic!() };
    client.close((CloseCode::new(1006), "why"));
    assert_eq!(peer.next(), Got::Close(None));
    peer.finish();
    let Some(Event::Disconnected(_, end)) = within(events.next()) else { panic!() };
    assert!(end.is_clean() && end.undelivered == 99, "{end}");
    server.wait_for_clients(0);
}

/// Tells of its client, and returns from `connected` when it may.
struct Slow(Gate, Mutex<Sender<Client>>);

impl Resource for Slow {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.1.lock().unwrap().send(client.clone()).unwrap();
        self.0.pass();
        Ok(())
    }
}

fn before_connected_has_returned(config: Config) {
    let (gate, (tell, told)) = (Gate::default(), channel());
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Slow(gate.clone(), Mutex::new(tell))).unwrap();
    let server = Running::run(server);
    let address = server.address();
    let peer = thread::spawn(move || {
        let url = format!("ws://{address}/");
        let request = ClientRequest::new(Version::Rfc6455, &url);
        let mut peer = Peer::open(common::tcp(address), Version::Rfc6455, request).unwrap();
        assert_eq!(peer.next(), Got::Close(Some((4001, "y".repeat(123)))));
        peer.finish();
    });
    let client = told.recv_timeout(PATIENCE).unwrap();
    client.close((CloseCode::new(4001), "y".repeat(500)));
    gate.open();
    peer.join().unwrap();
    server.wait_for_clients(0);
}
