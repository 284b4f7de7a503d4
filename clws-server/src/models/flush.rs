//! Tasks that wait until all their messages are written, or the connection is over.

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
use crate::models::harness::{AfterTexts, Driver, Harness};
use crate::models::{Fault, Model};
use crate::signal::{GivesOnDrop, Signal};

type Outcome = Result<(), SendError>;

/// A handler takes no message, sends two and waits until they are written. Then it closes and waits
/// for that. Another thread runs `other` meanwhile. Returns both outcomes, the bytes queued after
/// the first, and the output.
fn run(
    driver: Driver,
    texts: &[&str],
    after: AfterTexts,
    other: fn(&Client),
) -> (Outcome, usize, Outcome, Vec<u8>) {
    let (seen, done) = (Arc::new(Mutex::new(None)), Arc::new(Signal::default()));
    let handler = {
        let (seen, done) = (Arc::clone(&seen), Arc::clone(&done));
        async_handler(move |mut socket: WebSocket| {
            let (seen, done) = (Arc::clone(&seen), GivesOnDrop(Arc::clone(&done)));
            async move {
                let client = socket.client().clone();
                let thread = thread::spawn(move || other(&client));
                let mut sent = Ok(());
                for text in ["one", "two"] {
                    sent = sent.and(socket.feed(Message::from(text)).await); // fails if the client has disconnected
                }
                let flushed = socket.flush().await.and(sent);
                let queued = socket.client().buffered_amount();
                thread.join().unwrap();
                if after == AfterTexts::Stay {
                    socket.client().abort(); // the peer would not answer a close frame
                }
                let closed = SinkExt::close(&mut socket).await;
                *seen.lock().unwrap() = Some((flushed, queued, closed));
                drop((socket, done));
            }
        })
    };
    let harness = Harness::serve(driver, Config::default(), handler, texts, after);
    block_on(done.wait());
    let (flushed, queued, closed) = seen.lock().unwrap().take().unwrap();
    let shared = Arc::clone(&harness.shared);
    let output = harness.end();
    assert_eq!(shared.context.shared.watchers.len(), 0, "a watcher was leaked");
    (flushed, queued, closed, output)
}

/// The client reads, and ends its side without a close frame after its text.
fn flushed(driver: Driver) {
    let (flushed, queued, closed, output) = run(driver, &["text"], AfterTexts::End, |_| ());
    if flushed.is_ok() {
        assert_eq!(queued, 0, "bytes are queued after the flush");
        assert!(output.windows(3).any(|bytes| bytes == b"two"), "a flushed message is lost");
    }
    assert_eq!(closed, Err(SendError::Closed), "the peer sent no close frame");
}

/// The client reads and stays. Only the write ends the wait.
fn written(driver: Driver) {
    let (flushed, queued, closed, output) = run(driver, &[], AfterTexts::Stay, |_| ());
    assert_eq!((flushed, queued, closed), (Ok(()), 0, Err(SendError::Closed)));
    assert!(output.windows(3).any(|bytes| bytes == b"two"), "a flushed message is lost");
}

/// Another thread aborts the client, which reads nothing.
fn aborted(driver: Driver) {
    let (flushed, queued, closed, _) = run(driver, &[], AfterTexts::Stay, Client::abort);
    assert!(
        flushed.is_err() || !matches!(driver, Driver::FullStream),
        "the flush of a full stream succeeded"
    );
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

const SHARD: Model = Model("a flush on a shard", flushed_by_a_shard);
const STREAM: Model = Model("a flush on a stream", flushed_by_a_stream);
const WRITTEN_SHARD: Model = Model("a flush of a client that stays, on a shard", written_by_a_shard);
const WRITTEN_STREAM: Model = Model("a flush of a client that stays, on a stream", written_by_a_stream);
const ABORTED_SHARD: Model = Model("a flush and an abort on a shard", aborted_on_a_shard);
const ABORTED_STREAM: Model = Model("a flush and an abort on a full stream", aborted_on_a_full_stream);

#[test]
fn holds() {
    for model in [SHARD, STREAM, WRITTEN_SHARD, WRITTEN_STREAM, ABORTED_SHARD, ABORTED_STREAM] {
        model.holds(500);
    }
}

#[test]
fn fails_when_the_outbox_is_not_checked_again() {
    for model in [WRITTEN_SHARD, WRITTEN_STREAM] {
        model.fails(Fault::WatchesTooLate, "deadlock");
    }
}

#[test]
fn fails_when_dropped_messages_wake_no_task() {
    ABORTED_STREAM.fails(Fault::AbandonsInSilence, "deadlock");
}
