//! Deadlines beyond the range of the system's timers, such as 25 days and `Duration::MAX`.

use std::time::Duration;

use crate::common::wire::{SHORT_TIMEOUT, Wire, dial, wait_a_moment};
use crate::common::{Probe, Running};
use clws_server::{CloseCode, Config};

in_both_modes!(
    supports_deadlines_of_25_days,
    supports_deadlines_of_half_a_year,
    supports_deadlines_of_the_maximum_duration
);

/// Arms each deadline while the server is otherwise idle.
fn wait_with_timeouts(config: Config, time: Duration) {
    let (probe, recorder) = Probe::new();
    let config = config.shards(1).handshake_timeout(time).write_timeout(time).close_timeout(time);
    let server = Running::start(config.tcp_keepalive(None), probe);
    let silent = Wire { socket: dial(&server.addresses[0]) }; // arms the handshake timeout
    wait_a_moment();
    let mut reader = Wire::connect(&server, "/");
    let client = recorder.connected();
    while client.buffered_amount() < 1 << 20 {
        client.send_binary(&[7; 100_000]).unwrap(); // arms the write timeout
    }
    wait_a_moment();
    let mut closing = Wire::connect(&server, "/");
    recorder.connected().close(CloseCode::new(4000)); // arms the close timeout
    assert_eq!(closing.close_code(), Some(4000));
    wait_a_moment();
    // The server still works.
    Wire::connect(&server, "/").assert_answered_within(SHORT_TIMEOUT);
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

fn supports_deadlines_of_25_days(config: Config) {
    wait_with_timeouts(config, Duration::from_secs(25 * 24 * 60 * 60));
}

fn supports_deadlines_of_half_a_year(config: Config) {
    wait_with_timeouts(config, Duration::from_secs(180 * 24 * 60 * 60));
}

fn supports_deadlines_of_the_maximum_duration(config: Config) {
    wait_with_timeouts(config, Duration::MAX);
}
