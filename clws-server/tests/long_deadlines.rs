//! Deadlines that no clock of a system call can count, such as 25 days and `Duration::MAX`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::time::Duration;

use clws_server::{CloseCode, Config};
use common::wire::{SHORT, Wire, dial, settle};
use common::{Probe, Running};

in_both_modes!(of_25_days, of_half_a_year, of_all_time);

/// Each deadline is armed while the server has nothing else to do.
fn wait(config: Config, time: Duration) {
    let (probe, diary) = Probe::new();
    let config = config.shards(1).handshake_timeout(time).write_timeout(time).close_timeout(time);
    let server = Running::start(config.keepalive(None), probe);
    let silent = Wire { socket: dial(&server.addresses[0]) }; // its request may take that time
    settle();
    let mut reader = Wire::connect(&server, "/");
    let client = diary.connected();
    while client.buffered_amount() < 1 << 20 {
        client.send_binary(&[7; 100_000]).unwrap(); // and so may its reading
    }
    settle();
    let mut closing = Wire::connect(&server, "/");
    diary.connected().close(CloseCode::new(4000)); // and its answer
    assert_eq!(closing.close_code(), Some(4000));
    settle();
    // The server goes on.
    Wire::connect(&server, "/").assert_answered_within(SHORT);
    closing.finish();
    while client.buffered_amount() > 0 {
        assert!(reader.next().is_some());
    }
    drop(silent);
    server.handle.stop();
    assert_eq!(reader.close_code(), Some(1001));
    reader.finish();
    server.wait().unwrap();
}

fn of_25_days(config: Config) {
    wait(config, Duration::from_secs(25 * 24 * 60 * 60));
}

fn of_half_a_year(config: Config) {
    wait(config, Duration::from_secs(180 * 24 * 60 * 60));
}

fn of_all_time(config: Config) {
    wait(config, Duration::MAX);
}
