//! An async function with the default limits, and a client that sends more than those let wait, and ends its side.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use clws_server::{Config, Origins, Server};
use common::Running;
use common::gate::Gate;
use common::receivers::{Kind, assert_in_order};
use common::wire::{Wire, numbered, settle};

in_both_modes!(gets_every_message_before_the_end);

/// 60 bytes each. With what each of them costs besides, more than 1 MiB of them does not wait.
const MESSAGES: usize = 8900;

fn gets_every_message_before_the_end(config: Config) {
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    let (held, busy) = (Gate::default(), Gate::default());
    let log = Kind::Async.register(&server, "/", &held);
    server.resources().register("/block", Origins::any(), busy.clone()).unwrap();
    let server = Running::run(server);
    let mut blocked = [Wire::connect(&server, "/block")];
    let mut client = Wire::connect(&server, "/");
    client.raw(&numbered(MESSAGES, 60));
    settle(); // the server has read what it wants to read
    busy.block(&mut blocked);
    client.end_writing();
    held.open();
    settle(); // the function has handled what waited, and the client is resumed
    busy.open();
    let (texts, end) = log.to_the_end();
    assert_eq!(texts.len(), MESSAGES, "{end}");
    assert_in_order(&texts);
}
