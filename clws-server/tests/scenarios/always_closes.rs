//! A close by the application ends the client, whatever the code, the reason and the client's
//! state.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use crate::common;
use crate::common::gate::Gate;
use crate::common::wire::{PING, frame};
use crate::common::{ALL_VERSIONS, Peer, Probe, Received, Running, TIMEOUT, within};
use clws_handshake::client::ClientRequest;
use clws_server::{
    ByteString, Client, Close, CloseCode, Config, Event, Group, Origins, Resource, ResourceListener,
    SendError, Server, Text, Topics, Version, WebSocket, async_handler, mailbox,
};
use futures::StreamExt;

in_both_modes!(
    closes_with_any_code_and_reason,
    closes_with_a_full_outbox,
    closes_when_the_client_does_not_read_its_full_outbox,
    closes_during_a_flood_of_pings,
    sends_only_the_first_of_several_closes,
    closes_while_reading_is_paused,
    closes_before_connected_returns,
);

type Body = Option<(u16, String)>;

/// Close codes and reasons of the application, with the body of the close frame that the client
/// receives.
fn cases() -> Vec<(u16, String, Body)> {
    let mut cases: Vec<_> = [
        ("x".repeat(123), 123),
        ("x".repeat(124), 123),
        ("\u{20ac}".repeat(42), 123),                 // 126 bytes
        (format!("-{}", "\u{20ac}".repeat(42)), 121), // truncation falls within a character
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

/// The case that the client asks for by its number.
fn case(number: &str) -> (CloseCode, String) {
    let (code, reason, _) = cases().swap_remove(number.parse().unwrap());
    (code.into(), reason)
}

/// Closes in a handler, in a configurable way.
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

/// Closes or refuses a client in `connected`.
struct ClosesInConnected {
    refuses: bool,
}

impl Resource for ClosesInConnected {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        let (code, reason) = case(client.query_string().unwrap());
        if self.refuses {
            return Err(Close::new(code, reason));
        }
        client.close((code, reason));
        Ok(())
    }
}

struct ClosingListener {
    refuses: bool,
}

impl ResourceListener for ClosingListener {
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

async fn closing_function(mut socket: WebSocket) {
    if let Some(clws_server::Message::Text(text)) = socket.next().await {
        let (code, reason) = case(&text);
        socket.close((code, reason));
        while socket.next().await.is_some() {}
    }
}

async fn closing_half(socket: WebSocket) {
    let (mut reader, mut writer) = socket.split();
    if let Some(clws_server::Message::Text(text)) = reader.next().await {
        let (code, reason) = case(&text);
        writer.close((code, reason));
        while reader.next().await.is_some() {}
    }
}

fn closes_with_any_code_and_reason(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let any = Origins::any;
    server
        .resources()
        .register("/handler", any(), Closes(|client, code, reason| client.close((code, reason))))
        .unwrap();
    server.resources().register("/thread", any(), Closes(on_a_thread)).unwrap();
    server.resources().register("/group", any(), Closes(in_a_group)).unwrap();
    server.resources().register("/topic", any(), Closes(in_a_topic)).unwrap();
    server.resources().register("/refuse", any(), ClosesInConnected { refuses: true }).unwrap();
    server.resources().register("/connected", any(), ClosesInConnected { refuses: false }).unwrap();
    server.resources().register("/function", any(), async_handler(closing_function)).unwrap();
    server.resources().register("/half", any(), async_handler(closing_half)).unwrap();
    server.resources().run_resource_listener("/listener", any(), ClosingListener { refuses: false }).unwrap();
    server
        .resources()
        .run_resource_listener("/listener-refuses", any(), ClosingListener { refuses: true })
        .unwrap();
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
    let address = server.address();
    let check = |version: Version| {
        for path in paths {
            for (number, (code, reason, expected)) in cases().into_iter().enumerate() {
                let url = format!("ws://{address}/{path}?{number}");
                let request = ClientRequest::new(version, &url).origin("http://here.example");
                let mut peer = Peer::open(common::tcp(address), version, request).unwrap();
                peer.text(&number.to_string());
                let expected = expected.filter(|_| !version.is_hixie());
                assert_eq!(peer.next(), Received::Close(expected), "{code} {} at {path}", reason.len());
                peer.finish();
            }
        }
    };
    thread::scope(|scope| {
        for version in ALL_VERSIONS {
            scope.spawn(move || check(version));
        }
    });
    server.wait_for_clients(0);
    drop(server);
    within(receiver);
}

/// Connects a client and fills its outbox.
fn fill(config: Config) -> (Running, common::Recorder, Peer, Client) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.write_high_water(10_000).max_write_backlog(100_000), probe);
    let peer = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    let message = "x".repeat(5000);
    let mut sent = 0;
    loop {
        if client.send_text(&message) == Err(SendError::Full) {
            // The server may only be slower than this thread. Then the outbox has space again, or all
            // messages are still in it.
            let queued = client.buffered_amount();
            thread::sleep(Duration::from_millis(50));
            if client.buffered_amount() == queued && sent > 2 * 100_000 / 5000 {
                break;
            }
        } else {
            sent += 1;
        }
        assert!(sent < 20_000, "the outbox never fills");
    }
    (server, recorder, peer, client)
}

