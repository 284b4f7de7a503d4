//! Clients that are paused while their messages wait for a handler on another thread, and resumed
//! after.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use shuttle::future::block_on;

use crate::config::Config;
use crate::handler::async_handler::async_handler;
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::mailbox;
use crate::handler::websocket::WebSocket;
use crate::models::harness::{AfterTexts, Driver, Harness};
use crate::models::{Fault, Model};
use crate::signal::{GivesOnDrop, Signal};

const TEXTS: [&str; 6] = ["0", "1", "2", "3", "4", "5"];

/// Two texts fit in the backlog, and the third pauses the client.
fn config(cost: usize) -> Config {
    Config::default().max_handler_read_backlog(cost * 5 / 2)
}

/// A client that stays is aborted after its last text.
fn a_mailbox_gets_every_text(driver: Driver, after: AfterTexts) {
    let (sender, mut events) = mailbox::<()>();
    let cost = crate::handler::backlog::MESSAGE_OVERHEAD.max(size_of::<Event<()>>()) + 1;
    let harness = Harness::serve(driver, config(cost), sender, &TEXTS, after);
    let (mut texts, mut undelivered) = (Vec::new(), None);
    block_on(async {
        while undelivered.is_none() {
            match events.next().await.unwrap() {
                Event::Text(client, text) => {
                    texts.push(text);
                    if texts.len() == TEXTS.len() && after == AfterTexts::Stay {
                        client.abort();
                    }
                }
                Event::Disconnected(_, end) => undelivered = Some(end.undelivered),
                _ => {}
            }
        }
    });
    assert_eq!(
        (texts.as_slice(), undelivered),
        (TEXTS.map(bytestring::ByteString::from).as_slice(), Some(0))
    );
    harness.end();
}

fn a_websocket_gets_every_text(driver: Driver, after: AfterTexts) {
    let (texts, done) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Signal::default()));
    let handler = {
        let (texts, done) = (Arc::clone(&texts), Arc::clone(&done));
        async_handler(move |mut socket: WebSocket| {
            let (texts, done) = (Arc::clone(&texts), GivesOnDrop(Arc::clone(&done)));
            async move {
                while let Some(message) = socket.next().await {
                    let mut texts = texts.lock().unwrap();
                    texts.push(message);
                    if texts.len() == TEXTS.len() && after == AfterTexts::Stay {
                        socket.client().abort();
                    }
                }
                drop(done);
            }
        })
    };
    let config = config(crate::handler::backlog::MESSAGE_OVERHEAD + 1);
    let harness = Harness::serve(driver, config, handler, &TEXTS, after);
    block_on(done.wait());
    assert_eq!(*texts.lock().unwrap(), TEXTS.map(crate::handler::websocket::message::Message::from));
    harness.end();
}

fn mailbox_on_a_shard() {
    a_mailbox_gets_every_text(Driver::Shard, AfterTexts::End);
}

fn mailbox_on_a_stream() {
    a_mailbox_gets_every_text(Driver::Stream, AfterTexts::Stay);
}

fn websocket_on_a_shard() {
    a_websocket_gets_every_text(Driver::Shard, AfterTexts::Stay);
}

fn websocket_on_a_stream() {
    a_websocket_gets_every_text(Driver::Stream, AfterTexts::End);
}

const MAILBOX_SHARD: Model = Model("a mailbox with paused clients on a shard", mailbox_on_a_shard);
const MAILBOX_STREAM: Model = Model("a mailbox with paused clients on a stream", mailbox_on_a_stream);
const WEBSOCKET_SHARD: Model = Model("a paused WebSocket on a shard", websocket_on_a_shard);
const WEBSOCKET_STREAM: Model = Model("a paused WebSocket on a stream", websocket_on_a_stream);

#[test]
fn holds() {
    for model in [MAILBOX_SHARD, MAILBOX_STREAM, WEBSOCKET_SHARD, WEBSOCKET_STREAM] {
        model.holds(500);
    }
}

#[test]
fn fails_when_a_resumed_client_is_not_woken() {
    for model in [MAILBOX_SHARD, MAILBOX_STREAM, WEBSOCKET_SHARD, WEBSOCKET_STREAM] {
        model.fails(Fault::ResumesWithoutWake, "deadlock");
    }
}

#[test]
fn fails_when_a_client_is_paused_too_late() {
    for model in [MAILBOX_SHARD, MAILBOX_STREAM, WEBSOCKET_SHARD, WEBSOCKET_STREAM] {
        model.fails(Fault::PausesTooLate, "deadlock");
    }
}

#[test]
fn fails_when_a_reader_is_woken_too_early() {
    for model in [MAILBOX_SHARD, MAILBOX_STREAM, WEBSOCKET_SHARD] {
        model.fails(Fault::WakesBeforeMessage, "deadlock");
    }
}

#[test]
fn fails_when_a_stream_registers_too_late() {
    MAILBOX_STREAM.fails(Fault::RegistersTooLate, "deadlock");
}
