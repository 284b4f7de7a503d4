//! A panic in the `Drop` of a client's data, or of its handler, affects nothing else.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::common::bomb::{Bomb, assert_no_panic};
use crate::common::flood::{Echo, executor_threads};
use crate::common::wire::{CLOSE, SHORT_TIMEOUT, Wire, dial, request, soon};
use crate::common::{Running, within};
use clws_server::{
    Accept, Bytes, Client, Config, Event, Opening, Origins, Reject, Resource, ResourceListener, Server, Text,
    WebSocket, async_handler, mailbox,
};
use futures::StreamExt;

in_both_modes_in_own_process!(
    data_of_a_client_that_closes_may_panic,
    data_of_a_client_that_resets_may_panic,
    data_of_an_aborted_client_may_panic,
    data_of_clients_that_share_a_poisoned_lock_may_panic,
    data_of_a_client_whose_last_handle_the_application_drops_may_panic,
    data_of_a_rejected_client_may_panic,
    data_of_all_clients_when_the_server_stops_may_panic,
    payload_that_was_written_may_panic,
    future_of_a_finished_async_handler_may_panic,
    listener_that_was_killed_may_panic,
);

/// Attaches a [`Bomb`] to each client, and aborts the client on its first message.
struct Armed;

impl Resource for Armed {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let accept = Accept::new().data(Bomb);
        // The request offers no subprotocol, so accepting with a subprotocol fails.
        Ok(if opening.query_string() == Some("fails") { accept.subprotocol("chat") } else { accept })
    }

    fn text(&self, client: &Client, _: Text<'_>) {
        client.abort();
    }
}

fn bind(config: Config) -> Server {
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Armed).unwrap();
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    server
}

/// A server with another client on its only shard.
fn start(config: Config) -> (Running, Wire) {
    let server = Running::run(bind(config));
    let neighbour = Wire::connect(&server, "/echo");
    (server, neighbour)
}

/// Checks that the other client and new clients are served.
#[track_caller]
fn assert_others_are_served(server: &Running, neighbour: &mut Wire) {
    soon("all other clients disconnected", || server.handle.clients() == 1);
    neighbour.assert_answered_within(SHORT_TIMEOUT);
    Wire::connect(server, "/echo").assert_answered_within(SHORT_TIMEOUT);
}

fn data_of_a_client_that_closes_may_panic(config: Config) {
    let (server, mut neighbour) = start(config);
    let mut client = Wire::connect(&server, "/");
    client.send(CLOSE, &1000u16.to_be_bytes());
    assert_eq!(client.close_code(), Some(1000));
    assert_eq!(client.next(), None);
    assert_others_are_served(&server, &mut neighbour);
}

fn data_of_a_client_that_resets_may_panic(config: Config) {
    let (server, mut neighbour) = start(config);
    Wire::connect(&server, "/").reset();
    assert_others_are_served(&server, &mut neighbour);
}

fn data_of_an_aborted_client_may_panic(config: Config) {
    let (server, mut neighbour) = start(config);
    let mut client = Wire::connect(&server, "/");
    client.text("abort me");
    assert_eq!(client.next(), None);
    assert_others_are_served(&server, &mut neighbour);
}

/// A handler panics while it holds the lock. Then the `Drop` of each client's data panics in turn.
fn data_of_clients_that_share_a_poisoned_lock_may_panic(config: Config) {
    struct Seat(Arc<Mutex<u32>>);

    impl Drop for Seat {
        fn drop(&mut self) {
            *self.0.lock().unwrap() -= 1;
        }
    }

    struct Room(Arc<Mutex<u32>>);

    impl Resource for Room {
        fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
            *self.0.lock().unwrap() += 1;
            Ok(Accept::new().data(Seat(Arc::clone(&self.0))))
        }

        fn text(&self, client: &Client, text: Text<'_>) {
            let _seats = (&*text == "panic").then(|| self.0.lock().unwrap());
            assert_ne!(&*text, "panic");
            let _ = client.send_text(&text);
        }
    }

    let server = bind(config);
    server.resources().register("/room", Origins::any(), Room(Arc::default())).unwrap();
    let server = Running::run(server);
    let mut others: Vec<_> = (0..4).map(|_| Wire::connect(&server, "/room")).collect();
    let mut bad = Wire::connect(&server, "/room");
    bad.text("panic");
    assert_eq!(bad.close_code(), Some(1011));
    bad.finish();
    while let Some(mut other) = others.pop() {
        other.assert_answered_within(SHORT_TIMEOUT);
        other.finish();
        soon("the client disconnects", || server.handle.clients() == others.len());
    }
    Wire::connect(&server, "/echo").assert_answered_within(SHORT_TIMEOUT);
}

