//! A client resets its connection while messages that were read wait. They are delivered, or counted as undelivered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::time::Duration;

use clws_server::{Config, Origins, Server};
use common::gate::Gate;
use common::receivers::{Kind, Log, assert_in_order};
use common::wire::{Wire, numbered, settle};
use common::{Running, eventually};

in_both_modes!(a_mailbox, a_listener, an_async_function, an_inline_handler);

const MESSAGES: usize = 100;

/// A client whose messages are read. Its receiver takes nothing before the gate is open.
fn start(config: Config, kind: Kind, held: &Gate) -> (Running, Log, Wire, Gate) {
    // The mailbox's limit is exceeded by 7 of the messages.
    let server = Server::bind(config.shards(1).max_handler_read_backlog(1024).listen("127.0.0.1:0")).unwrap();
    let (log, busy) = (kind.register(&server, "/", held), Gate::default());
    server.resources().register("/block", Origins::any(), busy.clone()).unwrap();
    let server = Running::run(server);
    let mut client = Wire::connect(&server, "/");
    client.send_and_wait_until_read(&numbered(MESSAGES, 90));
    (server, log, client, busy)
}

/// The receiver goes on right after the reset, and gets everything.
fn receive(config: Config, kind: Kind) {
    let held = Gate::default();
    if kind == Kind::Inline {
        held.open(); // or its shard would be blocked
    }
    let (server, log, client, busy) = start(config, kind, &held);
    let mut blocked = [Wire::connect(&server, "/block")];
    busy.block(&mut blocked);
    client.reset();
    held.open();
    settle();
    busy.open();
    let (texts, end) = log.to_the_end();
    assert_in_order(&texts);
    assert_eq!((texts.len(), end.undelivered), (MESSAGES, 0), "{end}");
}

fn a_mailbox(config: Config) {
    receive(config, Kind::Mailbox);
}

fn a_listener(config: Config) {
    receive(config, Kind::Listener);
}

fn an_async_function(config: Config) {
    receive(config, Kind::Async);
}

fn an_inline_handler(config: Config) {
    receive(config, Kind::Inline);
}

/// The receiver takes nothing for `close_timeout`. (A task that does not read its stream hears of no reset.)
fn give_up(kind: Kind) {
    let held = Gate::default();
    let config = common::config().close_timeout(Duration::from_millis(300));
    let (server, log, client, _) = start(config, kind, &held);
    client.reset();
    eventually("the client is gone", || server.handle.clients() == 0);
    held.open();
    let (texts, end) = log.to_the_end();
    assert_in_order(&texts);
    assert_eq!(texts.len() + usize::try_from(end.undelivered).unwrap(), MESSAGES, "{end}");
    assert!(end.undelivered > 0, "the server has waited for ever");
}

#[test]
fn a_mailbox_that_is_not_asked() {
    give_up(Kind::Mailbox);
}

#[test]
fn a_listener_that_does_not_run() {
    give_up(Kind::Listener);
}

#[test]
fn an_async_function_that_does_not_ask() {
    give_up(Kind::Async);
}
