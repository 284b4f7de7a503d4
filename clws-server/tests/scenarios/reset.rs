//! A client resets its connection while messages are queued. Each message is delivered, or counted
//! as undelivered.

use std::time::Duration;

use crate::common;
use crate::common::gate::Gate;
use crate::common::receivers::{Kind, Log, assert_in_order};
use crate::common::wire::{Wire, numbered_texts, wait_a_moment};
use crate::common::{Running, eventually};
use clws_server::{Config, Origins, Server};

in_both_modes!(
    a_mailbox_gets_everything,
    a_listener_gets_everything,
    an_async_handler_gets_everything,
    an_inline_handler_gets_everything
);

const MESSAGES: usize = 100;

/// A client whose messages the server has read. Its receiver takes nothing until the gate is open.
fn start(config: Config, kind: Kind, held: &Gate) -> (Running, Log, Wire, Gate) {
    // 7 messages exceed the mailbox's limit.
    let server = Server::bind(config.shards(1).max_handler_read_backlog(1024).listen("127.0.0.1:0")).unwrap();
    let (log, busy) = (kind.register(&server, "/", held), Gate::default());
    server.resources().register("/block", Origins::any(), busy.clone()).unwrap();
    let server = Running::run(server);
    let mut client = Wire::connect(&server, "/");
    client.send_and_wait_until_read(&numbered_texts(MESSAGES, 90));
    (server, log, client, busy)
}

/// The receiver continues right after the reset, and gets everything.
fn check_all_delivered(config: Config, kind: Kind) {
    let held = Gate::default();
    if kind == Kind::Inline {
        held.open(); // otherwise the handler blocks the shard
    }
    let (server, log, client, busy) = start(config, kind, &held);
    let mut blocked = [Wire::connect(&server, "/block")];
    busy.block(&mut blocked);
    client.reset();
    held.open();
    wait_a_moment();
    busy.open();
    let (texts, end) = log.messages_and_end();
    assert_in_order(&texts);
    assert_eq!((texts.len(), end.undelivered), (MESSAGES, 0), "{end}");
}

fn a_mailbox_gets_everything(config: Config) {
    check_all_delivered(config, Kind::Mailbox);
}

fn a_listener_gets_everything(config: Config) {
    check_all_delivered(config, Kind::Listener);
}

fn an_async_handler_gets_everything(config: Config) {
    check_all_delivered(config, Kind::Async);
}

fn an_inline_handler_gets_everything(config: Config) {
    check_all_delivered(config, Kind::Inline);
}

/// The receiver takes nothing during the close timeout. Tasks are not tested: a task that does not
/// read its stream cannot detect a reset.
fn check_undelivered_counted(kind: Kind) {
    let held = Gate::default();
    let config = common::config().close_timeout(Duration::from_millis(300));
    let (server, log, client, _) = start(config, kind, &held);
    client.reset();
    eventually("the client disconnects", || server.handle.clients() == 0);
    held.open();
    let (texts, end) = log.messages_and_end();
    assert_in_order(&texts);
    assert_eq!(texts.len() + usize::try_from(end.undelivered).unwrap(), MESSAGES, "{end}");
    assert!(end.undelivered > 0, "the server waited for the receiver");
}

#[test]
fn messages_in_an_unread_mailbox_are_counted() {
    check_undelivered_counted(Kind::Mailbox);
}

#[test]
fn messages_for_a_blocked_listener_are_counted() {
    check_undelivered_counted(Kind::Listener);
}

#[test]
fn messages_for_a_blocked_async_handler_are_counted() {
    check_undelivered_counted(Kind::Async);
}
