//! Mailboxes that are closed or dropped while clients send.

use futures::StreamExt;
use shuttle::future::block_on;
use shuttle::thread;

use super::world::{Driver, Then, World};
use super::{Fault, Model};
use crate::{Config, Event, mailbox};

const TEXTS: [&str; 3] = ["0", "1", "2"];

/// Each text pauses the client.
fn config() -> Config {
    Config::default().max_handler_read_backlog(1)
}

/// Another thread closes a mailbox. Each text comes out or is counted, unless the client came too late, and the mailbox ends.
fn each_text_is_counted(driver: Driver) {
    let (sender, mut events) = mailbox::<()>();
    let closes = {
        let sender = sender.clone();
        thread::spawn(move || sender.close())
    };
    let world = World::serve(driver, config(), sender, &TEXTS, Then::Ends);
    let (mut came, mut texts) = (0, 0);
    block_on(async {
        while let Some(event) = events.next().await {
            match event {
                Event::Connected(_) => came += TEXTS.len() as u64,
                Event::Text(..) => texts += 1,
                Event::Disconnected(_, end) => texts += end.undelivered,
                _ => {}
            }
        }
    });
    assert_eq!(came, texts, "texts of clients that came, and texts that came out or were counted");
    closes.join().unwrap();
    world.end();
}

/// A mailbox is dropped while the client may be paused. That ends the connection.
fn a_dropped_mailbox_ends_its_clients() {
    let (sender, mut events) = mailbox::<()>();
    let world = World::serve(Driver::Stream, config(), sender, &TEXTS, Then::Ends);
    let event = block_on(events.next());
    assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
    drop(events);
    world.end();
}

fn closed_on_a_shard() {
    each_text_is_counted(Driver::Shard);
}

fn closed_on_a_stream() {
    each_text_is_counted(Driver::Stream);
}

const CLOSED_SHARD: Model = Model("a mailbox, closed, with a shard", closed_on_a_shard);
const CLOSED_STREAM: Model = Model("a mailbox, closed, with a stream", closed_on_a_stream);
const DROPPED: Model = Model("a mailbox, dropped, with a stream", a_dropped_mailbox_ends_its_clients);

#[test]
fn holds() {
    for model in [CLOSED_SHARD, CLOSED_STREAM, DROPPED] {
        model.holds(500);
    }
}

#[test]
fn fails_when_the_receiver_is_not_woken() {
    for model in [CLOSED_SHARD, CLOSED_STREAM] {
        model.fails(Fault::ClosesWithoutWake, "deadlock");
    }
}

#[test]
fn fails_when_a_client_is_forgotten_too_early() {
    for model in [CLOSED_SHARD, CLOSED_STREAM] {
        model.fails(Fault::ForgetsTooEarly, "texts that came out or were counted");
    }
}

#[test]
fn fails_when_a_resumed_client_is_not_touched() {
    DROPPED.fails(Fault::ResumesWithoutWake, "deadlock");
}
