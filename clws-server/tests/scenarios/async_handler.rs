//! Clients served by an async handler each.

use std::future::Future;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::common;
use crate::common::{ALL_VERSIONS, Received, Running, TIMEOUT, text};
use clws_server::{
    Accept, Bytes, Client, Close, CloseCode, Config, Disconnect, Message, Opening, Origins, Reject, Resource,
    SendError, Server, Text, Version, WebSocket, async_handler,
};
use futures::future::{Either, select};
use futures::stream::FusedStream;
use futures::{SinkExt, StreamExt};

in_both_modes!(
    echoes_in_every_version,
    returning_closes_with_1000,
    a_panic_closes_with_1011,
    reports_how_the_client_ended,
    a_dropped_next_loses_no_message,
    send_waits_for_a_client_that_does_not_read,
    a_dropped_send_sends_nothing,
    is_a_stream_and_a_sink,
    halves_work_in_two_tasks,
    a_waiting_send_ends_with_its_client,
    send_waits_for_messages_larger_than_the_write_backlog,
    works_inside_another_resource,
    a_handler_that_does_not_read_stops_only_its_client,
    accepting_attaches_data_to_the_client,
);

fn start<F, R>(config: Config, handler: F) -> Running
where
    F: Fn(WebSocket) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), async_handler(handler)).unwrap();
    Running::run(server)
}

/// A channel. Each call of the handler gets a clone of its sender.
fn test_channel<T: Send>() -> (Sender<T>, Receiver<T>) {
    channel()
}

fn echoes_in_every_version(config: Config) {
    let server = start(config, |mut socket: WebSocket| async move {
        while let Some(message) = socket.next().await {
            socket.send(message).await.unwrap();
        }
    });
    for version in ALL_VERSIONS {
        let mut peer = server.connect(version, "/");
        for number in 0..100 {
            peer.text(&number.to_string());
        }
        for number in 0..100 {
            assert_eq!(peer.next(), text(&number.to_string()));
        }
        if !version.is_hixie() {
            peer.binary(&[7; 100_000]);
            assert_eq!(peer.next(), Received::Binary(vec![7; 100_000]));
        }
    }
}

