//! Tasks that never wait, because their clients flood them or read at once. Other tasks run nevertheless.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::time::Duration;

use clws_server::{
    Config, Event, Message, Origins, ResourceListener, Server, WebSocket, async_handler, mailbox,
};
use common::flood::{Flood, Work, ask_during, executor_threads, wait_for_backlog};
use common::gate::Gate;
use common::receivers::shared;
use common::wire::{TEXT, Wire, frame};
use common::{Running, eventually};
use futures::{SinkExt, StreamExt};

alone_in_both_modes!(
    beside_async_functions_that_are_flooded,
    beside_streams_that_are_flooded,
    beside_mailboxes_that_are_flooded,
    beside_listeners_that_are_flooded,
    beside_async_functions_that_only_send,
    beside_sinks_that_only_send,
);

/// Work for a message: it is parsed, and something is looked up.
const EACH: Duration = Duration::from_micros(100);

/// A server whose neighbours are echoed to by async functions.
fn bind(config: Config) -> Server {
    let config = config.shards(2).close_timeout(Duration::from_millis(300));
    // Where drivers are tasks too, a driver that waits its turn would stop a sender at the default mark.
    let server = Server::bind(config.write_high_water(16 << 20).listen("127.0.0.1:0")).unwrap();
    let echo = async_handler(|mut socket: WebSocket| async move {
        while let Some(message) = socket.next().await {
            let _ = socket.send(message).await;
        }
    });
    server.resources().register("/echo", Origins::any(), echo).unwrap();
    server
}

/// More of them than there are threads for their tasks.
fn flooders() -> usize {
    2 * executor_threads()
}

/// Floods `/work0`, `/work1` and so on.
fn flood(server: Server, work: &Work) {
    let server = Running::run(server);
    let mut neighbours = [Wire::connect(&server, "/echo")];
    neighbours[0].assert_answered_within(common::wire::SHORT);
    let clients: Vec<_> =
        (0..flooders()).map(|number| Wire::connect(&server, &format!("/work{number}"))).collect();
    let message = frame(TEXT, b"some text");
    let floods: Vec<_> = clients.into_iter().map(|client| Flood::of(client, message.repeat(2_000))).collect();
    wait_for_backlog(&floods, message.len(), work);
    ask_during(&mut neighbours, &floods, message.len(), work);
}

fn beside_async_functions_that_are_flooded(config: Config) {
    let (server, (work, _ends_work)) = (bind(config), Work::of(EACH));
    for number in 0..flooders() {
        let clone = shared(work.clone());
        let handler = async_handler(move |mut socket: WebSocket| {
            let work = clone();
            async move {
                while socket.next().await.is_some() {
                    work.work();
                }
            }
        });
        server.resources().register(&format!("/work{number}"), Origins::any(), handler).unwrap();
    }
    flood(server, &work);
}

/// The same by the traits of `futures`, and by a half of the socket.
fn beside_streams_that_are_flooded(config: Config) {
    let (server, (work, _ends_work)) = (bind(config), Work::of(EACH));
    for number in 0..flooders() {
        let clone = shared(work.clone());
        let handler = async_handler(move |socket: WebSocket| {
            let work = clone();
            async move {
                let (reader, _writer) = socket.split();
                reader
                    .for_each(|_| {
                        work.work();
                        std::future::ready(())
                    })
                    .await;
            }
        });
        server.resources().register(&format!("/work{number}"), Origins::any(), handler).unwrap();
    }
    flood(server, &work);
}

fn beside_mailboxes_that_are_flooded(config: Config) {
    let (server, (work, _ends_work)) = (bind(config), Work::of(EACH));
    for number in 0..flooders() {
        let (resource, mut events) = mailbox::<()>();
        server.resources().register(&format!("/work{number}"), Origins::any(), resource).unwrap();
        let work = work.clone();
        async_std::task::spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::Text(..) = event {
                    work.work();
                }
            }
        });
    }
    flood(server, &work);
}

struct Worker(Work);

impl ResourceListener for Worker {
    type Message = ();

    fn text(&mut self, _: &clws_server::Client, _: clws_server::ByteString) {
        self.0.work();
    }
}

fn beside_listeners_that_are_flooded(config: Config) {
    let (server, (work, _ends_work)) = (bind(config), Work::of(EACH));
    for number in 0..flooders() {
        let path = format!("/work{number}");
        server.resources().run_resource_listener(&path, Origins::any(), Worker(work.clone())).unwrap();
    }
    flood(server, &work);
}

/// Clients that read as fast as they can, and are sent to without end.
fn send(server: Server, work: &Work, gate: &Gate) {
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/echo");
    neighbour.assert_answered_within(common::wire::SHORT);
    let clients: Vec<_> =
        (0..flooders()).map(|number| Wire::connect(&server, &format!("/work{number}"))).collect();
    let _readers: Vec<_> = clients.into_iter().map(Flood::reading).collect();
    gate.open();
    eventually("all of them send", || work.done() > 1_000);
    for _ in 0..3 {
        let before = work.done();
        neighbour.assert_answered_within(common::flood::PROMPT);
        eventually("they go on", || work.done() > before);
    }
}

fn beside_async_functions_that_only_send(config: Config) {
    let (server, (work, _ends_work), gate) = (bind(config), Work::of(EACH / 10), Gate::default());
    for number in 0..flooders() {
        let clone = shared((work.clone(), gate.clone()));
        let handler = async_handler(move |mut socket: WebSocket| {
            let (work, gate) = clone();
            async move {
                gate.passed().await;
                while !work.is_over() && socket.send("the time is now").await.is_ok() {
                    work.work();
                }
            }
        });
        server.resources().register(&format!("/work{number}"), Origins::any(), handler).unwrap();
    }
    send(server, &work, &gate);
}

fn beside_sinks_that_only_send(config: Config) {
    let (server, (work, _ends_work), gate) = (bind(config), Work::of(EACH / 10), Gate::default());
    for number in 0..flooders() {
        let clone = shared((work.clone(), gate.clone()));
        let handler = async_handler(move |mut socket: WebSocket| {
            let (work, gate) = clone();
            async move {
                gate.passed().await;
                let message = Message::Text("the time is now".into());
                while !work.is_over() && SinkExt::feed(&mut socket, message.clone()).await.is_ok() {
                    work.work();
                }
            }
        });
        server.resources().register(&format!("/work{number}"), Origins::any(), handler).unwrap();
    }
    send(server, &work, &gate);
}
