//! Mailboxes that are closed or dropped while clients send.

use std::sync::Arc;

use futures::StreamExt;
use shuttle::future::block_on;
use shuttle::thread;

use crate::client::Client;
use crate::client::close::Close;
use crate::config::Config;
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::mailbox;
use crate::handler::mailbox::sender::MailboxSender;
use crate::models::harness::{Driver, Harness, Then};
use crate::models::{Fault, Model};
use crate::resource::Resource;

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
    let harness = Harness::serve(driver, config(), sender, &TEXTS, Then::CloseOnDrop);
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
    harness.end();
}

/// Hands each client to a mailbox, and then refuses it.
struct Refuses(MailboxSender<()>);

impl Resource for Refuses {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.0.connected(client)?;
        Err(Close::default())
    }
}

/// Another thread closes a mailbox, whose client is refused. The mailbox hears of its end, and ends.
fn a_refused_client_ends(driver: Driver) {
    let (sender, mut events) = mailbox::<()>();
    let closes = {
        let sender = sender.clone();
        thread::spawn(move || sender.close())
    };
    let harness = Harness::serve(driver, config(), Refuses(sender), &[], Then::CloseOnDrop);
    let shared = Arc::clone(&harness.shared);
    let (mut came, mut ends) = (0, 0);
    block_on(async {
        while let Some(event) = events.next().await {
            match event {
                Event::Connected(_) => came += 1,
                Event::Disconnected(..) => ends += 1,
                _ => {}
            }
        }
    });
    assert_eq!(came, ends, "clients that came, and their ends");
    closes.join().unwrap();
    harness.end();
    assert_eq!(shared.context.hosts.len(), 0, "a host is left");
}

/// A mailbox is dropped while the client may be paused. That ends the connection.
fn a_dropped_mailbox_ends_its_clients() {
    let (sender, mut events) = mailbox::<()>();
    let harness = Harness::serve(Driver::Stream, config(), sender, &TEXTS, Then::CloseOnDrop);
    let event = block_on(events.next());
    assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
    drop(events);
    harness.end();
}

fn closed_on_a_shard() {
    each_text_is_counted(Driver::Shard);
}

fn closed_on_a_stream() {
    each_text_is_counted(Driver::Stream);
}

fn refused_on_a_shard() {
    a_refused_client_ends(Driver::Shard);
}

fn refused_on_a_stream() {
    a_refused_client_ends(Driver::Stream);
}

const CLOSED_SHARD: Model = Model("a mailbox, closed, with a shard", closed_on_a_shard);
const CLOSED_STREAM: Model = Model("a mailbox, closed, with a stream", closed_on_a_stream);
const REFUSED_SHARD: Model = Model("a refused client, with a shard", refused_on_a_shard);
const REFUSED_STREAM: Model = Model("a refused client, with a stream", refused_on_a_stream);
const DROPPED: Model = Model("a mailbox, dropped, with a stream", a_dropped_mailbox_ends_its_clients);

#[test]
fn holds() {
    for model in [CLOSED_SHARD, CLOSED_STREAM, REFUSED_SHARD, REFUSED_STREAM, DROPPED] {
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
fn fails_when_the_end_of_a_refused_client_is_not_told() {
    for model in [REFUSED_SHARD, REFUSED_STREAM] {
        model.fails(Fault::RefusesInSilence, "deadlock");
    }
}

#[test]
fn fails_when_a_resumed_client_is_not_touched() {
    DROPPED.fails(Fault::ResumesWithoutWake, "deadlock");
}
