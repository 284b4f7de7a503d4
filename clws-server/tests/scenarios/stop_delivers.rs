//! A stopping server delivers all messages that precede the client's close frame: queued messages
//! and those in flight.

use crate::common::Running;
use crate::common::gate::Gate;
use crate::common::receivers::{Kind, assert_in_order};
use crate::common::wire::{CLOSE, Wire, numbered_texts, wait_a_moment};
use clws_server::{Config, Server};

in_both_modes!(
    a_mailbox_gets_everything,
    a_listener_gets_everything,
    an_async_handler_gets_everything,
    an_inline_handler_gets_everything
);

/// The number of messages that the server has read when it stops.
const WAITING: usize = 100;

fn stop(config: Config, kind: Kind) {
    let server = Server::bind(config.shards(1).max_handler_read_backlog(1024).listen("127.0.0.1:0")).unwrap();
    let held = Gate::default();
    let log = kind.register(&server, "/", &held);
    let server = Running::run(server);
    if kind == Kind::Inline {
        held.open(); // otherwise the handler blocks the shard
    }
    let mut client = Wire::connect(&server, "/");
    log.connected();
    client.send_and_wait_until_read(&numbered_texts(WAITING, 90));
    server.handle.stop();
    assert_eq!(client.close_code(), Some(1001));
    client.text(&WAITING.to_string()); // as if in flight when the close frame arrived
    client.send(CLOSE, &1001u16.to_be_bytes());
    wait_a_moment();
    held.open();
    let (texts, end) = log.messages_and_end();
    assert_in_order(&texts);
    assert_eq!(texts.len(), WAITING + 1, "{end}");
    assert!(end.is_clean(), "{end}");
    assert_eq!(client.next(), None);
    server.wait().unwrap();
}

fn a_mailbox_gets_everything(config: Config) {
    stop(config, Kind::Mailbox);
}

fn a_listener_gets_everything(config: Config) {
    stop(config, Kind::Listener);
}

fn an_async_handler_gets_everything(config: Config) {
    stop(config, Kind::Async);
}

fn an_inline_handler_gets_everything(config: Config) {
    stop(config, Kind::Inline);
}
