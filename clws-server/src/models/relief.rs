//! Clients that are dropped when the memory budget is exceeded.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures::StreamExt;
use shuttle::future::block_on;
use shuttle::thread;

use crate::client::Client;
use crate::client::disconnect::DisconnectCause;
use crate::config::Config;
use crate::handler::mailbox::Mailbox;
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::mailbox;
use crate::models::harness::{AfterTexts, Driver, Harness};
use crate::models::{Fault, Model};

const LIMIT: usize = 1 << 20;

fn start(driver: Driver, texts: &[&str], after: AfterTexts) -> (Harness, Mailbox<()>, Client) {
    let (sender, mut events) = mailbox::<()>();
    let harness = Harness::serve(driver, Config::default().max_buffered(LIMIT), sender, texts, after);
    match block_on(events.next()) {
        Some(Event::Connected(client)) => (harness, events, client),
        event => panic!("{event:?}"),
    }
}

fn send(client: &Client, len: usize) {
    static BYTES: [u8; 2 * LIMIT] = [0; 2 * LIMIT];
    let _ = client.send(Bytes::from_static(&BYTES[..len])); // fails if the client was dropped
}

/// A shard drops a client whose outbox exceeds the budget.
fn a_shard_drops_a_client() {
    let (harness, mut events, client) = start(Driver::Shard, &[], AfterTexts::Stay);
    // The second message exceeds the budget until the socket has taken the first. The third exceeds
    // it permanently.
    for len in [160 * 1024, LIMIT - 96 * 1024, LIMIT / 2] {
        send(&client, len);
    }
    let cause = block_on(async {
        loop {
            match events.next().await {
                Some(Event::Disconnected(_, end)) => break end.cause,
                Some(Event::Drained(_)) => {}
                event => panic!("{event:?}"),
            }
        }
    });
    assert!(matches!(cause, DisconnectCause::Budget), "{cause:?}");
    let shared = Arc::clone(&harness.shared);
    harness.end();
    drop((client, events));
    shared.budget().give_back();
    assert_eq!(shared.budget().used(), 0, "bytes are counted that are not held");
}

/// The sending thread drops a stream that exceeds the budget. Part of a message has arrived from
/// the client. Another thread aborts the client at the same time.
fn a_stream_is_dropped() {
    static TEXT: LazyLock<String> = LazyLock::new(|| "x".repeat(LIMIT * 9 / 16));
    let (harness, mut events, client) = start(Driver::FullStream, &[&TEXT], AfterTexts::StayWithinText);
    let ends = {
        let client = client.clone();
        thread::spawn(move || client.abort())
    };
    send(&client, LIMIT);
    block_on(async { while !matches!(events.next().await, Some(Event::Disconnected(..))) {} });
    ends.join().unwrap();
    let shared = Arc::clone(&harness.shared);
    harness.end();
    drop((client, events));
    shared.budget().give_back();
    assert_eq!(
        (shared.budget().used(), shared.streams.dropping()),
        (0, 0),
        "bytes are counted that are not held"
    );
}

const SHARD: Model = Model("a client over the budget, on a shard", a_shard_drops_a_client);
const STREAM: Model = Model("a client over the budget, on a stream", a_stream_is_dropped);

#[test]
fn holds() {
    for model in [SHARD, STREAM] {
        model.holds(500);
    }
}

#[test]
fn fails_when_a_shard_is_not_asked_again() {
    SHARD.fails(Fault::StaysAskedForRelief, "deadlock");
}

#[test]
fn fails_when_the_end_of_a_stream_is_missed() {
    STREAM.fails(Fault::GoesUnseen, "bytes are counted");
}
