//! Messages that were read and that no receiver is given are counted by `Disconnect::undelivered`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use clws_server::{
    Client, CloseCode, Config, Disconnect, DisconnectCause, Event, Origins, Resource, Server, Text, mailbox,
};
use common::gate::Gate;
use common::receivers::{Kind, Log, assert_in_order};
use common::wire::{SHORT, Wire, numbered};
use common::{Running, within};
use futures::StreamExt;

in_both_modes!(
    after_a_close_to_a_mailbox,
    after_a_close_to_a_listener,
    after_a_close_to_an_async_function,
    after_an_abort_to_a_mailbox,
    after_an_abort_to_a_listener,
    after_an_abort_to_an_async_function,
    when_the_deadline_of_a_stop_passes,
    when_a_mailbox_is_closed,
    when_the_client_does_not_read_its_answers,
);

const MESSAGES: usize = 100;

/// A client whose messages are read, and whose receiver has got nothing yet but that the client is there.
fn start(config: Config, kind: Kind, held: &Gate) -> (Running, Log, Wire, Client) {
    // The mailbox's limit is exceeded by 7 of the messages.
    let server = Server::bind(config.shards(1).max_handler_read_backlog(1024).listen("127.0.0.1:0")).unwrap();
    let log = kind.register(&server, "/", held);
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    let client = log.connected();
    wire.send_and_wait_until_read(&numbered(MESSAGES, 90));
    (server, log, wire, client)
}

#[track_caller]
fn assert_counted(delivered: usize, end: &Disconnect) {
    assert_eq!(delivered + usize::try_from(end.undelivered).unwrap(), MESSAGES, "{end}");
}

fn close(config: Config, kind: Kind) {
    let held = Gate::default();
    let (_server, log, mut wire, client) = start(config, kind, &held);
    client.close(CloseCode::new(4000));
    assert_eq!(wire.close_code(), Some(4000));
    wire.finish();
    held.open();
    let (texts, end) = log.to_the_end();
    assert_eq!((texts.len(), end.undelivered), (0, MESSAGES as u64), "{end}");
    assert!(end.is_clean(), "{end}");
}

fn after_a_close_to_a_mailbox(config: Config) {
    close(config, Kind::Mailbox);
}

fn after_a_close_to_a_listener(config: Config) {
    close(config, Kind::Listener);
}

fn after_a_close_to_an_async_function(config: Config) {
    close(config, Kind::Async);
}

fn abort(config: Config, kind: Kind) {
    let held = Gate::default();
    let (_server, log, _wire, client) = start(config, kind, &held);
    client.abort();
    held.open();
    let (texts, end) = log.to_the_end();
    assert_eq!((texts.len(), end.undelivered), (0, MESSAGES as u64), "{end}");
}

fn after_an_abort_to_a_mailbox(config: Config) {
    abort(config, Kind::Mailbox);
}

fn after_an_abort_to_a_listener(config: Config) {
    abort(config, Kind::Listener);
}

fn after_an_abort_to_an_async_function(config: Config) {
    abort(config, Kind::Async);
}

fn when_the_deadline_of_a_stop_passes(config: Config) {
    for kind in [Kind::Mailbox, Kind::Listener, Kind::Async] {
        let held = Gate::default();
        let config = config.clone().close_timeout(Duration::from_millis(200));
        let (server, log, _wire, _client) = start(config, kind, &held);
        server.stop().unwrap();
        held.open();
        let (texts, end) = log.to_the_end();
        assert_in_order(&texts);
        assert_counted(texts.len(), &end);
        assert!(end.undelivered > 0, "{kind:?}: the server has waited for ever");
    }
}

/// What is in the mailbox still comes out. What was read and did not fit in is counted.
fn when_a_mailbox_is_closed(config: Config) {
    let server = Server::bind(config.shards(1).max_handler_read_backlog(1024).listen("127.0.0.1:0")).unwrap();
    let (sender, mut events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), sender.clone()).unwrap();
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    wire.send_and_wait_until_read(&numbered(MESSAGES, 90));
    sender.close();
    let closing = std::thread::spawn(move || {
        assert_eq!(wire.close_code(), Some(1001));
        wire.finish();
    });
    let mut texts = Vec::new();
    let end = loop {
        match within(events.next()).expect("the client's end") {
            Event::Text(_, text) => texts.push(text.to_string()),
            Event::Disconnected(_, end) => break end,
            _ => {}
        }
    };
    closing.join().unwrap();
    assert_in_order(&texts);
    assert_counted(texts.len(), &end);
}

/// Answers each message with more than the system's buffers take.
struct Talkative {
    handled: Arc<AtomicUsize>,
    ends: Sender<Disconnect>,
}

impl Resource for Talkative {
    fn text(&self, client: &Client, _: Text<'_>) {
        self.handled.fetch_add(1, Ordering::Relaxed);
        client.send(vec![0; 1 << 20]).unwrap();
    }

    fn disconnected(&self, _: &Client, end: &Disconnect) {
        self.ends.send(end.clone()).unwrap();
    }
}

fn when_the_client_does_not_read_its_answers(config: Config) {
    let config = config.shards(1).write_high_water(1 << 20).write_timeout(Duration::from_millis(300));
    let ((ends, ended), handled) = (channel(), Arc::new(AtomicUsize::new(0)));
    let server = Running::start(config, Arc::new(Talkative { handled: Arc::clone(&handled), ends }));
    let mut wire = Wire::connect(&server, "/");
    wire.send_and_wait_until_read(&numbered(MESSAGES, 90));
    let end = ended.recv_timeout(SHORT).unwrap();
    assert!(matches!(end.cause, DisconnectCause::WriteTimeout), "{end}");
    assert_counted(handled.load(Ordering::Relaxed), &end);
    assert!(end.undelivered > 0, "100 MiB of answers are queued");
}
