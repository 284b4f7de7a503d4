//! Tasks that never wait, because their clients flood them or read at once. Other tasks still run.

use std::time::Duration;

use crate::common;
use crate::common::flood::{Flood, Work, assert_answered_during, executor_threads, wait_for_backlog};
use crate::common::gate::Gate;
use crate::common::receivers::cloner;
use crate::common::wire::{TEXT, Wire, frame};
use crate::common::{Running, eventually};
use clws_server::{
    ByteString, Config, Event, Message, Origins, ResourceListener, Server, WebSocket, async_handler, mailbox,
};
use futures::{SinkExt, StreamExt};

in_both_modes_in_own_process!(
    others_run_while_async_handlers_are_flooded,
    others_run_while_streams_are_flooded,
    others_run_while_mailboxes_are_flooded,
    others_run_while_listeners_are_flooded,
    others_run_while_async_handlers_only_send,
    others_run_while_sinks_only_send,
);

/// The handler's work for a message.
const EACH: Duration = Duration::from_micros(100);

/// A server whose other clients are served by an echoing async handler.
fn bind(config: Config) -> Server {
    let config = config.shards(2).close_timeout(Duration::from_millis(300));
    // With drivers as tasks, a delayed driver would pause a sender at the default high-water mark.
    let server = Server::bind(config.write_high_water(16 << 20).listen("127.0.0.1:0")).unwrap();
    let echo = async_handler(|mut socket: WebSocket| async move {
        while let Some(message) = socket.next().await {
            let _ = socket.send(message).await;
        }
    });
    server.resources().register("/echo", Origins::any(), echo).unwrap();
    server
}

/// The number of flooding clients, which exceeds the number of executor threads.
fn clients_that_flood() -> usize {
    2 * executor_threads()
}

/// Floods `/work0`, `/work1` and so on.
fn check_flood(server: Server, work: &Work) {
    let server = Running::run(server);
    let mut neighbours = [Wire::connect(&server, "/echo")];
    neighbours[0].assert_answered_within(common::wire::SHORT_TIMEOUT);
    let clients: Vec<_> =
        (0..clients_that_flood()).map(|number| Wire::connect(&server, &format!("/work{number}"))).collect();
    let message = frame(TEXT, b"some text");
    let floods: Vec<_> =
        clients.into_iter().map(|client| Flood::writing(client, message.repeat(2_000))).collect();
    wait_for_backlog(&floods, message.len(), work);
    assert_answered_during(&mut neighbours, &floods, message.len(), work);
}

fn others_run_while_async_handlers_are_flooded(config: Config) {
    let (server, (work, _end_work)) = (bind(config), Work::of(EACH));
    for number in 0..clients_that_flood() {
        let clone = cloner(work.clone());
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
    check_flood(server, &work);
}

/// The same with the traits of `futures`, and with a half of the socket.
fn others_run_while_streams_are_flooded(config: Config) {
    let (server, (work, _end_work)) = (bind(config), Work::of(EACH));
    for number in 0..clients_that_flood() {
        let clone = cloner(work.clone());
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
    check_flood(server, &work);
}

fn others_run_while_mailboxes_are_flooded(config: Config) {
    let (server, (work, _end_work)) = (bind(config), Work::of(EACH));
    for number in 0..clients_that_flood() {
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
    check_flood(server, &work);
}

struct Worker(Work);

impl ResourceListener for Worker {
    type Message = ();

    fn text(&mut self, _: &clws_server::Client, _: ByteString) {
        self.0.work();
    }
}

fn others_run_while_listeners_are_flooded(config: Config) {
    let (server, (work, _end_work)) = (bind(config), Work::of(EACH));
    for number in 0..clients_that_flood() {
        let path = format!("/work{number}");
        server.resources().run_resource_listener(&path, Origins::any(), Worker(work.clone())).unwrap();
    }
    check_flood(server, &work);
}

/// Sends without end to clients that read as fast as they can.
fn check_endless_sends(server: Server, work: &Work, gate: &Gate) {
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/echo");
    neighbour.assert_answered_within(common::wire::SHORT_TIMEOUT);
    let clients: Vec<_> =
        (0..clients_that_flood()).map(|number| Wire::connect(&server, &format!("/work{number}"))).collect();
    let _readers: Vec<_> = clients.into_iter().map(Flood::reading).collect();
    gate.open();
    eventually("all handlers send", || work.done() > 1_000);
    for _ in 0..3 {
        let before = work.done();
        neighbour.assert_answered_within(common::wire::SHORT_TIMEOUT);
        eventually("the handlers continue", || work.done() > before);
    }
}

fn others_run_while_async_handlers_only_send(config: Config) {
    let (server, (work, _end_work), gate) = (bind(config), Work::of(EACH / 10), Gate::default());
    for number in 0..clients_that_flood() {
        let clone = cloner((work.clone(), gate.clone()));
        let handler = async_handler(move |mut socket: WebSocket| {
            let (work, gate) = clone();
            async move {
                gate.passed().await;
                while !work.is_over() && socket.send("a message").await.is_ok() {
                    work.work();
                }
            }
        });
        server.resources().register(&format!("/work{number}"), Origins::any(), handler).unwrap();
    }
    check_endless_sends(server, &work, &gate);
}

fn others_run_while_sinks_only_send(config: Config) {
    let (server, (work, _end_work), gate) = (bind(config), Work::of(EACH / 10), Gate::default());
    for number in 0..clients_that_flood() {
        let clone = cloner((work.clone(), gate.clone()));
        let handler = async_handler(move |mut socket: WebSocket| {
            let (work, gate) = clone();
            async move {
                gate.passed().await;
                let message = Message::from("a message");
                while !work.is_over() && SinkExt::feed(&mut socket, message.clone()).await.is_ok() {
                    work.work();
                }
            }
        });
        server.resources().register(&format!("/work{number}"), Origins::any(), handler).unwrap();
    }
    check_endless_sends(server, &work, &gate);
}
