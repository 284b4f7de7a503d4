//! A client that the application has closed is heard of no more, but for its end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::mpsc::channel;

use clws_server::{
    ByteString, Client, CloseCode, Config, Event, Mailbox, Message, Origins, ResourceListener, Server,
    WebSocket, async_handler, mailbox,
};
use common::gate::Gate;
use common::receivers::{Kind, shared};
use common::wire::{SHORT, Wire, numbered};
use common::{Running, within};
use futures::StreamExt;

in_both_modes!(
    a_mailbox_that_has_not_begun,
    a_mailbox_that_has_taken_the_first,
    a_mailbox_goes_on_with_the_others,
    a_listener,
    a_listener_that_closes_in_its_handler,
    an_async_function,
    an_async_function_that_has_taken_the_first,
);

/// All of them fit into a mailbox.
const MESSAGES: usize = 50;

/// The messages of a client wait, another thread closes it, and then the receiver goes on.
fn close(config: Config, kind: Kind, abort: bool) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let held = Gate::default();
    let log = kind.register(&server, "/", &held);
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    let client = log.connected();
    wire.send_and_wait_until_read(&numbered(MESSAGES, 10));
    if abort {
        client.abort();
    } else {
        client.close(CloseCode::new(4000));
        assert_eq!(wire.close_code(), Some(4000));
        wire.finish();
    }
    held.open();
    let (texts, end) = log.to_the_end();
    assert_eq!(texts.len(), 0, "{end}");
    assert_eq!(end.is_clean(), !abort, "{end}");
}

fn a_mailbox_that_has_not_begun(config: Config) {
    close(config.clone(), Kind::Mailbox, false);
    close(config, Kind::Mailbox, true);
}

fn a_listener(config: Config) {
    close(config.clone(), Kind::Listener, false);
    close(config, Kind::Listener, true);
}

fn an_async_function(config: Config) {
    close(config.clone(), Kind::Async, false);
    close(config, Kind::Async, true);
}

fn start(config: Config) -> (Running, Mailbox<()>) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (resource, events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), resource).unwrap();
    (Running::run(server), events)
}

/// A client whose messages are in the mailbox.
fn connect(server: &Running, events: &mut Mailbox<()>) -> (Wire, Client) {
    let mut wire = Wire::connect(server, "/");
    let Event::Connected(client) = within(events.next()).unwrap() else { panic!() };
    wire.send_and_wait_until_read(&numbered(MESSAGES, 10));
    (wire, client)
}

fn a_mailbox_that_has_taken_the_first(config: Config) {
    let (server, mut events) = start(config);
    let (mut wire, client) = connect(&server, &mut events);
    assert!(matches!(within(events.next()), Some(Event::Text(..))));
    client.close(CloseCode::new(4000));
    assert_eq!(wire.close_code(), Some(4000));
    wire.finish();
    let next = within(events.next()).unwrap();
    assert!(matches!(&next, Event::Disconnected(gone, _) if *gone == client), "{next:?}");
}

fn a_mailbox_goes_on_with_the_others(config: Config) {
    let (server, mut events) = start(config);
    let (mut bad, bad_client) = connect(&server, &mut events);
    let (good, good_client) = {
        let mut wire = Wire::connect(&server, "/");
        wire.send_and_wait_until_read(&numbered(MESSAGES, 10));
        let client = loop {
            match within(events.next()).unwrap() {
                Event::Connected(client) => break client,
                Event::Text(from, _) => assert!(from == bad_client),
                other => panic!("{other:?}"),
            }
        };
        (wire, client)
    };
    bad.send_and_wait_until_read(&numbered(MESSAGES, 10));
    bad_client.close(CloseCode::new(4000));
    assert_eq!(bad.close_code(), Some(4000));
    bad.finish();
    good.finish();
    let (mut texts, mut ends) = (0, 0);
    while ends < 2 {
        match within(events.next()).unwrap() {
            Event::Text(from, _) => {
                assert!(from == good_client, "a message of the client that was closed");
                texts += 1;
            }
            Event::Disconnected(..) => ends += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(texts, MESSAGES);
}

/// Closes its client at the first message.
struct Strict(std::sync::mpsc::Sender<String>);

impl ResourceListener for Strict {
    type Message = ();

    fn text(&mut self, client: &Client, text: ByteString) {
        client.close(CloseCode::new(4000));
        let _ = self.0.send(text.to_string());
    }

    fn disconnected(&mut self, _: &Client, _: &clws_server::Disconnect) {
        let _ = self.0.send("gone".to_owned());
    }
}

fn a_listener_that_closes_in_its_handler(config: Config) {
    let (tell, told) = channel();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().run_resource_listener("/", Origins::any(), Strict(tell)).unwrap();
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    wire.raw(&numbered(MESSAGES, 10));
    assert_eq!(wire.close_code(), Some(4000));
    wire.finish();
    assert_eq!(told.recv_timeout(SHORT).unwrap(), "0000000000");
    assert_eq!(told.recv_timeout(SHORT).unwrap(), "gone");
}

fn an_async_function_that_has_taken_the_first(config: Config) {
    let (tell, told) = channel();
    let gate = Gate::default();
    let clone = shared((tell, gate.clone()));
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let handler = async_handler(move |mut socket: WebSocket| {
        let (tell, gate) = clone();
        async move {
            gate.passed().await;
            let first = socket.next().await;
            socket.close(CloseCode::new(4000));
            let second: Option<Message> = socket.next().await;
            let _ = tell.send((first, second));
        }
    });
    server.resources().register("/", Origins::any(), handler).unwrap();
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    wire.send_and_wait_until_read(&numbered(MESSAGES, 10));
    gate.open();
    assert_eq!(wire.close_code(), Some(4000));
    wire.finish();
    let (first, second) = told.recv_timeout(SHORT).unwrap();
    assert_eq!(first, Some(Message::Text("0000000000".into())));
    assert_eq!(second, None);
}
