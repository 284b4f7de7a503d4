//! Requests that arrive while the server is stalled are answered 101, though their time is over when they are read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::thread;
use std::time::Duration;

use clws_server::{Config, Origins, Server};
use common::Running;
use common::flood::{Echo, executor_threads};
use common::gate::Gate;
use common::wire::{Wire, dial, request, soon};

alone_in_both_modes!(
    of_clients_that_were_connected_before,
    of_clients_that_connect_meanwhile,
    but_not_of_a_client_that_sends_nothing,
);

const TIMEOUT: Duration = Duration::from_millis(800);
const STALL: Duration = Duration::from_millis(1500);

/// More than one wait for events brings.
const NEWCOMERS: usize = 400;

struct Scene {
    server: Running,
    gate: Gate,
    blocked: Vec<Wire>,
}

fn start(config: Config) -> Scene {
    let threads = if config.task_per_client { executor_threads() } else { 1 };
    let config = config.shards(1).handshake_timeout(TIMEOUT).close_timeout(Duration::from_millis(300));
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let gate = Gate::default();
    server.resources().register("/", Origins::any(), Echo).unwrap();
    server.resources().register("/block", Origins::any(), gate.clone()).unwrap();
    let server = Running::run(server);
    let blocked: Vec<_> = (0..threads).map(|_| Wire::connect(&server, "/block")).collect();
    Scene { server, gate, blocked }
}

impl Scene {
    fn dial(&self) -> Vec<Wire> {
        (0..NEWCOMERS).map(|_| Wire { socket: dial(&self.server.addresses[0]) }).collect()
    }

    /// Blocks all threads that serve clients, and calls `meanwhile`.
    fn stall(&mut self, meanwhile: impl FnOnce()) {
        self.gate.block(&mut self.blocked);
        meanwhile();
        thread::sleep(STALL);
        self.gate.open();
    }
}

fn assert_taken(newcomers: &mut [Wire]) {
    let refused: Vec<_> = newcomers
        .iter_mut()
        .map(|newcomer| newcomer.head())
        .filter(|head| !head.starts_with("HTTP/1.1 101 "))
        .collect();
    assert!(refused.is_empty(), "{} of {NEWCOMERS} are refused: {}", refused.len(), refused[0]);
}

fn of_clients_that_were_connected_before(config: Config) {
    let mut scene = start(config);
    let mut newcomers = scene.dial();
    soon("all are accepted", || scene.server.handle.clients() == NEWCOMERS + scene.blocked.len());
    scene.stall(|| newcomers.iter_mut().for_each(|newcomer| newcomer.raw(request("/").as_bytes())));
    assert_taken(&mut newcomers);
}

fn of_clients_that_connect_meanwhile(config: Config) {
    let mut scene = start(config);
    let mut newcomers = Vec::new();
    let dialled = scene.server.addresses[0].clone();
    scene.stall(|| {
        newcomers.extend((0..NEWCOMERS).map(|_| Wire { socket: dial(&dialled) }));
        newcomers.iter_mut().for_each(|newcomer| newcomer.raw(request("/").as_bytes()));
    });
    assert_taken(&mut newcomers);
}

/// The deadline holds for one whose request did not come.
fn but_not_of_a_client_that_sends_nothing(config: Config) {
    let mut scene = start(config);
    let mut silent = Wire { socket: dial(&scene.server.addresses[0]) };
    let mut half = Wire { socket: dial(&scene.server.addresses[0]) };
    half.raw(b"GET / HTTP/1.1\r\n");
    soon("both are accepted", || scene.server.handle.clients() == 2 + scene.blocked.len());
    scene.stall(|| {});
    assert!(silent.head().starts_with("HTTP/1.1 408 "));
    assert!(half.head().starts_with("HTTP/1.1 408 "));
}
