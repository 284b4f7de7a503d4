//! Clients flood a handler that works for each message. Other clients are answered meanwhile.

use std::time::Duration;

use crate::common::Running;
use crate::common::flood::{Echo, Flood, Work, assert_answered_during, executor_threads, wait_for_backlog};
use crate::common::wire::{TEXT, Wire, frame};
use clws_server::{Config, Origins, Server};

in_both_modes_in_own_process!(
    answers_others_during_a_flood_of_small_messages,
    answers_others_during_a_flood_to_a_slow_handler
);

fn flood(config: Config, each: Duration, payload: &[u8]) {
    let clients_that_flood = if config.task_per_client { 2 * executor_threads() } else { 2 };
    let config = config.shards(1).close_timeout(Duration::from_millis(300));
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (work, end_work) = Work::of(each);
    server.resources().register("/work", Origins::any(), work.clone()).unwrap();
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    let server = Running::run(server);
    let mut neighbours = [Wire::connect(&server, "/echo")];
    let message = frame(TEXT, payload);
    let clients: Vec<_> = (0..clients_that_flood).map(|_| Wire::connect(&server, "/work")).collect();
    let floods: Vec<_> =
        clients.into_iter().map(|client| Flood::writing(client, message.repeat(2_000))).collect();
    let _end_work = end_work; // dropped before the floods
    wait_for_backlog(&floods, message.len(), &work);
    assert_answered_during(&mut neighbours, &floods, message.len(), &work);
}

fn answers_others_during_a_flood_of_small_messages(config: Config) {
    flood(config, Duration::from_micros(20), b"");
}

fn answers_others_during_a_flood_to_a_slow_handler(config: Config) {
    flood(config, Duration::from_millis(5), b"");
}
