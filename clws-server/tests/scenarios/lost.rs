//! A client sends more than its receiver takes at once, and half-closes. Every message is delivered
//! before the end.
#![allow(clippy::mutable_key_type, reason = "a client's identity never changes")]

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::time::Instant;

use crate::common::Running;
use crate::common::gate::Gate;
use crate::common::receivers::{Kind, assert_in_order, cloner};
use crate::common::wire::{SHORT_TIMEOUT, Wire, numbered_texts, wait_a_moment};
use clws_server::{
    Client, Config, Event, Mailbox, Message, Origins, Server, WebSocket, async_handler, mailbox,
};
use futures::{FutureExt, StreamExt};

in_both_modes!(
    a_mailbox_gets_everything_although_the_shard_is_blocked,
    a_busily_polled_mailbox_gets_everything,
    a_listener_gets_everything,
    an_async_handler_gets_everything,
    a_busily_polling_async_handler_gets_everything,
    an_inline_handler_gets_everything,
);

const MESSAGES: usize = 600;

/// The number of clients in tests that depend on timing.
const CLIENTS: usize = 16;

/// The limit of a mailbox. 7 messages exceed it.
const LIMIT: usize = 1024;

/// Sends all messages, and waits until the server has read them.
fn send(server: &Running) -> Wire {
    let mut client = Wire::connect(server, "/");
    client.raw(&numbered_texts(MESSAGES, 90));
    wait_a_moment();
    client
}

/// Sends all messages from many clients, which half-close. The receiver takes nothing yet.
fn send_from_many(server: &Running) -> Vec<Wire> {
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Wire::connect(server, "/")).collect();
    for client in &mut clients {
        client.raw(&numbered_texts(MESSAGES, 90));
        client.shutdown_write();
    }
    wait_a_moment();
    clients
}

fn start(config: Config) -> (Running, Mailbox<()>, Gate) {
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    let ((resource, events), gate) = (mailbox::<()>(), Gate::default());
    server.resources().register("/", Origins::any(), resource).unwrap();
    server.resources().register("/block", Origins::any(), gate.clone()).unwrap();
    (Running::run(server), events, gate)
}

/// Takes events until at least `at_least` messages are there and the mailbox is empty. Returns true
/// at the client's end.
fn take(events: &mut Mailbox<()>, texts: &mut Vec<String>, at_least: usize) -> bool {
    let end = Instant::now() + SHORT_TIMEOUT;
    loop {
        match events.next().now_or_never().flatten() {
            Some(Event::Text(_, text)) => texts.push(text.to_string()),
            Some(Event::Disconnected(..)) => return true,
            Some(_) => {}
            None if texts.len() >= at_least => return false,
            None => assert!(Instant::now() < end, "{} messages but no end", texts.len()),
        }
    }
}

fn a_mailbox_gets_everything_although_the_shard_is_blocked(config: Config) {
    let (server, mut events, gate) = start(config.max_handler_read_backlog(LIMIT));
    let mut blocked = [Wire::connect(&server, "/block")];
    let client = send(&server);
    gate.block(&mut blocked);
    client.shutdown_write();
    let mut texts = Vec::new();
    take(&mut events, &mut texts, 1); // resumes the client
    gate.open();
    assert!(take(&mut events, &mut texts, usize::MAX));
    assert_eq!(texts.len(), MESSAGES);
    assert_in_order(&texts);
}

/// Resumes clients at every point between two steps of their connections.
fn a_busily_polled_mailbox_gets_everything(config: Config) {
    let (server, mut events, _gate) = start(config.max_handler_read_backlog(0));
    let _clients = send_from_many(&server);
    let (mut texts, mut ended) = (HashMap::<Client, Vec<String>>::new(), 0);
    let mut end = Instant::now() + SHORT_TIMEOUT;
    while ended < CLIENTS {
        let event = events.next().now_or_never().flatten();
        if event.is_some() {
            end = Instant::now() + SHORT_TIMEOUT; // a wait ends with each event
        }
        match event {
            Some(Event::Text(client, text)) => texts.entry(client).or_default().push(text.to_string()),
            Some(Event::Disconnected(..)) => ended += 1,
            _ => assert!(Instant::now() < end, "only {ended} clients ended"),
        }
    }
    for texts in texts.values() {
        assert_eq!(texts.len(), MESSAGES);
        assert_in_order(texts);
    }
}

/// Delivers the messages of a half-closed client while another client's handler blocks the shard.
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
        client.shutdown_write();
        held.open();
    } else {
        busy.block(&mut blocked);
        client.shutdown_write();
        held.open();
        wait_a_moment(); // the receiver takes the available messages, which resumes the client
        busy.open();
    }
    let (texts, end) = log.messages_and_end();
    assert_eq!(texts.len(), MESSAGES, "{end}");
    assert_in_order(&texts);
}

fn a_listener_gets_everything(config: Config) {
    receive(config, Kind::Listener);
}

fn an_async_handler_gets_everything(config: Config) {
    receive(config, Kind::Async);
}

fn a_busily_polling_async_handler_gets_everything(config: Config) {
    let server = Server::bind(config.max_handler_read_backlog(0).listen("127.0.0.1:0")).unwrap();
    let (tx, rx) = channel();
    let gate = Gate::default();
    let clone = cloner((tx, gate.clone()));
    let handler = move |mut socket: WebSocket| {
        let (tx, gate) = clone();
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
            let _ = tx.send(texts);
        }
    };
    server.resources().register("/", Origins::any(), async_handler(handler)).unwrap();
    let server = Running::run(server);
    let _clients = send_from_many(&server);
    gate.open();
    for _ in 0..CLIENTS {
        let texts: Vec<String> = rx.recv_timeout(SHORT_TIMEOUT).unwrap();
        assert_eq!(texts.len(), MESSAGES);
        assert_in_order(&texts);
    }
}

fn an_inline_handler_gets_everything(config: Config) {
    receive(config, Kind::Inline);
}