/// The number of events before the close frame, and the body of the close frame.
fn read_to_close(peer: &mut Peer) -> (usize, Body) {
    for before in 0.. {
        if let Received::Close(frame) = peer.next() {
            return (before, frame);
        }
    }
    unreachable!();
}

fn closes_with_a_full_outbox(config: Config) {
    let (server, recorder, mut peer, client) = fill(config);
    client.close((CloseCode::new(4001), "y".repeat(500)));
    assert!(!client.is_open());
    assert_eq!(client.send_text("more"), Err(SendError::Closed));
    let (messages, frame) = read_to_close(&mut peer);
    assert!(messages > 100_000 / 5000, "{messages}");
    assert_eq!(frame, Some((4001, "y".repeat(123))));
    peer.finish();
    assert_eq!(recorder.disconnected().2, "closed");
    server.wait_for_clients(0);
}

fn closes_when_the_client_does_not_read_its_full_outbox(config: Config) {
    let (server, recorder, peer, client) = fill(config.close_timeout(Duration::from_millis(150)));
    client.close((CloseCode::new(1005), "why"));
    assert!(!client.is_open());
    assert_eq!(recorder.disconnected().2, "did not answer a close frame");
    server.wait_for_clients(0);
    drop(peer);
}

/// The server queues a bounded number of pongs, and the client sends more pings than that.
fn closes_during_a_flood_of_pings(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    let pings = frame(PING, &[b'?'; 125]).repeat(2000);
    for written in 0.. {
        if client.buffered_amount() > 4000 {
            break;
        }
        assert!(written < 400, "the queue of pongs never fills");
        peer.raw(&pings);
    }
    peer.raw(&pings);
    client.close((CloseCode::new(4001), "y".repeat(500)));
    assert!(!client.is_open());
    let (pongs, frame) = read_to_close(&mut peer);
    assert!(pongs > 30);
    assert_eq!(frame, Some((4001, "y".repeat(123))));
    peer.finish();
    assert_eq!(recorder.disconnected().2, "closed");
    server.wait_for_clients(0);
}

fn sends_only_the_first_of_several_closes(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    client.close((CloseCode::new(4001), "first"));
    client.close((CloseCode::new(4002), "second".repeat(100)));
    client.close(CloseCode::new(1005));
    assert_eq!(peer.next(), Received::Close(Some((4001, "first".into()))));
    peer.finish();
    recorder.disconnected();
    client.close((CloseCode::new(4003), "after the end"));
    server.wait_for_clients(0);
}

fn closes_while_reading_is_paused(config: Config) {
    let server = Server::bind(config.max_handler_read_backlog(1).listen("127.0.0.1:0")).unwrap();
    let (resource, mut events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), resource).unwrap();
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let Some(Event::Connected(client)) = within(events.next()) else { panic!() };
    for _ in 0..100 {
        peer.text("fills the backlog");
    }
    let Some(Event::Text(..)) = within(events.next()) else { panic!() };
    client.close((CloseCode::new(1006), "why"));
    assert_eq!(peer.next(), Received::Close(None));
    peer.finish();
    let Some(Event::Disconnected(_, end)) = within(events.next()) else { panic!() };
    assert!(end.is_clean() && end.undelivered == 99, "{end}");
    server.wait_for_clients(0);
}

/// Sends its client to the test, and blocks `connected` until the gate opens.
struct BlocksConnected(Gate, Mutex<Sender<Client>>);

impl Resource for BlocksConnected {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.1.lock().unwrap().send(client.clone()).unwrap();
        self.0.pass();
        Ok(())
    }
}

fn closes_before_connected_returns(config: Config) {
    let (gate, (tx, rx)) = (Gate::default(), channel());
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), BlocksConnected(gate.clone(), Mutex::new(tx))).unwrap();
    let server = Running::run(server);
    let address = server.address();
    let peer = thread::spawn(move || {
        let url = format!("ws://{address}/");
        let request = ClientRequest::new(Version::Rfc6455, &url);
        let mut peer = Peer::open(common::tcp(address), Version::Rfc6455, request).unwrap();
        assert_eq!(peer.next(), Received::Close(Some((4001, "y".repeat(123)))));
        peer.finish();
    });
    let client = rx.recv_timeout(TIMEOUT).unwrap();
    client.close((CloseCode::new(4001), "y".repeat(500)));
    gate.open();
    peer.join().unwrap();
    server.wait_for_clients(0);
}
