//! The settings that bound what the system takes for a client that never reads.

use crate::common::{Probe, Running};
use clws_server::{Config, Sent, Version};

in_both_modes!(a_client_that_never_reads_is_noticed_early);

/// The bytes that the system takes for a client that never reads, until its outbox stays above the
/// high-water mark. The other client is undisturbed.
#[cfg(target_os = "linux")]
fn hidden(config: Config) -> usize {
    const MESSAGE: usize = 1000;
    const HIGH_WATER: usize = 64 << 10;
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.shards(1).write_high_water(HIGH_WATER), probe);
    let silent = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    let mut other = server.connect(Version::Rfc6455, "/");
    let mut sent = 0;
    loop {
        if client.send_binary(&[7; MESSAGE]).unwrap() == Sent::AboveHighWater {
            // The driver may not have written yet. An echo gives it a turn.
            let mut writes = (0..20).map(|_| {
                other.assert_echo("undisturbed");
                client.buffered_amount() <= HIGH_WATER / 2
            });
            if !writes.any(|has_written| has_written) {
                break;
            }
        }
        sent += MESSAGE;
        assert!(sent < 100 << 20, "the client is never slow");
    }
    let hidden = sent - client.buffered_amount().min(sent);
    drop(silent);
    hidden
}

#[cfg(target_os = "linux")]
fn a_client_that_never_reads_is_noticed_early(config: Config) {
    let by_default = hidden(config.clone());
    let by_send_buffer = hidden(config.clone().send_buffer(Some(16 << 10)));
    let by_unsent = hidden(config.clone().max_unsent(Some(16 << 10)));
    let by_both = hidden(config.send_buffer(Some(32 << 10)).max_unsent(Some(16 << 10)));
    // The client's own receive buffer holds some 64 KiB.
    let all = [by_send_buffer, by_unsent, by_both];
    assert!(all.iter().all(|hidden| *hidden < 400 << 10), "{all:?}");
    assert!(by_default > 2 * (400 << 10), "{by_default}");
    println!("hidden bytes: {by_default} by default; {all:?}");
}

#[cfg(not(target_os = "linux"))]
fn a_client_that_never_reads_is_noticed_early(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.send_buffer(Some(64 << 10)).max_unsent(Some(16 << 10)), probe);
    server.connect(Version::Rfc6455, "/").assert_echo("the settings are accepted");
}
