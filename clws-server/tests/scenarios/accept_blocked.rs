//! New connections are accepted and served while a handler blocks any one of the shards.

use std::collections::HashMap;
use std::io::Read;
use std::thread;
use std::time::Duration;

use crate::common;
use crate::common::flood::{Echo, executor_threads};
use crate::common::gate::Gate;
use crate::common::wire::{Wire, dial, request};
use crate::common::{Running, TIMEOUT};
use clws_server::{Client, Config, Origins, Resource, Server, Text};

const SHARDS: usize = 4;

/// Answers with the name of the thread that serves the client. Blocks that thread on request.
struct Blocking(Gate);

impl Resource for Blocking {
    fn text(&self, client: &Client, text: Text<'_>) {
        if &*text == "block" {
            self.0.pass_within(2 * TIMEOUT); // until the new clients are served
        }
        let _ = client.send_text(thread::current().name().unwrap_or_default());
    }
}

fn start(config: Config) -> (Running, Gate) {
    let server = Server::bind(config.shards(SHARDS).listen("127.0.0.1:0")).unwrap();
    let gate = Gate::default();
    server.resources().register("/", Origins::any(), Blocking(gate.clone())).unwrap();
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    (Running::run(server), gate)
}

/// Clients by the name of the thread that serves them. Each shard has the same number of clients.
fn connect(server: &Running) -> HashMap<String, Vec<Wire>> {
    let mut clients = HashMap::<_, Vec<_>>::new();
    for _ in 0..4 * SHARDS {
        let mut client = Wire::connect(server, "/");
        client.text("thread name?");
        let (_, name) = client.next().unwrap();
        clients.entry(String::from_utf8(name).unwrap()).or_default().push(client);
    }
    assert_eq!(clients.len(), SHARDS, "{:?}", clients.keys());
    clients
}

/// Checks that new clients get their handshake and an echo while
/// the handlers are blocked. They stay connected, so that
/// each shard would get some of them.
#[track_caller]
fn assert_new_clients_are_served(server: &Running) {
    thread::sleep(Duration::from_millis(100)); // a shard blocked for 50 ms gets no new connections
    let mut new_clients = Vec::new();
    for number in 0..3 * SHARDS {
        let mut new_client = Wire { socket: dial(&server.addresses[0]) };
        new_client.socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        new_client.raw(request("/echo").as_bytes());
        let mut start = [0; 12];
        let read = new_client.socket.read_exact(&mut start);
        assert!(read.is_ok(), "new client {number} is not answered: {read:?}");
        assert_eq!(&start, b"HTTP/1.1 101");
        new_client.head();
        new_client.assert_answered_within(TIMEOUT);
        new_clients.push(new_client);
    }
}

/// Blocks the shard that has the fewest clients.
fn block_a_shard(number: usize) {
    let (server, gate) = start(common::config());
    let mut clients = connect(&server);
    let blocked = clients.get_mut(&format!("clws-shard-{number}")).unwrap();
    let count = server.handle.clients() - blocked.len() + 1;
    blocked.truncate(1);
    server.wait_for_clients(count);
    blocked[0].text("block");
    gate.wait_for(1);
    assert_new_clients_are_served(&server);
    gate.open();
    assert!(blocked[0].next().is_some());
}

#[test]
fn accepts_while_the_first_shard_is_blocked() {
    block_a_shard(0);
}

#[test]
fn accepts_while_the_second_shard_is_blocked() {
    block_a_shard(1);
}

#[test]
fn accepts_while_the_third_shard_is_blocked() {
    block_a_shard(2);
}

#[test]
fn accepts_while_the_fourth_shard_is_blocked() {
    block_a_shard(3);
}

#[test]
fn accepts_while_all_shards_but_one_are_blocked() {
    for free in 0..SHARDS {
        let (server, gate) = start(common::config());
        let mut clients = connect(&server);
        clients.remove(&format!("clws-shard-{free}")).unwrap();
        clients.values_mut().for_each(|clients| clients[0].text("block"));
        gate.wait_for(SHARDS - 1);
        assert_new_clients_are_served(&server);
        gate.open();
    }
}

/// Leaves one thread of the executor for the tasks of new clients.
#[test]
fn accepts_while_all_executor_threads_but_one_are_blocked() {
    let path = concat!(module_path!(), "::accepts_while_all_executor_threads_but_one_are_blocked");
    common::own_process::run(path, || {
        let (server, gate) = start(common::config().task_per_client(true));
        let mut clients: Vec<_> = (1..executor_threads()).map(|_| Wire::connect(&server, "/")).collect();
        clients.iter_mut().for_each(|client| client.text("block"));
        gate.wait_for(clients.len());
        assert_new_clients_are_served(&server);
        gate.open();
    });
}
