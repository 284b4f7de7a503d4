//! Deadlines are counted from the moment at which they are set, and what has arrived before one passes counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::io::Read;
use std::thread;
use std::time::Duration;

use clws_server::{Client, CloseCode, Config, Origins, Server};
use common::flood::executor_threads;
use common::gate::Gate;
use common::wire::{CLOSE, Wire};
use common::{Diary, Probe, Running, eventually};

alone_in_both_modes!(
    of_a_handler_that_takes_longer_than_the_answer_may,
    of_an_answer_that_comes_while_the_shard_is_blocked,
    of_a_reader_that_reads_while_the_shard_is_blocked,
);

/// The time for an answer. It is long, because the machine may be busy.
const TIMEOUT: Duration = Duration::from_millis(1200);

/// A handler that takes longer than that.
const LONGER: Duration = Duration::from_millis(2000);

fn start(config: Config, on_text: impl Fn(&Client, &str) + Send + Sync + 'static) -> (Running, Diary) {
    let (probe, diary) = Probe::with(on_text);
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    (Running::run(server), diary)
}

/// The client's time begins with the close frame, not with the turn in which that was sent.
fn of_a_handler_that_takes_longer_than_the_answer_may(config: Config) {
    let (server, diary) = start(config.close_timeout(TIMEOUT), |client, _| {
        thread::sleep(LONGER);
        client.close((CloseCode::NORMAL, "bye"));
    });
    let mut client = Wire::connect(&server, "/");
    client.text("go");
    assert_eq!(client.close_code(), Some(1000));
    thread::sleep(Duration::from_millis(100)); // a round trip
    client.send(CLOSE, &1000u16.to_be_bytes());
    assert_eq!(client.next(), None);
    assert_eq!(diary.gone(), (1000, String::new(), "closed".into()));
}

/// Blocks all threads that serve clients, and calls `meanwhile`.
fn block(config: &Config, server: &Running, meanwhile: impl FnOnce()) {
    let gate = Gate::default();
    server.handle.resources().register("/block", Origins::any(), gate.clone()).unwrap();
    let threads = if config.task_per_client { executor_threads() } else { 1 };
    let mut blocked: Vec<_> = (0..threads).map(|_| Wire::connect(server, "/block")).collect();
    gate.block(&mut blocked);
    meanwhile();
    thread::sleep(LONGER);
    gate.open();
}

/// The answer came in time. It is seen after its time, because nothing was read meanwhile.
fn of_an_answer_that_comes_while_the_shard_is_blocked(config: Config) {
    let config = config.close_timeout(TIMEOUT);
    let (server, diary) = start(config.clone(), |_, _| {});
    let mut client = Wire::connect(&server, "/");
    let handle = diary.connected();
    handle.close(CloseCode::NORMAL);
    eventually("the close frame is written", || handle.buffered_amount() == 0);
    block(&config, &server, || client.send(CLOSE, &1000u16.to_be_bytes()));
    assert_eq!(diary.gone(), (1000, String::new(), "closed".into()));
}

/// A client that has read everything meanwhile has not stopped to read.
fn of_a_reader_that_reads_while_the_shard_is_blocked(config: Config) {
    const MESSAGE: usize = 1 << 20;

    let config = config.write_timeout(TIMEOUT);
    let (server, diary) = start(config.clone(), |_, _| {});
    let mut client = Wire::connect(&server, "/");
    let handle = diary.connected();
    let mut sent = 0;
    while handle.buffered_amount() < 4 * MESSAGE {
        handle.send_binary(&vec![7; MESSAGE]).unwrap();
        sent += 1;
        thread::sleep(Duration::from_millis(1));
    }
    // What the system holds is read while the shard is blocked, and that is far from all of it.
    block(&config, &server, || {
        client.socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let mut read = 0;
        while let Ok(count @ 1..) = client.socket.read(&mut buffer) {
            read += count;
        }
        assert!(read > 0 && read < sent * MESSAGE);
    });
    eventually("the rest is written", || {
        let mut buffer = vec![0; 64 * 1024];
        let _ = client.socket.read(&mut buffer);
        handle.buffered_amount() == 0
    });
    assert!(handle.is_open());
}
