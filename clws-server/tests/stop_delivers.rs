//! A server that stops delivers messages until the client's close frame: those that waited, and those on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use clws_server::{Config, Server};
use common::Running;
use common::gate::Gate;
use common::receivers::{Kind, assert_in_order};
use common::wire::{CLOSE, Wire, numbered, settle};

in_both_modes!(to_a_mailbox, to_a_listener, to_an_async_function, to_an_inline_handler);

/// Those that the server has read when it stops.
const WAITING: usize = 100;

fn stop(config: Config, kind: Kind) {
    let server = Server::bind(config.shards(1).max_handler_read_backlog(1024).listen("127.0.0.1:0")).unwrap();
    let held = Gate::default();
    let log = kind.register(&server, "/", &held);
    let server = Running::run(server);
    if kind == Kind::Inline {
        held.open(); // or its shard would be blocked
    }
    let mut client = Wire::connect(&server, "/");
    log.connected();
    client.send_and_wait_until_read(&numbered(WAITING, 90));
    server.handle.stop();
    assert_eq!(client.close_code(), Some(1001));
    client.text(&WAITING.to_string()); // it was on the way when the close frame came
    client.send(CLOSE, &1001u16.to_be_bytes());
    settle();
    held.open();
    let (texts, end) = log.to_the_end();
    assert_in_order(&texts);
    assert_eq!(texts.len(), WAITING + 1, "{end}");
    assert!(end.is_clean(), "{end}");
    assert_eq!(client.next(), None);
    server.wait().unwrap();
}

fn to_a_mailbox(config: Config) {
    stop(config, Kind::Mailbox);
}

fn to_a_listener(config: Config) {
    stop(config, Kind::Listener);
}

fn to_an_async_function(config: Config) {
    stop(config, Kind::Async);
}

fn to_an_inline_handler(config: Config) {
    stop(config, Kind::Inline);
}
