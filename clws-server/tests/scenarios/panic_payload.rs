//! A handler panics with a value whose `Drop` panics too. Only its own client is affected.

use std::panic::panic_any;

use crate::common;
use crate::common::Running;
use crate::common::bomb::Bomb;
use crate::common::flood::Echo;
use crate::common::wire::{SHORT_TIMEOUT, Wire, dial, request, soon};
use clws_server::{
    Accept, ByteString, Client, Close, Config, Disconnect, HttpResponse, Opening, Origins, Reject, Resource,
    ResourceListener, Server, Text, WebSocket, async_handler,
};

in_both_modes_in_own_process!(
    contains_a_panic_in_an_inline_handler,
    contains_a_panic_in_connected,
    contains_a_panic_in_disconnected,
    contains_a_panic_in_accept,
    contains_a_panic_in_an_origin_rule,
    contains_a_panic_in_the_http_hook,
    contains_a_panic_in_a_listener,
    contains_a_panic_in_an_async_handler,
    contains_a_panic_in_a_call_to_a_listener,
);

/// Panics in the place named by the query.
struct Fragile;

fn panic_at(client: &Client, place: &str) {
    if client.query_string() == Some(place) {
        panic_any(Bomb);
    }
}

impl Resource for Fragile {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        if opening.query_string() == Some("accept") {
            panic_any(Bomb);
        }
        Ok(Accept::new())
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        panic_at(client, "connected");
        Ok(())
    }

    fn text(&self, client: &Client, _: Text<'_>) {
        panic_at(client, "text");
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        panic_at(client, "disconnected");
    }
}

impl ResourceListener for Fragile {
    type Message = ();

    fn text(&mut self, client: &Client, _: ByteString) {
        panic_at(client, "text");
    }
}

/// A server with another client on its only shard.
fn start(config: Config) -> (Running, Wire) {
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    server.resources().register("/inline", Origins::any(), Fragile).unwrap();
    server.resources().register("/origin", Origins::closure(|_| panic_any(Bomb)), Fragile).unwrap();
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    server.resources().run_resource_listener("/listener", Origins::any(), Fragile).unwrap();
    let handler = async_handler(|mut socket: WebSocket| async move {
        socket.next().await;
        panic_any(Bomb);
    });
    server.resources().register("/async", Origins::any(), handler).unwrap();
    server.resources().http(|_| -> HttpResponse { panic_any(Bomb) });
    let server = Running::run(server);
    let neighbour = Wire::connect(&server, "/echo");
    (server, neighbour)
}

/// Closes the client whose handler panics with 1011. Other clients are served.
fn panic_in(config: Config, target: &str, others: usize) {
    let (server, mut neighbour) = start(config);
    for _ in 0..2 * others {
        let mut client = Wire::connect(&server, target);
        client.text("now");
        assert_eq!(client.close_code(), Some(1011));
        client.finish();
        neighbour.assert_answered_within(SHORT_TIMEOUT);
    }
    soon("all other clients disconnected", || server.handle.clients() == 1);
}

fn contains_a_panic_in_an_inline_handler(config: Config) {
    panic_in(config, "/inline?text", 1);
}

fn contains_a_panic_in_connected(config: Config) {
    panic_in(config, "/inline?connected", 1);
}

fn contains_a_panic_in_a_listener(config: Config) {
    panic_in(config, "/listener?text", 1);
}

/// Twice as many panics as there are executor threads.
fn contains_a_panic_in_an_async_handler(config: Config) {
    panic_in(config, "/async", common::flood::executor_threads());
}

fn contains_a_panic_in_disconnected(config: Config) {
    let (server, mut neighbour) = start(config);
    Wire::connect(&server, "/inline?disconnected").finish();
    neighbour.assert_answered_within(SHORT_TIMEOUT);
    soon("all other clients disconnected", || server.handle.clients() == 1);
}

/// Checks that a panic during the handshake gets 500.
fn assert_request_gets_500(config: Config, request: &str) {
    let (server, mut neighbour) = start(config);
    let mut client = Wire { socket: dial(&server.addresses[0]) };
    client.raw(request.as_bytes());
    assert!(client.head().starts_with("HTTP/1.1 500 "));
    drop(client);
    neighbour.assert_answered_within(SHORT_TIMEOUT);
    soon("all other clients disconnected", || server.handle.clients() == 1);
}

fn contains_a_panic_in_accept(config: Config) {
    assert_request_gets_500(config, &request("/inline?accept"));
}

fn contains_a_panic_in_an_origin_rule(config: Config) {
    assert_request_gets_500(config, &request("/origin"));
}

fn contains_a_panic_in_the_http_hook(config: Config) {
    assert_request_gets_500(config, "GET / HTTP/1.1\r\nHost: here.example\r\n\r\n");
}

fn contains_a_panic_in_a_call_to_a_listener(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let handle = server.resources().run_resource_listener("/", Origins::any(), Fragile).unwrap();
    let _server = Running::run(server);
    let panicked = common::within(handle.call(|_| panic_any(Bomb)));
    assert!(matches!(panicked, Err(clws_server::CallError::Panicked)), "{panicked:?}");
    assert_eq!(common::within(handle.call(|_| 7)), Ok(7));
}
