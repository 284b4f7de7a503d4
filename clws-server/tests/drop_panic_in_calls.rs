//! The `Drop` of something that was registered or sent panics. It does not come out of the call that drops it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use clws_server::{
    CallError, Config, Event, HttpResponse, MailboxClosed, Origins, Resource, ResourceListener, Server,
    mailbox,
};
use common::bomb::{Bomb, quietly};
use common::flood::Echo;
use common::wire::{SHORT, Wire, dial, soon};
use common::{Running, within};
use futures::StreamExt;

alone_in_both_modes!(
    of_a_resource_that_is_not_registered_any_more,
    of_an_origin_rule,
    of_an_http_hook,
    of_messages_in_a_mailbox,
    of_a_message_to_a_mailbox_that_is_closed,
    of_a_call_to_a_listener_that_has_ended,
    of_everything_when_the_server_ends,
);

fn bind(config: Config) -> Server {
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    server
}

/// A server, and a neighbour on the only shard.
fn start(config: Config) -> (Running, Wire) {
    let server = Running::run(bind(config));
    let neighbour = Wire::connect(&server, "/echo");
    (server, neighbour)
}

/// The neighbour and newcomers notice nothing.
#[track_caller]
fn assert_unharmed(server: &Running, neighbour: &mut Wire) {
    soon("the others are gone", || server.handle.clients() == 1);
    neighbour.assert_answered_within(SHORT);
    Wire::connect(server, "/echo").assert_answered_within(SHORT);
}

/// A listener with a bomb in it.
struct Loaded(Bomb);

impl ResourceListener for Loaded {
    type Message = ();
}

struct Dropped(Bomb);

impl Resource for Dropped {}

fn of_a_resource_that_is_not_registered_any_more(config: Config) {
    let (server, mut neighbour) = start(config);
    let resources = server.handle.resources();
    // Nobody is connected: it is dropped at once.
    resources.register("/unused", Origins::any(), Dropped(Bomb)).unwrap();
    assert!(quietly(|| resources.unregister("/unused")));
    resources.register_prefix("/unused/", Origins::any(), Dropped(Bomb)).unwrap();
    assert!(quietly(|| resources.unregister_prefix("/unused/")));
    resources.register_fallback(Origins::any(), Dropped(Bomb)).unwrap();
    assert!(quietly(|| resources.unregister_fallback()));
    // It is dropped with its last client.
    resources.register("/used", Origins::any(), Dropped(Bomb)).unwrap();
    let client = Wire::connect(&server, "/used");
    assert!(quietly(|| resources.unregister("/used")));
    client.finish();
    assert_unharmed(&server, &mut neighbour);
    // One that is refused.
    assert!(quietly(|| resources.register("/echo", Origins::any(), Dropped(Bomb))).is_err());
    assert_unharmed(&server, &mut neighbour);
}

fn of_an_origin_rule(config: Config) {
    let (server, mut neighbour) = start(config);
    let (resources, bomb) = (server.handle.resources(), Bomb);
    let origins = Origins::closure(move |_| {
        let _bomb = &bomb;
        true
    });
    resources.register("/origin", origins, Echo).unwrap();
    let client = Wire::connect(&server, "/origin");
    assert!(quietly(|| resources.unregister("/origin")));
    client.finish();
    assert_unharmed(&server, &mut neighbour);
}

fn of_an_http_hook(config: Config) {
    let (server, mut neighbour) = start(config);
    let (resources, bomb) = (server.handle.resources(), Bomb);
    resources.http(move |_| {
        let _bomb = &bomb;
        HttpResponse::text(200, "old")
    });
    quietly(|| resources.http(|_| HttpResponse::text(200, "new")));
    let mut client = Wire { socket: dial(&server.addresses[0]) };
    client.raw(b"GET / HTTP/1.1\r\nHost: here.example\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    drop(client);
    assert_unharmed(&server, &mut neighbour);
}

/// When the mailbox is dropped, so are the messages in it, and its clients are closed all the same.
fn of_messages_in_a_mailbox(config: Config) {
    let server = bind(config);
    let (sender, mut events) = mailbox::<Bomb>();
    server.resources().register("/mailbox", Origins::any(), sender.clone()).unwrap();
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/echo");
    let mut client = Wire::connect(&server, "/mailbox");
    assert!(matches!(within(events.next()), Some(Event::Connected(_))));
    for _ in 0..3 {
        sender.send(Bomb).unwrap();
    }
    quietly(|| drop(events));
    assert_eq!(client.close_code(), Some(1001));
    client.finish();
    assert_unharmed(&server, &mut neighbour);
}

fn of_a_message_to_a_mailbox_that_is_closed(config: Config) {
    let (server, mut neighbour) = start(config);
    let (sender, events) = mailbox::<Bomb>();
    drop(events);
    assert_eq!(quietly(|| sender.send(Bomb)), Err(MailboxClosed));
    assert_unharmed(&server, &mut neighbour);
}

fn of_a_call_to_a_listener_that_has_ended(config: Config) {
    struct Plain;

    impl ResourceListener for Plain {
        type Message = Bomb;
    }

    let (server, mut neighbour) = start(config);
    let resources = server.handle.resources();
    let handle = resources.run_resource_listener("/listener", Origins::any(), Plain).unwrap();
    handle.send(Bomb).unwrap(); // dropped by the default handler
    assert_eq!(within(handle.call(|_| 7)), Ok(7), "it lives on");
    handle.kill();
    within(handle.ended());
    assert_eq!(quietly(|| handle.send(Bomb)), Err(MailboxClosed));
    let bomb = Bomb;
    let call = quietly(|| handle.call(move |_| drop(bomb)));
    assert_eq!(within(call), Err(CallError::Gone));
    assert_unharmed(&server, &mut neighbour);
}

fn of_everything_when_the_server_ends(config: Config) {
    let (server, neighbour) = start(config);
    let resources = server.handle.resources();
    resources.register("/dropped", Origins::any(), Dropped(Bomb)).unwrap();
    resources.register_prefix("/dropped/", Origins::any(), Dropped(Bomb)).unwrap();
    resources.register_fallback(Origins::any(), Dropped(Bomb)).unwrap();
    resources.run_resource_listener("/listener", Origins::any(), Loaded(Bomb)).unwrap();
    let bomb = Bomb;
    resources.http(move |_| {
        let _bomb = &bomb;
        HttpResponse::text(200, "")
    });
    server.handle.stop();
    neighbour.finish();
    server.wait().unwrap();
    quietly(|| drop(server));
}
