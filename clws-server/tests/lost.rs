//! A client sends more than its receiver takes at once, and ends its side. All of it is delivered before its end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(clippy::mutable_key_type, reason = "a client is a good key: nothing changes what it is compared by")]

#[macro_use]
mod common;

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::time::Instant;

use clws_server::{
    Client, Config, Event, Mailbox, Message, Origins, Server, WebSocket, async_handler, mailbox,
};
use common::Running;
use common::gate::Gate;
use common::receivers::{Kind, assert_in_order, shared};
use common::wire::{SHORT, Wire, numbered, settle};
use futures::{FutureExt, StreamExt};

in_both_modes!(
    a_mailbox_resumes_its_client_while_the_shard_is_busy,
    a_mailbox_that_is_asked_all_the_time,
    a_listener,
    an_async_function,
    an_async_function_that_asks_all_the_time,
    an_inline_handler,
);

const MESSAGES: usize = 600;

/// Clients of the tests that depend on the moment.
const CLIENTS: usize = 16;

/// The limit of a mailbox, which 7 of the messages exceed.
const LIMIT: usize = 1024;

/// Sends all messages and a FIN. The server has read the messages before.
fn send(server: &Running) -> Wire {
    let mut client = Wire::connect(server, "/");
    client.raw(&numbered(MESSAGES, 90));
    settle();
    client
}

/// The same from many clients. The receiver takes nothing yet.
fn send_from_many(server: &Running) -> Vec<Wire> {
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Wire::connect(server, "/")).collect();
    for client in &mut clients {
        client.raw(&numbered(MESSAGES, 90));
        client.end_writing();
    }
    settle();
    clients
}

fn start(config: Config) -> (Running, Mailbox<()>, Gate) {
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    let ((resource, events), gate) = (mailbox::<()>(), Gate::default());
    server.resources().register("/", Origins::any(), resource).unwrap();
    server.resources().register("/block", Origins::any(), gate.clone()).unwrap();
    (Running::run(server), events, gate)
}

/// Takes events until there are `at_least` messages and no more at this moment, or until the client's end.
fn take(events: &mut Mailbox<()>, texts: &mut Vec<String>, at_least: usize) -> bool {
    let end = Instant::now() + SHORT;
    loop {
        match events.next().now_or_never().flatten() {
            Some(Event::Text(_, text)) => texts.push(text.to_string()),
            Some(Event::Disconnected(..)) => return true,
            Some(_) => {}
            None if texts.len() >= at_least => return false,
            None => assert!(Instant::now() < end, "{} messages, and no end", texts.len()),
        }
    }
}

fn a_mailbox_resumes_its_client_while_the_shard_is_busy(config: Config) {
    let (server, mut events, gate) = start(config.max_handler_read_backlog(LIMIT));
    let mut blocked = [Wire::connect(&server, "/block")];
    let client = send(&server);
    gate.block(&mut blocked);
    client.end_writing();
    let mut texts = Vec::new();
    take(&mut events, &mut texts, 1); // and the client is resumed
    gate.open();
    assert!(take(&mut events, &mut texts, usize::MAX));
    assert_eq!(texts.len(), MESSAGES);
    assert_in_order(&texts);
}

/// Clients are resumed at each moment between two steps of their connections.
fn a_mailbox_that_is_asked_all_the_time(config: Config) {
    let (server, mut events, _gate) = start(config.max_handler_read_backlog(0));
    let _clients = send_from_many(&server);
    let (mut texts, mut ended) = (HashMap::<Client, Vec<String>>::new(), 0);
    let end = Instant::now() + SHORT;
    while ended < CLIENTS {
        match events.next().now_or_never().flatten() {
            Some(Event::Text(client, text)) => texts.entry(client).or_default().push(text.to_string()),
            Some(Event::Disconnected(..)) => ended += 1,
            _ => assert!(Instant::now() < end, "{ended} clients have ended"),
        }
    }
    for texts in texts.values() {
        assert_eq!(texts.len(), MESSAGES);
        assert_in_order(texts);
    }
}

/// Takes the messages of a client that has ended its side while another client's handler blocks the shard.
fn receive(config: Config, kind: Kind) {
    let server =
        Server::bind(config.shards(1).max_handler_read_backlog(LIMIT).listen("127.0.0.1:0")).unwrap();
    let (held, busy) = (Gate::default(), Gate::default());
    let log = kind.register(&server, "/", &held);
    server.resources().register("/block", Origins::any(), busy.clone()).unwrap();
    let server = Running::run(server);
    let mut blocked = [Wire::connect(&server, "/block")];
    let client = send(&server);
    if kind == Kind::Inline {
        client.end_writing();
        held.open();
    } else {
        busy.block(&mut blocked);
        client.end_writing();
        held.open();
        settle(); // it takes what it can, and resumes the client
        busy.open();
    }
    let (texts, end) = log.to_the_end();
    assert_eq!(texts.len(), MESSAGES, "{end}");
    assert_in_order(&texts);
}

fn a_listener(config: Config) {
    receive(config, Kind::Listener);
}

fn an_async_function(config: Config) {
    receive(config, Kind::Async);
}

fn an_async_function_that_asks_all_the_time(config: Config) {
    let server = Server::bind(config.max_handler_read_backlog(0).listen("127.0.0.1:0")).unwrap();
    let (tell, told) = channel();
    let gate = Gate::default();
    let clone = shared((tell, gate.clone()));
    let handler = move |mut socket: WebSocket| {
        let (tell, gate) = clone();
        async move {
            gate.passed().await;
            let mut texts = Vec::new();
            loop {
                match socket.next().now_or_never() {
                    Some(Some(Message::Text(text))) => texts.push(text.to_string()),
                    Some(Some(other)) => panic!("{other:?}"),
                    Some(None) => break,
                    None => async_std::task::yield_now().await,
                }
            }
            let _ = tell.send(texts);
        }
    };
    server.resources().register("/", Origins::any(), async_handler(handler)).unwrap();
    let server = Running::run(server);
    let _clients = send_from_many(&server);
    gate.open();
    for _ in 0..CLIENTS {
        let texts: Vec<String> = told.recv_timeout(SHORT).unwrap();
        assert_eq!(texts.len(), MESSAGES);
        assert_in_order(&texts);
    }
}

fn an_inline_handler(config: Config) {
    receive(config, Kind::Inline);
}
