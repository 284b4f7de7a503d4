//! After a close by the application, a receiver gets only the end of the client.

use std::sync::mpsc::channel;

use crate::common::gate::Gate;
use crate::common::receivers::{Kind, cloner};
use crate::common::wire::{SHORT_TIMEOUT, Wire, numbered_texts};
use crate::common::{Running, within};
use clws_server::{
    ByteString, Client, CloseCode, Config, Event, Mailbox, Message, Origins, ResourceListener, Server,
    WebSocket, async_handler, mailbox,
};
use futures::StreamExt;

in_both_modes!(
    a_mailbox_yields_no_messages_of_a_closed_client,
    a_mailbox_yields_nothing_more_after_the_first_message,
    a_mailbox_still_yields_messages_of_other_clients,
    a_listener_gets_no_messages_of_a_closed_client,
    a_listener_that_closes_in_a_handler_gets_nothing_more,
    an_async_handler_gets_no_messages_of_a_closed_client,
    an_async_handler_that_closes_gets_nothing_more,
);

/// The number of messages, all of which fit into a mailbox.
const MESSAGES: usize = 50;

/// Another thread closes a client whose messages are queued. Then the receiver continues.
fn close_with_queued_messages(config: Config, kind: Kind, abort: bool) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let held = Gate::default();
    let log = kind.register(&server, "/", &held);
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    let client = log.connected();
    wire.send_and_wait_until_read(&numbered_texts(MESSAGES, 10));
    if abort {
        client.abort();
    } else {
        client.close(CloseCode::new(4000));
        assert_eq!(wire.close_code(), Some(4000));
        wire.finish();
    }
    held.open();
    let (texts, end) = log.messages_and_end();
    assert_eq!(texts.len(), 0, "{end}");
    assert_eq!(end.is_clean(), !abort, "{end}");
}

fn a_mailbox_yields_no_messages_of_a_closed_client(config: Config) {
    close_with_queued_messages(config.clone(), Kind::Mailbox, false);
    close_with_queued_messages(config, Kind::Mailbox, true);
}

fn a_listener_gets_no_messages_of_a_closed_client(config: Config) {
    close_with_queued_messages(config.clone(), Kind::Listener, false);
    close_with_queued_messages(config, Kind::Listener, true);
}

fn an_async_handler_gets_no_messages_of_a_closed_client(config: Config) {
    close_with_queued_messages(config.clone(), Kind::Async, false);
    close_with_queued_messages(config, Kind::Async, true);
}

fn start(config: Config) -> (Running, Mailbox<()>) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (resource, events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), resource).unwrap();
    (Running::run(server), events)
}

/// Connects a client, and queues its messages in the mailbox.
fn connect(server: &Running, events: &mut Mailbox<()>) -> (Wire, Client) {
    let mut wire = Wire::connect(server, "/");
    let Event::Connected(client) = within(events.next()).unwrap() else { panic!() };
    wire.send_and_wait_until_read(&numbered_texts(MESSAGES, 10));
    (wire, client)
}

fn a_mailbox_yields_nothing_more_after_the_first_message(config: Config) {
    let (server, mut events) = start(config);
    let (mut wire, client) = connect(&server, &mut events);
    assert!(matches!(within(events.next()), Some(Event::Text(..))));
    client.close(CloseCode::new(4000));
    assert_eq!(wire.close_code(), Some(4000));
    wire.finish();
    let next = within(events.next()).unwrap();
    assert!(matches!(&next, Event::Disconnected(gone, _) if *gone == client), "{next:?}");
}

fn a_mailbox_still_yields_messages_of_other_clients(config: Config) {
    let (server, mut events) = start(config);
    let (mut bad, bad_client) = connect(&server, &mut events);
    let (good, good_client) = {
        let mut wire = Wire::connect(&server, "/");
        wire.send_and_wait_until_read(&numbered_texts(MESSAGES, 10));
        let client = loop {
            match within(events.next()).unwrap() {
                Event::Connected(client) => break client,
                Event::Text(from, _) => assert!(from == bad_client),
                other => panic!("{other:?}"),
            }
        };
        (wire, client)
    };
    bad.send_and_wait_until_read(&numbered_texts(MESSAGES, 10));
    bad_client.close(CloseCode::new(4000));
    assert_eq!(bad.close_code(), Some(4000));
    bad.finish();
    good.finish();
    let (mut texts, mut ends) = (0, 0);
    while ends < 2 {
        match within(events.next()).unwrap() {
            Event::Text(from, _) => {
                assert!(from == good_client, "a message of the closed client");
                texts += 1;
            }
            Event::Disconnected(..) => ends += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(texts, MESSAGES);
}

/// Closes its client on the first message.
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

fn a_listener_that_closes_in_a_handler_gets_nothing_more(config: Config) {
    let (tx, rx) = channel();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().run_resource_listener("/", Origins::any(), Strict(tx)).unwrap();
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    wire.raw(&numbered_texts(MESSAGES, 10));
    assert_eq!(wire.close_code(), Some(4000));
    wire.finish();
    assert_eq!(rx.recv_timeout(SHORT_TIMEOUT).unwrap(), "0000000000");
    assert_eq!(rx.recv_timeout(SHORT_TIMEOUT).unwrap(), "gone");
}

fn an_async_handler_that_closes_gets_nothing_more(config: Config) {
    let (tx, rx) = channel();
    let gate = Gate::default();
    let clone = cloner((tx, gate.clone()));
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let handler = async_handler(move |mut socket: WebSocket| {
        let (tx, gate) = clone();
        async move {
            gate.passed().await;
            let first = socket.next().await;
            socket.close(CloseCode::new(4000));
            let second: Option<Message> = socket.next().await;
            let _ = tx.send((first, second));
        }
    });
    server.resources().register("/", Origins::any(), handler).unwrap();
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    wire.send_and_wait_until_read(&numbered_texts(MESSAGES, 10));
    gate.open();
    assert_eq!(wire.close_code(), Some(4000));
    wire.finish();
    let (first, second) = rx.recv_timeout(SHORT_TIMEOUT).unwrap();
    assert_eq!(first, Some(Message::from("0000000000")));
    assert_eq!(second, None);
}
