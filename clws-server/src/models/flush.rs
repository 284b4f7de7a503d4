//! Tasks that wait until all that they sent is written, or the connection is over.

use std::sync::{Arc, Mutex};

use futures::SinkExt;
use shuttle::future::block_on;
use shuttle::thread;

use crate::client::Client;
use crate::client::outcome::SendError;
use crate::config::Config;
use crate::handler::async_handler::async_handler;
use crate::handler::websocket::WebSocket;
use crate::handler::websocket::message::Message;
use crate::models::harness::{Driver, Harness, Then};
use crate::models::{Fault, Model};
use crate::signal::{GivesOnDrop, Signal};

type Outcome = Result<(), SendError>;

/// A handler takes no message, sends two, and waits for them to be written; then it closes, and waits for that. Another thread
/// runs `beside` meanwhile. Returns both outcomes, what was queued after the first, and all that was written.
fn run(
    driver: Driver,
    texts: &[&str],
    then: Then,
    beside: fn(&Client),
) -> (Outcome, usize, Outcome, Vec<u8>) {
    let (seen, done) = (Arc::new(Mutex::new(None)), Arc::new(Signal::default()));
    let handler = {
        let (seen, done) = (Arc::clone(&seen), Arc::clone(&done));
        async_handler(move |mut socket: WebSocket| {
            let (seen, done) = (Arc::clone(&seen), GivesOnDrop(Arc::clone(&done)));
            async move {
                let client = socket.client().clone();
                let other = thread::spawn(move || beside(&client));
                let mut sent = Ok(());
                for text in ["one", "two"] {
                    sent = sent.and(socket.feed(Message::from(text)).await); // or it is gone already
                }
                let flushed = socket.flush().await.and(sent);
                let queued = socket.client().buffered_amount();
                other.join().unwrap();
                if then == Then::Stays {
                    socket.client().abort(); // it would not answer a close frame
                }
                let closed = SinkExt::close(&mut socket).await;
                *seen.lock().unwrap() = Some((flushed, queued, closed));
                drop((socket, done));
            }
        })
    };
    let harness = Harness::serve(driver, Config::default(), handler, texts, then);
    block_on(done.wait());
    let (flushed, queued, closed) = seen.lock().unwrap().take().unwrap();
    let shared = Arc::clone(&harness.shared);
    let output = harness.end();
    assert_eq!(shared.context.watchers.len(), 0, "a watcher is left");
    (flushed, queued, closed, output)
}

/// The client reads, and ends its side without a close frame when its text has come, or later.
fn flushed(driver: Driver) {
    let (flushed, queued, closed, output) = run(driver, &["text"], Then::CloseOnDrop, |_| ());
    if flushed.is_ok() {
        assert_eq!(queued, 0, "bytes that are queued when all is written");
        assert!(output.windows(3).any(|bytes| bytes == b"two"), "a message that was written is lost");
    }
    assert_eq!(closed, Err(SendError::Closed), "there was no closing handshake");
}

/// The client reads, and stays. Nothing but the writing ends the wait.
fn written(driver: Driver) {
    let (flushed, queued, closed, output) = run(driver, &[], Then::Stays, |_| ());
    assert_eq!((flushed, queued, closed), (Ok(()), 0, Err(SendError::Closed)));
    assert!(output.windows(3).any(|bytes| bytes == b"two"), "a message that was written is lost");
}

/// Another thread aborts the client, which takes nothing.
fn aborted(driver: Driver) {
    let (flushed, queued, closed, _) = run(driver, &[], Then::Stays, Client::abort);
    assert!(flushed.is_err() || !matches!(driver, Driver::FullStream), "nothing was written");
    assert_eq!((queued, closed), (0, Err(SendError::Closed)));
}

fn flushed_by_a_shard() {
    flushed(Driver::Shard);
}

fn flushed_by_a_stream() {
    flushed(Driver::Stream);
}

fn written_by_a_shard() {
    written(Driver::Shard);
}

fn written_by_a_stream() {
    written(Driver::Stream);
}

fn aborted_on_a_shard() {
    aborted(Driver::Shard);
}

fn aborted_on_a_full_stream() {
    aborted(Driver::FullStream);
}

const SHARD: Model = Model("a flush, with a shard", flushed_by_a_shard);
const STREAM: Model = Model("a flush, with a stream", flushed_by_a_stream);
const WRITTEN_SHARD: Model = Model("a flush of a client that stays, with a shard", written_by_a_shard);
const WRITTEN_STREAM: Model = Model("a flush of a client that stays, with a stream", written_by_a_stream);
const ABORTED_SHARD: Model = Model("a flush and an abort, with a shard", aborted_on_a_shard);
const ABORTED_STREAM: Model = Model("a flush and an abort, with a full stream", aborted_on_a_full_stream);

#[test]
fn holds() {
    for model in [SHARD, STREAM, WRITTEN_SHARD, WRITTEN_STREAM, ABORTED_SHARD, ABORTED_STREAM] {
        model.holds(500);
    }
}

#[test]
fn fails_when_it_is_not_looked_again() {
    for model in [WRITTEN_SHARD, WRITTEN_STREAM] {
        model.fails(Fault::WatchesTooLate, "deadlock");
    }
}

#[test]
fn fails_when_what_is_dropped_is_not_told() {
    ABORTED_STREAM.fails(Fault::AbandonsInSilence, "deadlock");
}
