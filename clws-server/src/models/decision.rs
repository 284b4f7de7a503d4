//! Handshakes that another thread decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures::StreamExt;
use futures::future::poll_fn;
use shuttle::future::block_on;
use shuttle::thread;

use crate::config::Config;
use crate::guard::DebugOn;
use crate::handler::mailbox::Mailbox;
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::mailbox;
use crate::models::harness::{AfterTexts, Driver, Harness};
use crate::models::{Fault, Model};
use crate::resource::Accept;
use crate::task_waker::TaskWaker;
use crate::wake::WakeTarget;
use clws_handshake::Reject;

/// A woken task finds the answer. It is woken if the decision came after it checked for an answer.
fn a_waiting_task_is_woken() {
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
    let harness = Harness::serve(driver, Config::default(), sender.openings(), &["0"], AfterTexts::End);
    (harness, events)
}

/// An accepted client is served.
fn an_accepted_client_is_served(driver: Driver) {
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

/// A rejected client gets status 403. On a shard, only a stop would end the test.
fn a_rejected_client_gets_403() {
    let (harness, mut events) = undecided(Driver::Stream);
    match block_on(events.next()) {
        Some(Event::Opening(_, decision)) => decision.reject(Reject::forbidden("not you")),
        event => panic!("{event:?}"),
    }
    assert!(harness.end().starts_with(b"HTTP/1.1 403 "));
}

/// Application data that counts its drops.
struct Data(Arc<AtomicUsize>);

impl Drop for Data {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The server stops while the decision is made. One of the two takes effect, no thread waits
/// forever, and the data of a decision is dropped once.
fn a_stop_during_a_decision(driver: Driver) {
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
    assert_eq!(decides.join().unwrap(), dropped.load(Ordering::Relaxed), "decisions made and data dropped");
}

fn accepted_on_a_shard() {
    an_accepted_client_is_served(Driver::Shard);
}

fn accepted_on_a_stream() {
    an_accepted_client_is_served(Driver::Stream);
}

fn stopped_on_a_shard() {
    a_stop_during_a_decision(Driver::Shard);
}

fn stopped_on_a_stream() {
    a_stop_during_a_decision(Driver::Stream);
}

const WOKEN: Model = Model("a decision and a waiting task", a_waiting_task_is_woken);
const ACCEPTED_SHARD: Model = Model("accepting a client on a shard", accepted_on_a_shard);
const ACCEPTED_STREAM: Model = Model("accepting a client on a stream", accepted_on_a_stream);
const REJECTED_STREAM: Model = Model("rejecting a client on a stream", a_rejected_client_gets_403);
const STOPPED_SHARD: Model = Model("a decision and a stop, on a shard", stopped_on_a_shard);
const STOPPED_STREAM: Model = Model("a decision and a stop, on a stream", stopped_on_a_stream);

#[test]
fn holds() {
    WOKEN.holds(2000);
    for model in [ACCEPTED_SHARD, ACCEPTED_STREAM, REJECTED_STREAM, STOPPED_SHARD, STOPPED_STREAM] {
        model.holds(500);
    }
}

#[test]
fn fails_when_a_decision_does_not_wake_the_handshake() {
    for model in [WOKEN, ACCEPTED_SHARD, ACCEPTED_STREAM, REJECTED_STREAM] {
        model.fails(Fault::DecidesWithoutWake, "deadlock");
    }
}

#[test]
fn fails_when_the_handshake_registers_after_its_check() {
    WOKEN.fails(Fault::WaitsTooLate, "deadlock");
}

#[test]
fn fails_when_a_stream_registers_too_late() {
    for model in [ACCEPTED_STREAM, REJECTED_STREAM] {
        model.fails(Fault::RegistersTooLate, "deadlock");
    }
}
