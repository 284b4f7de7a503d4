//! Handshakes that another thread decides on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures::StreamExt;
use futures::future::poll_fn;
use shuttle::future::block_on;
use shuttle::thread;

use crate::Reject;
use crate::config::Config;
use crate::guard::DebugOn;
use crate::handler::mailbox::Mailbox;
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::mailbox;
use crate::models::harness::{Driver, Harness, Then};
use crate::models::{Fault, Model};
use crate::resource::accept::Accept;
use crate::task_waker::TaskWaker;
use crate::wake::WakeTarget;

/// A task that is touched finds the answer, and is touched if it has not looked for one before it waited.
fn a_task_is_touched() {
    let (mut accept, decision) = Accept::later();
    let pending = accept.pending.take().unwrap();
    let decides = thread::spawn(move || decision.accept(Accept::new()));
    let (waker, mut waits) = (Arc::new(TaskWaker::default()), false);
    let answer = block_on(poll_fn(|cx| {
        waker.register(cx.waker());
        if !std::mem::replace(&mut waits, true) {
            pending.wake(WakeTarget::Stream(Arc::clone(&waker)), DebugOn::default());
            return Poll::Pending;
        }
        Poll::Ready(pending.take())
    }));
    assert!(answer.unwrap().is_ok());
    decides.join().unwrap();
}

fn undecided(driver: Driver) -> (Harness, Mailbox<()>) {
    let (sender, events) = mailbox::<()>();
    let harness = Harness::serve(driver, Config::default(), sender.openings(), &["0"], Then::CloseOnDrop);
    (harness, events)
}

/// A client that is taken is served.
fn a_client_is_taken(driver: Driver) {
    let (harness, mut events) = undecided(driver);
    let (mut connected, mut texts) = (0, 0);
    block_on(async {
        loop {
            match events.next().await.unwrap() {
                Event::Opening(_, decision) => decision.accept(Accept::new()),
                Event::Connected(_) => connected += 1,
                Event::Text(..) => texts += 1,
                Event::Disconnected(..) => break,
                event => panic!("{event:?}"),
            }
        }
    });
    assert_eq!((connected, texts), (1, 1));
    assert!(harness.end().starts_with(b"HTTP/1.1 101 "));
}

/// A client that is refused is told so. On a shard, only a stop would say when.
fn a_client_is_refused() {
    let (harness, mut events) = undecided(Driver::Stream);
    match block_on(events.next()) {
        Some(Event::Opening(_, decision)) => decision.reject(Reject::forbidden("not you")),
        event => panic!("{event:?}"),
    }
    assert!(harness.end().starts_with(b"HTTP/1.1 403 "));
}

/// Data of the application, of which nothing is left.
struct Data(Arc<AtomicUsize>);

impl Drop for Data {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The server stops while the decision is made: one of them counts, nobody waits for ever, and the data of a decision is
/// dropped once.
fn the_server_stops(driver: Driver) {
    let (harness, mut events) = undecided(driver);
    let stops = {
        let handle = harness.handle();
        thread::spawn(move || handle.stop())
    };
    let dropped = Arc::new(AtomicUsize::new(0));
    let decides = {
        let dropped = Arc::clone(&dropped);
        thread::spawn(move || {
            let mut decided = 0;
            block_on(async {
                while let Some(event) = events.next().await {
                    if let Event::Opening(_, decision) = event {
                        decided += 1;
                        decision.accept(Accept::new().data(Data(Arc::clone(&dropped))));
                    }
                }
            });
            decided
        })
    };
    stops.join().unwrap();
    let output = harness.end();
    let status = output.get(9..12).unwrap_or(b"none");
    assert!([&b"101"[..], b"503", b"none"].contains(&status), "{}", status.escape_ascii());
    assert_eq!(
        decides.join().unwrap(),
        dropped.load(Ordering::Relaxed),
        "decisions, and data that was dropped"
    );
}

fn taken_on_a_shard() {
    a_client_is_taken(Driver::Shard);
}

fn taken_on_a_stream() {
    a_client_is_taken(Driver::Stream);
}

fn stopped_on_a_shard() {
    the_server_stops(Driver::Shard);
}

fn stopped_on_a_stream() {
    the_server_stops(Driver::Stream);
}

const TOUCHED: Model = Model("a decision and a task that waits", a_task_is_touched);
const TAKEN_SHARD: Model = Model("a decision that takes, on a shard", taken_on_a_shard);
const TAKEN_STREAM: Model = Model("a decision that takes, on a stream", taken_on_a_stream);
const REFUSED_STREAM: Model = Model("a decision that refuses, on a stream", a_client_is_refused);
const STOPPED_SHARD: Model = Model("a decision and a stop, on a shard", stopped_on_a_shard);
const STOPPED_STREAM: Model = Model("a decision and a stop, on a stream", stopped_on_a_stream);

#[test]
fn holds() {
    TOUCHED.holds(2000);
    for model in [TAKEN_SHARD, TAKEN_STREAM, REFUSED_STREAM, STOPPED_SHARD, STOPPED_STREAM] {
        model.holds(500);
    }
}

#[test]
fn fails_when_the_handshake_is_not_touched() {
    for model in [TOUCHED, TAKEN_SHARD, TAKEN_STREAM, REFUSED_STREAM] {
        model.fails(Fault::DecidesWithoutWake, "deadlock");
    }
}

#[test]
fn fails_when_the_handshake_waits_too_late() {
    TOUCHED.fails(Fault::WaitsTooLate, "deadlock");
}

#[test]
fn fails_when_a_stream_registers_too_late() {
    for model in [TAKEN_STREAM, REFUSED_STREAM] {
        model.fails(Fault::RegistersTooLate, "deadlock");
    }
}
