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
use crate::models::harness::{AfterTexts, Driver, Harness};
use crate::models::{Fault, Model};
use crate::resource::Resource;

const TEXTS: [&str; 3] = ["0", "1", "2"];

/// Each text pauses the client.
fn config() -> Config {
    Config::default().max_handler_read_backlog(1)
}

/// Another thread closes a mailbox. Each text of a connected client is delivered or counted as
/// undelivered, and the mailbox ends.
fn each_text_is_delivered_or_counted(driver: Driver) {
    let (sender, mut events) = mailbox::<()>();
    let closes = {
        let sender = sender.clone();
        thread::spawn(move || sender.close())
    };
    let harness = Harness::serve(driver, config(), sender, &TEXTS, AfterTexts::End);
    let (mut expected, mut texts) = (0, 0);
    block_on(async {
        while let Some(event) = events.next().await {
            match event {
                Event::Connected(_) => expected += TEXTS.len() as u64,
                Event::Text(..) => texts += 1,
                Event::Disconnected(_, end) => texts += end.undelivered,
                _ => {}
            }
        }
    });
    assert_eq!(expected, texts, "texts sent, and texts delivered or counted");
    closes.join().unwrap();
    harness.end();
}

/// Registers each client with a mailbox and then refuses it.
struct Refuses(MailboxSender<()>);

impl Resource for Refuses {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.0.connected(client)?;
        Err(Close::default())
    }
}

/// Another thread closes a mailbox whose client is refused. The mailbox reports the disconnect, and
/// ends.
fn a_refused_client_is_disconnected(driver: Driver) {
    let (sender, mut events) = mailbox::<()>();
    let closes = {
        let sender = sender.clone();
        thread::spawn(move || sender.close())
    };
    let harness = Harness::serve(driver, config(), Refuses(sender), &[], AfterTexts::End);
    let shared = Arc::clone(&harness.shared);
    let (mut expected, mut ends) = (0, 0);
    block_on(async {
        while let Some(event) = events.next().await {
            match event {
                Event::Connected(_) => expected += 1,
                Event::Disconnected(..) => ends += 1,
                _ => {}
            }
        }
    });
    assert_eq!(expected, ends, "clients connected and disconnected");
    closes.join().unwrap();
    harness.end();
    assert_eq!(shared.context.shared.hosts.len(), 0, "a host was leaked");
}

/// Dropping a mailbox ends the connection, even if the client is paused.
fn a_dropped_mailbox_ends_its_clients() {
    let (sender, mut events) = mailbox::<()>();
    let harness = Harness::serve(Driver::Stream, config(), sender, &TEXTS, AfterTexts::End);
    let event = block_on(events.next());
    assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
    drop(events);
    harness.end();
}

fn closed_on_a_shard() {
    each_text_is_delivered_or_counted(Driver::Shard);
}

fn closed_on_a_stream() {
    each_text_is_delivered_or_counted(Driver::Stream);
}

fn refused_on_a_shard() {
    a_refused_client_is_disconnected(Driver::Shard);
}

fn refused_on_a_stream() {
    a_refused_client_is_disconnected(Driver::Stream);
}

const CLOSED_SHARD: Model = Model("closing a mailbox, with a shard", closed_on_a_shard);
const CLOSED_STREAM: Model = Model("closing a mailbox, with a stream", closed_on_a_stream);
const REFUSED_SHARD: Model = Model("a refused client, with a shard", refused_on_a_shard);
const REFUSED_STREAM: Model = Model("a refused client, with a stream", refused_on_a_stream);
const DROPPED: Model = Model("dropping a mailbox, with a stream", a_dropped_mailbox_ends_its_clients);

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
fn fails_when_a_refused_client_gets_no_disconnected_event() {
    for model in [REFUSED_SHARD, REFUSED_STREAM] {
        model.fails(Fault::RefusesInSilence, "deadlock");
    }
}

#[test]
fn fails_when_a_resumed_client_is_not_woken() {
    DROPPED.fails(Fault::ResumesWithoutWake, "deadlock");
}
