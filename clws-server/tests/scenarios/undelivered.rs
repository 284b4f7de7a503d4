//! `Disconnect::undelivered` counts messages that were read, but not delivered to a receiver.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::common::gate::Gate;
use crate::common::receivers::{Kind, Log, assert_in_order};
use crate::common::wire::{SHORT_TIMEOUT, Wire, numbered_texts};
use crate::common::{Running, within};
use clws_server::{
    Client, CloseCode, Config, Disconnect, DisconnectCause, Event, Origins, Resource, Server, Text, mailbox,
};
use futures::StreamExt;

in_both_modes!(
    counts_messages_of_a_mailbox_after_a_close,
    counts_messages_of_a_listener_after_a_close,
    counts_messages_of_an_async_handler_after_a_close,
    counts_messages_of_a_mailbox_after_an_abort,
    counts_messages_of_a_listener_after_an_abort,
    counts_messages_of_an_async_handler_after_an_abort,
    counts_messages_when_the_deadline_of_a_stop_passes,
    counts_messages_beyond_the_limit_of_a_closed_mailbox,
    counts_messages_when_the_client_does_not_read_its_answers,
);

const MESSAGES: usize = 100;

/// A client whose messages the server has read. Its receiver got only `connected` so far.
fn start(config: Config, kind: Kind, held: &Gate) -> (Running, Log, Wire, Client) {
    // 7 messages exceed the mailbox's limit.
    let server = Server::bind(config.shards(1).max_handler_read_backlog(1024).listen("127.0.0.1:0")).unwrap();
    let log = kind.register(&server, "/", held);
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    let client = log.connected();
    wire.send_and_wait_until_read(&numbered_texts(MESSAGES, 90));
    (server, log, wire, client)
}

#[track_caller]
fn assert_counted(delivered: usize, end: &Disconnect) {
    assert_eq!(delivered + usize::try_from(end.undelivered).unwrap(), MESSAGES, "{end}");
}

fn check_after_close(config: Config, kind: Kind) {
    let held = Gate::default();
    let (server, log, mut wire, client) = start(config, kind, &held);
    client.close(CloseCode::new(4000));
    assert_eq!(wire.close_code(), Some(4000));
    wire.finish();
    held.open();
    let (texts, end) = log.messages_and_end();
    assert_eq!((texts.len(), end.undelivered), (0, MESSAGES as u64), "{end}");
    assert_eq!(server.handle.stats().undelivered, MESSAGES as u64);
    assert!(end.is_clean(), "{end}");
}

fn counts_messages_of_a_mailbox_after_a_close(config: Config) {
    check_after_close(config, Kind::Mailbox);
}

fn counts_messages_of_a_listener_after_a_close(config: Config) {
    check_after_close(config, Kind::Listener);
}

fn counts_messages_of_an_async_handler_after_a_close(config: Config) {
    check_after_close(config, Kind::Async);
}

fn check_after_abort(config: Config, kind: Kind) {
    let held = Gate::default();
    let (_server, log, _wire, client) = start(config, kind, &held);
    client.abort();
    held.open();
    let (texts, end) = log.messages_and_end();
    assert_eq!((texts.len(), end.undelivered), (0, MESSAGES as u64), "{end}");
}

fn counts_messages_of_a_mailbox_after_an_abort(config: Config) {
    check_after_abort(config, Kind::Mailbox);
}

fn counts_messages_of_a_listener_after_an_abort(config: Config) {
    check_after_abort(config, Kind::Listener);
}

fn counts_messages_of_an_async_handler_after_an_abort(config: Config) {
    check_after_abort(config, Kind::Async);
}

fn counts_messages_when_the_deadline_of_a_stop_passes(config: Config) {
    for kind in [Kind::Mailbox, Kind::Listener, Kind::Async] {
        let held = Gate::default();
        let config = config.clone().close_timeout(Duration::from_millis(200));
        let (server, log, _wire, _client) = start(config, kind, &held);
        server.stop().unwrap();
        held.open();
        let (texts, end) = log.messages_and_end();
        assert_in_order(&texts);
        assert_counted(texts.len(), &end);
        assert!(end.undelivered > 0, "{kind:?}: the server waited for the receiver");
    }
}

/// Messages in a closed mailbox are still delivered. Messages beyond its limit are counted.
fn counts_messages_beyond_the_limit_of_a_closed_mailbox(config: Config) {
    let server = Server::bind(config.shards(1).max_handler_read_backlog(1024).listen("127.0.0.1:0")).unwrap();
    let (sender, mut events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), sender.clone()).unwrap();
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    wire.send_and_wait_until_read(&numbered_texts(MESSAGES, 90));
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

/// Answers each message with 1 MiB, which is more than the socket buffers hold.
struct SendsLargeAnswers {
    handled: Arc<AtomicUsize>,
    ends: Sender<Disconnect>,
}

impl Resource for SendsLargeAnswers {
    fn text(&self, client: &Client, _: Text<'_>) {
        self.handled.fetch_add(1, Ordering::Relaxed);
        client.send(vec![0; 1 << 20]).unwrap();
    }

    fn disconnected(&self, _: &Client, end: &Disconnect) {
        self.ends.send(end.clone()).unwrap();
    }
}

fn counts_messages_when_the_client_does_not_read_its_answers(config: Config) {
    let config = config.shards(1).write_high_water(1 << 20).write_timeout(Duration::from_millis(300));
    let ((ends, ended), handled) = (channel(), Arc::new(AtomicUsize::new(0)));
    let server = Running::start(config, Arc::new(SendsLargeAnswers { handled: Arc::clone(&handled), ends }));
    let mut wire = Wire::connect(&server, "/");
    wire.send_and_wait_until_read(&numbered_texts(MESSAGES, 90));
    let end = ended.recv_timeout(SHORT_TIMEOUT).unwrap();
    assert!(matches!(end.cause, DisconnectCause::WriteTimeout), "{end}");
    assert_counted(handled.load(Ordering::Relaxed), &end);
    assert!(end.undelivered > 0, "100 MiB of answers are queued");
}
