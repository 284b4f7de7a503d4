//! A deadline starts when it is set, and data that arrived before the deadline counts.

use std::io::Read;
use std::thread;
use std::time::Duration;

use crate::common::flood::executor_threads;
use crate::common::gate::Gate;
use crate::common::wire::{CLOSE, Wire};
use crate::common::{Probe, Recorder, Running, eventually};
use clws_server::{Client, CloseCode, Config, Origins, Server};

in_both_modes_in_own_process!(
    the_close_timeout_starts_with_the_close_frame,
    an_answer_that_arrives_while_the_server_is_blocked_counts,
    a_client_that_reads_while_the_server_is_blocked_stays,
);

/// The close and write timeout. It is long, because the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Longer than [`TIMEOUT`].
const LONGER: Duration = Duration::from_secs(5);

fn start(config: Config, on_text: impl Fn(&Client, &str) + Send + Sync + 'static) -> (Running, Recorder) {
    let (probe, recorder) = Probe::with(on_text);
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    (Running::run(server), recorder)
}

/// The close timeout starts with the close frame, not with the event loop turn that sent it.
fn the_close_timeout_starts_with_the_close_frame(config: Config) {
    let (server, recorder) = start(config.close_timeout(TIMEOUT), |client, _| {
        thread::sleep(LONGER);
        client.close((CloseCode::NORMAL, "bye"));
    });
    let mut client = Wire::connect(&server, "/");
    client.text("go");
    assert_eq!(client.close_code(), Some(1000));
    thread::sleep(Duration::from_millis(100)); // a round trip
    client.send(CLOSE, &1000u16.to_be_bytes());
    assert_eq!(client.next(), None);
    assert_eq!(recorder.disconnected(), (1000, String::new(), "closed".into()));
}

/// Blocks all threads that serve clients while `meanwhile` runs, and then for longer than the
/// timeout.
fn while_blocked(config: &Config, server: &Running, meanwhile: impl FnOnce()) {
    let gate = Gate::default();
    server.handle.resources().register("/block", Origins::any(), gate.clone()).unwrap();
    let threads = if config.task_per_client { executor_threads() } else { 1 };
    let mut blocked: Vec<_> = (0..threads).map(|_| Wire::connect(server, "/block")).collect();
    gate.block(&mut blocked);
    meanwhile();
    thread::sleep(LONGER);
    gate.open();
}

/// The answer arrives in time. The blocked server reads it after the deadline.
fn an_answer_that_arrives_while_the_server_is_blocked_counts(config: Config) {
    let config = config.close_timeout(TIMEOUT);
    let (server, recorder) = start(config.clone(), |_, _| {});
    let mut client = Wire::connect(&server, "/");
    let handle = recorder.connected();
    handle.close(CloseCode::NORMAL);
    eventually("the close frame is written", || handle.buffered_amount() == 0);
    while_blocked(&config, &server, || client.send(CLOSE, &1000u16.to_be_bytes()));
    assert_eq!(recorder.disconnected(), (1000, String::new(), "closed".into()));
}

/// A client that read everything while the server was blocked has not stopped reading.
fn a_client_that_reads_while_the_server_is_blocked_stays(config: Config) {
    const MESSAGE: usize = 1 << 20;

    let config = config.write_timeout(TIMEOUT);
    let (server, recorder) = start(config.clone(), |_, _| {});
    let mut client = Wire::connect(&server, "/");
    let handle = recorder.connected();
    let mut sent = 0;
    while handle.buffered_amount() < 4 * MESSAGE {
        handle.send_binary(&vec![7; MESSAGE]).unwrap();
        sent += 1;
        thread::sleep(Duration::from_millis(1));
    }
    // While the shard is blocked, the client reads the socket buffers, which hold only part of the
    // data.
    while_blocked(&config, &server, || {
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
