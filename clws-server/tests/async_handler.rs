//! Each client served by an async function.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::future::Future;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use clws_server::{
    Accept, Bytes, Client, Close, CloseCode, Config, Disconnect, Message, Opening, Origins, Reject, Resource,
    SendError, Server, Text, Version, WebSocket, async_handler,
};
use common::{ALL, Got, PATIENCE, Running, text};
use futures::future::{Either, select};
use futures::stream::FusedStream;
use futures::{SinkExt, StreamExt};

in_both_modes!(
    echoes_in_every_version,
    returning_closes_with_1000,
    a_panic_closes_with_1011,
    learns_how_it_ended,
    a_dropped_next_loses_nothing,
    send_waits_for_a_client_that_does_not_read,
    a_dropped_send_has_sent_nothing,
    is_a_stream_and_a_sink,
    halves_live_in_two_tasks,
    a_send_that_waits_ends_with_its_client,
    waits_too_where_little_may_be_queued,
    may_stand_behind_another_resource,
    that_does_not_read_stops_its_client_only,
    accepts_with_data,
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

/// A channel of which each call of the handler gets a clone.
fn told<T: Send>() -> (Sender<T>, Receiver<T>) {
    channel()
}

fn echoes_in_every_version(config: Config) {
    let server = start(config, |mut socket: WebSocket| async move {
        while let Some(message) = socket.next().await {
            socket.send(message).await.unwrap();
        }
    });
    for version in ALL {
        let mut peer = server.connect(version, "/");
        for number in 0..100 {
            peer.text(&number.to_string());
        }
        for number in 0..100 {
            assert_eq!(peer.next(), text(&number.to_string()));
        }
        if !version.is_hixie() {
            peer.binary(&[7; 100_000]);
            assert_eq!(peer.next(), Got::Binary(vec![7; 100_000]));
        }
    }
}

fn returning_closes_with_1000(config: Config) {
    let server = start(config, |mut socket: WebSocket| async move {
        socket.send("only this").await.unwrap();
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    assert_eq!(peer.next(), text("only this"));
    assert_eq!(peer.next(), Got::Close(Some((1000, String::new()))));
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
    assert_eq!(peer.next(), Got::Close(Some((1011, String::new()))));
    peer.finish();
    other.text("go");
    assert_eq!(other.next(), Got::Close(Some((1011, String::new()))));
}

fn learns_how_it_ended(config: Config) {
    let (tell, told) = told();
    let server = start(config, move |mut socket: WebSocket| {
        let tell = tell.clone();
        async move {
            // `select!` passes over a stream that says it is terminated: not before its end was told.
            loop {
                assert!(!socket.is_terminated());
                if socket.next().await.is_none() {
                    break;
                }
            }
            assert!(socket.is_terminated());
            assert_eq!(socket.send("too late").await, Err(SendError::Closed));
            assert_eq!(socket.next().await, None, "and again");
            tell.send(socket.disconnect().unwrap().to_string()).unwrap();
        }
    });
    server.connect(Version::Rfc6455, "/").close(4003, "enough");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "4003 enough: closed");
    drop(server.connect(Version::Rfc6455, "/"));
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "1006: vanished");
    let _stays = server.connect(Version::Rfc6455, "/");
    server.handle.stop();
    drop(_stays);
    assert!(told.recv_timeout(PATIENCE).is_ok());
}

fn a_dropped_next_loses_nothing(config: Config) {
    let server = start(config, |mut socket: WebSocket| async move {
        let mut count = 0;
        loop {
            // Drops most of its futures before they are ready.
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

/// More than the sockets' own buffers take, many times.
const PIECE: usize = 1 << 20;
const PIECES: usize = 30;

fn send_waits_for_a_client_that_does_not_read(config: Config) {
    let (tell, told) = told();
    let server = start(config.write_high_water(PIECE), move |mut socket: WebSocket| {
        let tell = tell.clone();
        async move {
            let piece = Bytes::from(vec![1; PIECE]);
            for number in 0..PIECES {
                socket.send(piece.clone()).await.unwrap();
                assert!(socket.client().buffered_amount() <= 2 * PIECE + 100);
                tell.send(number).unwrap();
            }
        }
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    let mut sent = 0;
    while told.recv_timeout(Duration::from_millis(500)).is_ok() {
        sent += 1;
    }
    assert!(sent < PIECES, "it waits");
    for _ in 0..PIECES {
        assert_eq!(peer.next(), Got::Binary(vec![1; PIECE]));
    }
    assert_eq!(peer.next(), Got::Close(Some((1000, String::new()))));
    peer.finish();
}

fn a_dropped_send_has_sent_nothing(config: Config) {
    let (tell, told) = told();
    let server = start(config.write_high_water(PIECE), move |mut socket: WebSocket| {
        let tell = tell.clone();
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
            tell.send(sent).unwrap();
            socket.send("behind them").await.unwrap();
        }
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    for _ in 0..told.recv_timeout(PATIENCE).unwrap() {
        assert!(matches!(peer.next(), Got::Binary(_)));
    }
    assert_eq!(peer.next(), text("behind them"));
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
    assert!(matches!(peer.next(), Got::Close(_)));

    let server = start(common::config(), |socket: WebSocket| async move {
        let (mut reader, mut writer) = socket.split();
        let first = StreamExt::next(&mut reader).await.unwrap();
        SinkExt::send(&mut writer, first).await.unwrap();
        SinkExt::close(&mut writer).await.unwrap();
    });
    let mut peer = server.connect(Version::Hybi08, "/");
    peer.assert_echo("once");
    assert_eq!(peer.next(), Got::Close(Some((1000, String::new()))));
    peer.finish();
}

fn halves_live_in_two_tasks(config: Config) {
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
        drop(reader); // what still comes is dropped
        drop(pass);
        writing.await; // the writer is dropped with its task, and then nothing holds the socket
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    for number in 0..3 {
        peer.text(&number.to_string());
    }
    peer.binary(&vec![0; 5_000_000]);
    for number in 0..3 {
        assert_eq!(peer.next(), text(&number.to_string()));
    }
    assert_eq!(peer.next(), Got::Close(Some((1000, String::new()))));
    peer.finish();
}

/// However it goes: a send must not wait for ever.
fn a_send_that_waits_ends_with_its_client(config: Config) {
    let (tell, told) = told();
    let config = config.write_high_water(1000).write_timeout(Duration::from_millis(200));
    let server = start(config.close_timeout(Duration::from_millis(200)), move |mut socket: WebSocket| {
        let tell = tell.clone();
        async move {
            while socket.send(vec![0; PIECE]).await.is_ok() {}
            tell.send(()).unwrap();
        }
    });
    for round in 0..20 {
        let mut peer = server.connect(Version::Rfc6455, "/");
        match round % 4 {
            0 => drop(peer),            // resets
            1 => peer.close(1000, ""),  // says that it goes, and reads no more
            2 => peer.raw(&[0xFF; 10]), // is told to go
            _ => {
                told.recv_timeout(PATIENCE).unwrap(); // stays, and reads nothing until it is dropped
                continue;
            }
        }
        told.recv_timeout(PATIENCE).unwrap();
    }
    server.wait_for_clients(0);
}

fn waits_too_where_little_may_be_queued(config: Config) {
    let server = start(config.max_write_backlog(10_000), |mut socket: WebSocket| async move {
        for _ in 0..100 {
            socket.send(vec![0; PIECE]).await.unwrap(); // never `Full`
        }
    });
    let mut peer = server.connect(Version::Rfc6455, "/");
    for _ in 0..100 {
        assert!(matches!(peer.next(), Got::Binary(_)));
    }
}

fn may_stand_behind_another_resource(config: Config) {
    /// Decides itself, and leaves the rest to another.
    struct Guard<R>(R);

    impl<R: Resource> Resource for Guard<R> {
        fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
            opening.query_string().map(|_| Accept::new()).ok_or_else(|| Reject::forbidden("who?"))
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

    let (tell, told) = told();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let handler = async_handler(move |mut socket: WebSocket| {
        let tell = tell.clone();
        async move {
            while let Some(message) = socket.next().await {
                socket.send(message).await.unwrap();
            }
            tell.send(()).unwrap();
        }
    });
    server.resources().register("/", Origins::any(), Guard(handler)).unwrap();
    let server = Running::run(server);
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(403));
    let mut peer = server.connect(Version::Rfc6455, "/?me");
    peer.assert_echo("hello");
    drop(peer);
    told.recv_timeout(PATIENCE).unwrap();
}

fn that_does_not_read_stops_its_client_only(config: Config) {
    let (go_on, wait) = async_std::channel::bounded::<()>(1);
    let server = start(config.max_handler_read_backlog(100_000), move |mut socket: WebSocket| {
        let wait = wait.clone();
        async move {
            if socket.client().query_string() == Some("slow") {
                wait.recv().await.unwrap();
            }
            let mut octets = 0;
            while let Some(message) = socket.next().await {
                match message {
                    Message::Binary(payload) => octets += payload.len(),
                    _ => socket.send(octets.to_string()).await.unwrap(),
                }
            }
        }
    });
    let mut slow = server.connect(Version::Rfc6455, "/?slow");
    let (done, is_done) = channel();
    let sending = std::thread::spawn(move || {
        let mut octets = Vec::new();
        for _ in 0..20_000 {
            slow.sender.binary(&[0; 1000], None).unwrap();
        }
        slow.sender.text("how many?", None).unwrap();
        slow.sender.write_to(&mut octets).unwrap();
        slow.stream.write_all(&octets).unwrap();
        done.send(()).unwrap();
        slow.next()
    });
    assert!(is_done.recv_timeout(Duration::from_millis(500)).is_err(), "it is not read from");
    let mut other = server.connect(Version::Rfc6455, "/");
    other.text("how many?");
    assert_eq!(other.next(), text("0"));
    go_on.send_blocking(()).unwrap();
    assert_eq!(sending.join().unwrap(), text("20000000"));
}

fn accepts_with_data(config: Config) {
    struct User(String);
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let resource = async_handler(|mut socket: WebSocket| async move {
        let name = socket.client().data::<User>().unwrap().0.clone();
        socket.send(format!("hello, {name}")).await.unwrap();
        socket.close((CloseCode::new(4009), "that is all"));
        assert!(socket.next().await.is_none());
    })
    .accepting(|opening| {
        let name = opening.query_string().ok_or_else(|| Reject::custom(401, "who?"))?.to_owned();
        let (accept, decision) = Accept::later();
        std::thread::spawn(move || decision.accept(Accept::new().data(User(name))));
        Ok(accept)
    });
    server.resources().register("/", Origins::any(), resource).unwrap();
    let server = Running::run(server);
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(401));
    let mut peer = server.connect(Version::Rfc6455, "/?anna");
    assert_eq!(peer.next(), text("hello, anna"));
    assert_eq!(peer.next(), Got::Close(Some((4009, "that is all".into()))));
    peer.finish();
}