/// The application drops the last handle of a client.
fn data_of_a_client_whose_last_handle_the_application_drops_may_panic(config: Config) {
    let server = bind(config);
    let (resource, mut events) = mailbox::<()>();
    server.resources().register("/held", Origins::any(), Held(resource)).unwrap();
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/echo");
    let client = Wire::connect(&server, "/held");
    let Some(Event::Connected(held)) = within(events.next()) else { panic!() };
    client.finish();
    let end = within(events.next());
    assert!(matches!(end, Some(Event::Disconnected(..))));
    soon("the client disconnects", || server.handle.clients() == 1);
    assert_no_panic(|| drop(end));
    assert_no_panic(|| drop(held));
    assert_others_are_served(&server, &mut neighbour);
}

/// A mailbox whose clients carry a [`Bomb`].
struct Held(clws_server::MailboxSender<()>);

impl Resource for Held {
    fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
        Ok(Accept::new().data(Bomb))
    }

    fn connected(&self, client: &Client) -> Result<(), clws_server::Close> {
        self.0.connected(client)
    }

    fn disconnected(&self, client: &Client, end: &clws_server::Disconnect) {
        self.0.disconnected(client, end);
    }
}

fn data_of_a_rejected_client_may_panic(config: Config) {
    let (server, mut neighbour) = start(config);
    let mut client = Wire { socket: dial(&server.addresses[0]) };
    client.raw(request("/?fails").as_bytes());
    assert!(client.head().starts_with("HTTP/1.1 500 "));
    drop(client);
    assert_others_are_served(&server, &mut neighbour);
}

fn data_of_all_clients_when_the_server_stops_may_panic(config: Config) {
    let (server, neighbour) = start(config.close_timeout(Duration::from_millis(200)));
    let mut good = Wire::connect(&server, "/");
    let _stuck: Vec<_> = (0..4).map(|_| Wire::connect(&server, "/")).collect();
    server.handle.stop();
    assert_eq!(good.close_code(), Some(1001));
    good.finish();
    neighbour.finish();
    server.wait().unwrap();
    assert_eq!(server.handle.clients(), 0);
}

/// Message memory whose `Drop` panics.
struct Chunk(Vec<u8>, Bomb);

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn payload_that_was_written_may_panic(config: Config) {
    struct Sends;

    impl Resource for Sends {
        fn text(&self, client: &Client, text: Text<'_>) {
            let len = text.parse().unwrap();
            let sent = client.send(Bytes::from_owner(Chunk(vec![7; len], Bomb)));
            assert!(sent.is_ok());
        }
    }

    let server = bind(config);
    server.resources().register("/sends", Origins::any(), Sends).unwrap();
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/echo");
    let mut client = Wire::connect(&server, "/sends");
    client.text("100000");
    assert_eq!(client.next().unwrap().1.len(), 100_000);
    client.text("10"); // copied, because it is short
    drop(client);
    assert_others_are_served(&server, &mut neighbour);
}

/// A future whose `Drop` panics after it is ready.
struct PanicsOnDrop(Pin<Box<dyn Future<Output = ()> + Send>>, Bomb);

impl Future for PanicsOnDrop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.0.as_mut().poll(cx));
        Poll::Ready(())
    }
}

fn future_of_a_finished_async_handler_may_panic(config: Config) {
    let server = bind(config);
    let handler = async_handler(|mut socket: WebSocket| {
        let text = async move {
            let _ = socket.next().await;
        };
        PanicsOnDrop(Box::pin(text), Bomb)
    });
    server.resources().register("/async", Origins::any(), handler).unwrap();
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/echo");
    for _ in 0..2 * executor_threads() {
        let mut client = Wire::connect(&server, "/async");
        client.text("go");
        let code = client.close_code();
        assert!(code == Some(1000) || code == Some(1011), "{code:?}");
        client.finish();
    }
    assert_others_are_served(&server, &mut neighbour);
}

/// A listener whose `Drop` panics.
struct Loaded(Bomb);

impl ResourceListener for Loaded {
    type Message = ();
}

fn listener_that_was_killed_may_panic(config: Config) {
    let (server, mut neighbour) = start(config);
    for number in 0..2 * executor_threads() {
        let path = format!("/listener{number}");
        let resources = server.handle.resources();
        let handle = resources.run_resource_listener(&path, Origins::any(), Loaded(Bomb)).unwrap();
        let mut client = Wire::connect(&server, &path);
        handle.kill();
        assert_eq!(client.close_code(), Some(1001));
        client.finish();
        within(handle.ended());
    }
    assert_others_are_served(&server, &mut neighbour);
}