fn returning_closes_with_1000(config: Config) {
    let server = start(config, |mut socket: WebSocket| async move {
        socket.send("only this").await.unwrap();
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    assert_eq!(peer.next(), text("only this"));
    assert_eq!(peer.next(), Received::Close(Some((1000, String::new()))));
    peer.finish();
    server.wait_for_clients(0);
}

fn a_panic_closes_with_1011(config: Config) {
    let server = start(config, |mut socket: WebSocket| async move {
        socket.next().await;
        panic!("in an async handler");
    });
    let mut other = server.connect(Version::Rfc6455, "/");
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("go");
    assert_eq!(peer.next(), Received::Close(Some((1011, String::new()))));
    peer.finish();
    other.text("go");
    assert_eq!(other.next(), Received::Close(Some((1011, String::new()))));
}

fn reports_how_the_client_ended(config: Config) {
    let (tx, rx) = test_channel();
    let server = start(config, move |mut socket: WebSocket| {
        let tx = tx.clone();
        async move {
            // `select!` skips a terminated stream, so the stream must not report that before it
            // yields `None`.
            loop {
                assert!(!socket.is_terminated());
                if socket.next().await.is_none() {
                    break;
                }
            }
            assert!(socket.is_terminated());
            assert_eq!(socket.send("too late").await, Err(SendError::Closed));
            assert_eq!(socket.next().await, None, "it stays `None`");
            tx.send(socket.disconnect().unwrap().to_string()).unwrap();
        }
    });
    server.connect(Version::Rfc6455, "/").close(4003, "enough");
    assert_eq!(rx.recv_timeout(TIMEOUT).unwrap(), "4003 enough: closed");
    drop(server.connect(Version::Rfc6455, "/"));
    assert_eq!(rx.recv_timeout(TIMEOUT).unwrap(), "1006: vanished");
    let _stays = server.connect(Version::Rfc6455, "/");
    server.handle.stop();
    drop(_stays);
    assert!(rx.recv_timeout(TIMEOUT).is_ok());
}

fn a_dropped_next_loses_no_message(config: Config) {
    let server = start(config, |mut socket: WebSocket| async move {
        let mut count = 0;
        loop {
            // Drops most of the futures before they are ready.
            let next = Box::pin(socket.next());
            match select(next, Box::pin(async_std::task::sleep(Duration::from_micros(50)))).await {
                Either::Left((Some(message), _)) => {
                    assert_eq!(message, Message::Text(count.to_string().into()));
                    count += 1;
                }
                Either::Left((None, _)) => return,
                Either::Right(_) if count == 200 => break,
                Either::Right(_) => {}
            }
        }
        socket.send("all").await.unwrap();
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    for number in 0..200 {
        peer.text(&number.to_string());
        if number % 10 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(peer.next(), text("all"));
}

/// Several times the size of the socket buffers.
const PIECE: usize = 1 << 20;
const PIECES: usize = 30;

fn send_waits_for_a_client_that_does_not_read(config: Config) {
    let (tx, rx) = test_channel();
    let server = start(config.write_high_water(PIECE), move |mut socket: WebSocket| {
        let tx = tx.clone();
        async move {
            let piece = Bytes::from(vec![1; PIECE]);
            for number in 0..PIECES {
                socket.send(piece.clone()).await.unwrap();
                assert!(socket.client().buffered_amount() <= 2 * PIECE + 100);
                tx.send(number).unwrap();
            }
        }
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    let mut sent = 0;
    while rx.recv_timeout(Duration::from_millis(500)).is_ok() {
        sent += 1;
    }
    assert!(sent < PIECES, "`send` did not wait");
    for _ in 0..PIECES {
        assert_eq!(peer.next(), Received::Binary(vec![1; PIECE]));
    }
    assert_eq!(peer.next(), Received::Close(Some((1000, String::new()))));
    peer.finish();
}

fn a_dropped_send_sends_nothing(config: Config) {
    let (tx, rx) = test_channel();
    let server = start(config.write_high_water(PIECE), move |mut socket: WebSocket| {
        let tx = tx.clone();
        async move {
            let (mut sent, mut dropped) = (0u32, false);
            while !dropped {
                let send = Box::pin(socket.send(vec![0; PIECE]));
                match select(send, Box::pin(async_std::task::sleep(Duration::from_millis(200)))).await {
                    Either::Left((result, _)) => result.unwrap(),
                    Either::Right(_) => {
                        dropped = true;
                        continue;
                    }
                }
                sent += 1;
            }
            tx.send(sent).unwrap();
            socket.send("after the dropped send").await.unwrap();
        }
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    for _ in 0..rx.recv_timeout(TIMEOUT).unwrap() {
        assert!(matches!(peer.next(), Received::Binary(_)));
    }
    assert_eq!(peer.next(), text("after the dropped send"));
}

fn is_a_stream_and_a_sink(config: Config) {
    let server = start(config, |socket: WebSocket| async move {
        let (sink, stream) = StreamExt::split(socket);
        let _ = stream.map(Ok).forward(sink).await;
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    for number in 0..50 {
        peer.assert_echo(&number.to_string());
    }
    peer.close(1000, "");
    assert!(matches!(peer.next(), Received::Close(_)));

    let server = start(common::config(), |socket: WebSocket| async move {
        let (mut reader, mut writer) = socket.split();
        let first = StreamExt::next(&mut reader).await.unwrap();
        SinkExt::send(&mut writer, first).await.unwrap();
        SinkExt::close(&mut writer).await.unwrap();
    });
    let mut peer = server.connect(Version::Hybi08, "/");
    peer.assert_echo("once");
    assert_eq!(peer.next(), Received::Close(Some((1000, String::new()))));
    peer.finish();
}

fn halves_work_in_two_tasks(config: Config) {
    let server = start(config, |socket: WebSocket| async move {
        let (mut reader, mut writer) = socket.split();
        let (pass, mut passed) = futures::channel::mpsc::unbounded::<Message>();
        let writing = async_std::task::spawn(async move {
            while let Some(message) = passed.next().await {
                writer.send(message).await.unwrap();
            }
        });
        for _ in 0..3 {
            pass.unbounded_send(reader.next().await.unwrap()).unwrap();
        }
        drop(reader); // the rest of the input is discarded
        drop(pass);
        writing.await; // the task drops the writer, the last handle of the socket
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    for number in 0..3 {
        peer.text(&number.to_string());
    }
    peer.binary(&vec![0; 5_000_000]);
    for number in 0..3 {
        assert_eq!(peer.next(), text(&number.to_string()));
    }
    assert_eq!(peer.next(), Received::Close(Some((1000, String::new()))));
    peer.finish();
}

/// A send must not wait for ever, however the client ends.
fn a_waiting_send_ends_with_its_client(config: Config) {
    let (tx, rx) = test_channel();
    let config = config.write_high_water(1000).write_timeout(Duration::from_millis(200));
    let server = start(config.close_timeout(Duration::from_millis(200)), move |mut socket: WebSocket| {
        let tx = tx.clone();
        async move {
            while socket.send(vec![0; PIECE]).await.is_ok() {}
            tx.send(()).unwrap();
        }
    });
    let peers: Vec<_> = (0..20)
        .filter_map(|round| {
            let mut peer = server.connect(Version::Rfc6455, "/");
            match round % 4 {
                0 => return None,           // resets
                1 => peer.close(1000, ""),  // closes, and does not read again
                2 => peer.raw(&[0xFF; 10]), // breaks the protocol, and is closed by the server
                _ => {}                     // stays without reading until it is dropped
            }
            Some(peer)
        })
        .collect();
    for _ in 0..20 {
        rx.recv_timeout(TIMEOUT).unwrap();
    }
    drop(peers);
    server.wait_for_clients(0);
}

fn send_waits_for_messages_larger_than_the_write_backlog(config: Config) {
    let server = start(config.max_write_backlog(10_000), |mut socket: WebSocket| async move {
        for _ in 0..100 {
            socket.send(vec![0; PIECE]).await.unwrap(); // never `Full`
        }
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    for _ in 0..100 {
        assert!(matches!(peer.next(), Received::Binary(_)));
    }
}

fn works_inside_another_resource(config: Config) {
    /// Decides on openings, and passes all other events to another resource.
    struct Guard<R>(R);

    impl<R: Resource> Resource for Guard<R> {
        fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
            opening.query_string().map(|_| Accept::new()).ok_or_else(|| Reject::forbidden("no name"))
        }

        fn connected(&self, client: &Client) -> Result<(), Close> {
            self.0.connected(client)
        }

        fn text(&self, client: &Client, text: Text<'_>) {
            self.0.text(client, text);
        }

        fn disconnected(&self, client: &Client, end: &Disconnect) {
            self.0.disconnected(client, end);
        }
    }

    let (tx, rx) = test_channel();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let handler = async_handler(move |mut socket: WebSocket| {
        let tx = tx.clone();
        async move {
            while let Some(message) = socket.next().await {
                socket.send(message).await.unwrap();
            }
            tx.send(()).unwrap();
        }
    });
    server.resources().register("/", Origins::any(), Guard(handler)).unwrap();
    let server = Running::run(server);
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(403));
    let mut peer = server.connect(Version::Rfc6455, "/?me");
    peer.assert_echo("hello");
    drop(peer);
    rx.recv_timeout(TIMEOUT).unwrap();
}

fn a_handler_that_does_not_read_stops_only_its_client(config: Config) {
    let (go_on, wait) = async_std::channel::bounded::<()>(1);
    let server = start(config.max_handler_read_backlog(100_000), move |mut socket: WebSocket| {
        let wait = wait.clone();
        async move {
            if socket.client().query_string() == Some("slow") {
                wait.recv().await.unwrap();
            }
            let mut bytes = 0;
            while let Some(message) = socket.next().await {
                match message {
                    Message::Binary(payload) => bytes += payload.len(),
                    _ => socket.send(bytes.to_string()).await.unwrap(),
                }
            }
        }
    });
    let mut slow = server.connect(Version::Rfc6455, "/?slow");
    let (done, is_done) = channel();
    let sending = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for _ in 0..20_000 {
            slow.sender.binary(&[0; 1000], None).unwrap();
        }
        slow.sender.text("how many?", None).unwrap();
        slow.sender.write_to(&mut bytes).unwrap();
        slow.stream.write_all(&bytes).unwrap();
        done.send(()).unwrap();
        slow.next()
    });
    assert!(is_done.recv_timeout(Duration::from_millis(500)).is_err(), "the slow client is still being read");
    let mut other = server.connect(Version::Rfc6455, "/");
    other.text("how many?");
    assert_eq!(other.next(), text("0"));
    go_on.send_blocking(()).unwrap();
    assert_eq!(sending.join().unwrap(), text("20000000"));
}

fn accepting_attaches_data_to_the_client(config: Config) {
    struct User(String);
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let resource = async_handler(|mut socket: WebSocket| async move {
        let name = socket.client().data::<User>().unwrap().0.clone();
        socket.send(format!("hello, {name}")).await.unwrap();
        socket.close((CloseCode::new(4009), "that is all"));
        assert!(socket.next().await.is_none());
    })
    .accepting(|opening| {
        let name = opening.query_string().ok_or_else(|| Reject::custom(401, "no name"))?.to_owned();
        let (accept, decision) = Accept::later();
        std::thread::spawn(move || decision.accept(Accept::new().data(User(name))));
        Ok(accept)
    });
    server.resources().register("/", Origins::any(), resource).unwrap();
    let server = Running::run(server);
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(401));
    let mut peer = server.connect(Version::Rfc6455, "/?anna");
    assert_eq!(peer.next(), text("hello, anna"));
    assert_eq!(peer.next(), Received::Close(Some((4009, "that is all".into()))));
    peer.finish();
}
