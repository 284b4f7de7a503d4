//! A panic in the `Drop` of a registered or sent value does not escape from the call that drops it.

use crate::common::bomb::{Bomb, assert_no_panic};
use crate::common::flood::Echo;
use crate::common::wire::{SHORT_TIMEOUT, Wire, dial, soon};
use crate::common::{Running, within};
use clws_server::{
    CallError, Config, Event, HttpResponse, MailboxClosed, Origins, Resource, ResourceListener, Server,
    mailbox,
};
use futures::StreamExt;

in_both_modes_in_own_process!(
    unregistered_resource_may_panic,
    origin_rule_may_panic,
    replaced_http_hook_may_panic,
    messages_in_a_dropped_mailbox_may_panic,
    message_to_a_closed_mailbox_may_panic,
    call_to_a_listener_that_has_ended_may_panic,
    everything_registered_when_the_server_ends_may_panic,
);

fn bind(config: Config) -> Server {
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
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

/// A listener whose `Drop` panics.
struct Loaded(Bomb);

impl ResourceListener for Loaded {
    type Message = ();
}

struct Dropped(Bomb);

impl Resource for Dropped {}

fn unregistered_resource_may_panic(config: Config) {
    let (server, mut neighbour) = start(config);
    let resources = server.handle.resources();
    // Without clients, unregistering drops the resource.
    resources.register("/unused", Origins::any(), Dropped(Bomb)).unwrap();
    assert!(assert_no_panic(|| resources.unregister("/unused")));
    resources.register_prefix("/unused/", Origins::any(), Dropped(Bomb)).unwrap();
    assert!(assert_no_panic(|| resources.unregister_prefix("/unused/")));
    resources.register_fallback(Origins::any(), Dropped(Bomb)).unwrap();
    assert!(assert_no_panic(|| resources.unregister_fallback()));
    // The resource is dropped with its last client.
    resources.register("/used", Origins::any(), Dropped(Bomb)).unwrap();
    let client = Wire::connect(&server, "/used");
    assert!(assert_no_panic(|| resources.unregister("/used")));
    client.finish();
    assert_others_are_served(&server, &mut neighbour);
    // A registration that fails drops the resource.
    assert!(assert_no_panic(|| resources.register("/echo", Origins::any(), Dropped(Bomb))).is_err());
    assert_others_are_served(&server, &mut neighbour);
}

fn origin_rule_may_panic(config: Config) {
    let (server, mut neighbour) = start(config);
    let (resources, bomb) = (server.handle.resources(), Bomb);
    let origins = Origins::closure(move |_| {
        let _bomb = &bomb;
        true
    });
    resources.register("/origin", origins, Echo).unwrap();
    let client = Wire::connect(&server, "/origin");
    assert!(assert_no_panic(|| resources.unregister("/origin")));
    client.finish();
    assert_others_are_served(&server, &mut neighbour);
}

fn replaced_http_hook_may_panic(config: Config) {
    let (server, mut neighbour) = start(config);
    let (resources, bomb) = (server.handle.resources(), Bomb);
    resources.http(move |_| {
        let _bomb = &bomb;
        HttpResponse::text(200, "old")
    });
    assert_no_panic(|| resources.http(|_| HttpResponse::text(200, "new")));
    let mut client = Wire { socket: dial(&server.addresses[0]) };
    client.raw(b"GET / HTTP/1.1\r\nHost: here.example\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    drop(client);
    assert_others_are_served(&server, &mut neighbour);
}

/// Dropping the mailbox drops its messages. The clients are closed nevertheless.
fn messages_in_a_dropped_mailbox_may_panic(config: Config) {
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
    assert_no_panic(|| drop(events));
    assert_eq!(client.close_code(), Some(1001));
    client.finish();
    assert_others_are_served(&server, &mut neighbour);
}

fn message_to_a_closed_mailbox_may_panic(config: Config) {
    let (server, mut neighbour) = start(config);
    let (sender, events) = mailbox::<Bomb>();
    drop(events);
    assert_eq!(assert_no_panic(|| sender.send(Bomb)), Err(MailboxClosed));
    assert_others_are_served(&server, &mut neighbour);
}

fn call_to_a_listener_that_has_ended_may_panic(config: Config) {
    struct Plain;

    impl ResourceListener for Plain {
        type Message = Bomb;
    }

    let (server, mut neighbour) = start(config);
    let resources = server.handle.resources();
    let handle = resources.run_resource_listener("/listener", Origins::any(), Plain).unwrap();
    handle.send(Bomb).unwrap(); // dropped by the default handler
    assert_eq!(within(handle.call(|_| 7)), Ok(7), "the listener still runs");
    handle.kill();
    within(handle.ended());
    assert_eq!(assert_no_panic(|| handle.send(Bomb)), Err(MailboxClosed));
    let bomb = Bomb;
    let call = assert_no_panic(|| handle.call(move |_| drop(bomb)));
    assert_eq!(within(call), Err(CallError::Gone));
    assert_others_are_served(&server, &mut neighbour);
}

fn everything_registered_when_the_server_ends_may_panic(config: Config) {
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
    assert_no_panic(|| drop(server));
}
