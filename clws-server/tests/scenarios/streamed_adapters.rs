//! Long messages in pieces for a mailbox, a resource listener and an async handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::gate::Gate;
use crate::common::wire::{BINARY, SHORT_TIMEOUT, Wire, header, raw_frame};
use crate::common::{Received, Running, within};
use crate::streamed::{settings, start, upload};
use clws_server::{
    Client, Config, Event, Message, OwnedPiece, ResourceListener, Server, Version, WebSocket, async_handler,
    mailbox,
};
use futures::StreamExt;

in_both_modes!(
    a_mailbox_delivers_pieces,
    a_listener_delivers_pieces,
    an_async_handler_that_is_slow_pauses_its_client,
    an_async_handler_that_drops_its_reader_counts_the_message,
);

/// The pieces of a message in progress.
#[derive(Default)]
struct Joined(Vec<u8>);

impl Joined {
    fn add(&mut self, piece: &OwnedPiece) -> Option<Vec<u8>> {
        assert_eq!(piece.first, self.0.is_empty());
        self.0.extend(piece.bytes());
        piece.last.then(|| std::mem::take(&mut self.0))
    }
}

fn a_mailbox_delivers_pieces(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    let server = start(config.max_handler_read_backlog(50_000), settings(), resource);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let payload = upload(2_000_000);
    let sent = payload.clone();
    let writer = std::thread::spawn(move || {
        peer.binary(&sent);
        peer.assert_echo("short");
        peer
    });
    let mut joined = Joined::default();
    let message = within(async {
        loop {
            match events.next().await.unwrap() {
                Event::Piece(_, piece) => {
                    if let Some(message) = joined.add(&piece) {
                        return message;
                    }
                }
                Event::Connected(_) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(message == payload);
    within(async {
        let Some(Event::Text(client, text)) = events.next().await else { panic!("no text") };
        client.send(text).unwrap();
    });
    writer.join().unwrap();
}

#[derive(Default)]
struct Listener(Joined);

impl ResourceListener for Listener {
    type Message = ();

    fn piece(&mut self, client: &Client, piece: OwnedPiece) {
        if let Some(message) = self.0.add(&piece) {
            let _ = client.send(message);
        }
    }
}

fn a_listener_delivers_pieces(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().run_resource_listener("/", settings(), Listener::default()).unwrap();
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.binary(&upload(100_000));
    assert_eq!(peer.next(), Received::Binary(upload(100_000)));
}

fn an_async_handler_that_is_slow_pauses_its_client(config: Config) {
    const LEN: usize = 48 << 20;
    let (opened, sent) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let gate = opened.clone();
    let handler = async_handler(move |mut socket: WebSocket| {
        let gate = gate.clone();
        async move {
            let mut received = 0;
            while let Some(Message::Piece(piece)) = socket.next().await {
                received += piece.bytes().len();
                assert!(piece.bytes().len() <= 64 * 1024, "a piece of {}", piece.bytes().len());
                gate.passed().await;
                if piece.last {
                    socket.send(format!("{received}")).await.unwrap();
                }
            }
        }
    });
    let server = start(config.max_handler_read_backlog(100_000), settings(), handler);
    let mut wire = Wire::connect(&server, "/");
    wire.raw(&header(BINARY, LEN));
    let progress = Arc::clone(&sent);
    let writer = std::thread::spawn(move || {
        let chunk = vec![7; 1 << 20];
        for _ in 0..LEN >> 20 {
            wire.raw(&chunk);
            progress.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(wire.next(), Some((1, LEN.to_string().into_bytes())));
    });
    // The sockets hold a few MiB, and the queue 100,000 bytes.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::Relaxed) {
        before = sent.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(before < LEN >> 20, "the client was not paused");
    opened.open();
    writer.join().unwrap();
}

fn an_async_handler_that_drops_its_reader_counts_the_message(config: Config) {
    let (ends, ended) = channel();
    let handler = async_handler(move |mut socket: WebSocket| {
        let ends = ends.clone();
        async move {
            assert!(matches!(socket.next().await, Some(Message::Piece(piece)) if !piece.last));
            let (reader, mut writer) = socket.split();
            drop(reader);
            writer.send("go on").await.unwrap();
            while writer.disconnect().is_none() {
                async_std::task::sleep(Duration::from_millis(2)).await;
            }
            ends.send(writer.disconnect().unwrap().undelivered).unwrap();
        }
    });
    let server = start(config, settings(), handler);
    let mut wire = Wire::connect(&server, "/");
    wire.raw(&raw_frame(BINARY, &upload(2000)));
    assert_eq!(wire.next(), Some((1, b"go on".to_vec())));
    for _ in 0..3 {
        wire.raw(&raw_frame(0, &upload(2000)));
    }
    wire.raw(&raw_frame(0x80, b""));
    wire.finish();
    assert_eq!(ended.recv_timeout(SHORT_TIMEOUT).unwrap(), 1);
}
