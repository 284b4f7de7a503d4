//! A handler panics with a value whose own `Drop` panics. It costs that client and nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::panic::panic_any;

use clws_server::{
    Accept, ByteString, Client, Close, Config, Disconnect, HttpResponse, Opening, Origins, Reject, Resource,
    ResourceListener, Server, Text, WebSocket, async_handler,
};
use common::Running;
use common::bomb::Bomb;
use common::flood::Echo;
use common::wire::{SHORT, Wire, dial, request, soon};

alone_in_both_modes!(
    of_an_inline_handler,
    of_connected,
    of_disconnected,
    of_accept,
    of_an_origin_rule,
    of_the_http_hook,
    of_a_listener,
    of_an_async_function,
    of_a_call_to_a_listener,
);

/// Panics where the query says so.
struct Fragile;

fn fragile(client: &Client, place: &str) {
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
        fragile(client, "connected");
        Ok(())
    }

    fn text(&self, client: &Client, _: Text<'_>) {
        fragile(client, "text");
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        fragile(client, "disconnected");
    }
}

impl ResourceListener for Fragile {
    type Message = ();

    fn text(&mut self, client: &Client, _: ByteString) {
        fragile(client, "text");
    }
}

/// A server, and a neighbour on the only shard.
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

/// The client that meets the panic is closed with 1011. Its neighbour and newcomers notice nothing.
fn panic_in(config: Config, target: &str, others: usize) {
    let (server, mut neighbour) = start(config);
    for _ in 0..2 * others {
        let mut client = Wire::connect(&server, target);
        client.text("now");
        assert_eq!(client.close_code(), Some(1011));
        client.finish();
        neighbour.assert_answered_within(SHORT);
    }
    soon("the others are gone", || server.handle.clients() == 1);
}

fn of_an_inline_handler(config: Config) {
    panic_in(config, "/inline?text", 1);
}

fn of_connected(config: Config) {
    panic_in(config, "/inline?connected", 1);
}

fn of_a_listener(config: Config) {
    panic_in(config, "/listener?text", 1);
}

/// More of them than there are threads for their tasks.
fn of_an_async_function(config: Config) {
    panic_in(config, "/async", common::flood::executor_threads());
}

fn of_disconnected(config: Config) {
    let (server, mut neighbour) = start(config);
    Wire::connect(&server, "/inline?disconnected").finish();
    neighbour.assert_answered_within(SHORT);
    soon("the others are gone", || server.handle.clients() == 1);
}

/// The answer to a request whose handshake fails.
fn refused(config: Config, request: &str) {
    let (server, mut neighbour) = start(config);
    let mut client = Wire { socket: dial(&server.addresses[0]) };
    client.raw(request.as_bytes());
    assert!(client.head().starts_with("HTTP/1.1 500 "));
    drop(client);
    neighbour.assert_answered_within(SHORT);
    soon("the others are gone", || server.handle.clients() == 1);
}

fn of_accept(config: Config) {
    refused(config, &request("/inline?accept"));
}

fn of_an_origin_rule(config: Config) {
    refused(config, &request("/origin"));
}

fn of_the_http_hook(config: Config) {
    refused(config, "GET / HTTP/1.1\r\nHost: here.example\r\n\r\n");
}

fn of_a_call_to_a_listener(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let handle = server.resources().run_resource_listener("/", Origins::any(), Fragile).unwrap();
    let _server = Running::run(server);
    let panicked = common::within(handle.call(|_| panic_any(Bomb)));
    assert!(matches!(panicked, Err(clws_server::CallError::Panicked)), "{panicked:?}");
    assert_eq!(common::within(handle.call(|_| 7)), Ok(7));
}
