//! Clients that flood a handler which works a little for each message. Their neighbours are answered meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::time::Duration;

use clws_server::{Config, Origins, Server};
use common::Running;
use common::flood::{Echo, Flood, Work, ask_during, executor_threads, wait_for_backlog};
use common::wire::{TEXT, Wire, frame};

alone_in_both_modes!(beside_a_flood_of_small_messages, beside_a_flood_to_a_slow_handler);

fn flood(config: Config, each: Duration, payload: &[u8]) {
    let flooders = if config.task_per_client { 2 * executor_threads() } else { 2 };
    let config = config.shards(1).close_timeout(Duration::from_millis(300));
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (work, ends_work) = Work::of(each);
    server.resources().register("/work", Origins::any(), work.clone()).unwrap();
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    let server = Running::run(server);
    let mut neighbours = [Wire::connect(&server, "/echo")];
    let message = frame(TEXT, payload);
    let clients: Vec<_> = (0..flooders).map(|_| Wire::connect(&server, "/work")).collect();
    let floods: Vec<_> = clients.into_iter().map(|client| Flood::of(client, message.repeat(2_000))).collect();
    let _ends_work = ends_work; // before the floods are
    wait_for_backlog(&floods, message.len(), &work);
    ask_during(&mut neighbours, &floods, message.len(), &work);
}

fn beside_a_flood_of_small_messages(config: Config) {
    flood(config, Duration::from_micros(20), b"");
}

fn beside_a_flood_to_a_slow_handler(config: Config) {
    flood(config, Duration::from_millis(5), b"");
}
