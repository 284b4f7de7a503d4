//! Requests that arrive while the server is blocked get 101, although their deadline has passed
//! when the server reads them.

use std::thread;
use std::time::Duration;

use crate::common::Running;
use crate::common::flood::{Echo, executor_threads};
use crate::common::gate::Gate;
use crate::common::wire::{Wire, dial, request, soon};
use clws_server::{Config, Origins, Server};

in_both_modes_in_own_process!(
    accepts_clients_that_connected_before,
    accepts_clients_that_connect_while_blocked,
    rejects_clients_that_send_no_request,
);

/// The handshake timeout. It is long, because the machine may be busy: all clients connect within it.
const TIMEOUT: Duration = Duration::from_secs(4);
const BLOCKED_FOR: Duration = Duration::from_secs(5);

/// More connections than one wait returns events for.
const CLIENTS: usize = 400;

struct Harness {
    server: Running,
    gate: Gate,
    blocked: Vec<Wire>,
}

fn start(config: Config) -> Harness {
    let threads = if config.task_per_client { executor_threads() } else { 1 };
    let config = config.shards(1).handshake_timeout(TIMEOUT).close_timeout(Duration::from_millis(300));
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let gate = Gate::default();
    server.resources().register("/", Origins::any(), Echo).unwrap();
    server.resources().register("/block", Origins::any(), gate.clone()).unwrap();
    let server = Running::run(server);
    let blocked: Vec<_> = (0..threads).map(|_| Wire::connect(&server, "/block")).collect();
    Harness { server, gate, blocked }
}

impl Harness {
    fn dial(&self) -> Vec<Wire> {
        (0..CLIENTS).map(|_| Wire { socket: dial(&self.server.addresses[0]) }).collect()
    }

    /// Blocks all threads that serve clients while `meanwhile` runs, and then for longer than the
    /// timeout.
    fn while_blocked(&mut self, meanwhile: impl FnOnce()) {
        self.gate.block(&mut self.blocked);
        meanwhile();
        thread::sleep(BLOCKED_FOR);
        self.gate.open();
    }
}

fn assert_accepted(clients: &mut [Wire]) {
    let refused: Vec<_> = clients
        .iter_mut()
        .map(|client| client.head())
        .filter(|head| !head.starts_with("HTTP/1.1 101 "))
        .collect();
    assert!(refused.is_empty(), "{} of {CLIENTS} handshakes failed: {}", refused.len(), refused[0]);
}

fn accepts_clients_that_connected_before(config: Config) {
    let mut harness = start(config);
    let mut clients = harness.dial();
    soon("all are accepted", || harness.server.handle.clients() == CLIENTS + harness.blocked.len());
    harness.while_blocked(|| clients.iter_mut().for_each(|client| client.raw(request("/").as_bytes())));
    assert_accepted(&mut clients);
}

fn accepts_clients_that_connect_while_blocked(config: Config) {
    let mut harness = start(config);
    let mut clients = Vec::new();
    let address = harness.server.addresses[0].clone();
    harness.while_blocked(|| {
        clients.extend((0..CLIENTS).map(|_| Wire { socket: dial(&address) }));
        clients.iter_mut().for_each(|client| client.raw(request("/").as_bytes()));
    });
    assert_accepted(&mut clients);
}

/// The deadline applies to clients whose request did not arrive.
fn rejects_clients_that_send_no_request(config: Config) {
    let mut harness = start(config);
    let mut silent = Wire { socket: dial(&harness.server.addresses[0]) };
    let mut partial = Wire { socket: dial(&harness.server.addresses[0]) };
    partial.raw(b"GET / HTTP/1.1\r\n");
    soon("both are accepted", || harness.server.handle.clients() == 2 + harness.blocked.len());
    harness.while_blocked(|| {});
    assert!(silent.head().starts_with("HTTP/1.1 408 "));
    assert!(partial.head().starts_with("HTTP/1.1 408 "));
}
