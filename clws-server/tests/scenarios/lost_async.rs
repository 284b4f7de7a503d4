//! An async handler with default limits. A client sends more than the handler's backlog holds, and
//! half-closes.

use crate::common::Running;
use crate::common::gate::Gate;
use crate::common::receivers::{Kind, assert_in_order};
use crate::common::wire::{Wire, numbered_texts, wait_a_moment};
use clws_server::{Config, Origins, Server};

in_both_modes!(gets_every_message_before_the_end);

/// The number of messages of 60 bytes. With their overhead, they exceed the 1 MiB that may be
/// queued.
const MESSAGES: usize = 8900;

fn gets_every_message_before_the_end(config: Config) {
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    let (held, busy) = (Gate::default(), Gate::default());
    let log = Kind::Async.register(&server, "/", &held);
    server.resources().register("/block", Origins::any(), busy.clone()).unwrap();
    let server = Running::run(server);
    let mut blocked = [Wire::connect(&server, "/block")];
    let mut client = Wire::connect(&server, "/");
    client.raw(&numbered_texts(MESSAGES, 60));
    wait_a_moment(); // the server has read up to its limit
    busy.block(&mut blocked);
    client.shutdown_write();
    held.open();
    wait_a_moment(); // the handler has taken the queued messages, which resumes the client
    busy.open();
    let (texts, end) = log.messages_and_end();
    assert_eq!(texts.len(), MESSAGES, "{end}");
    assert_in_order(&texts);
}
