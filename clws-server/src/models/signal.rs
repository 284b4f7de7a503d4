//! A signal that is given once, and the tasks that wait for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::poll_fn;
use shuttle::future::block_on;
use shuttle::thread;

use crate::models::{Fault, Model};
use crate::signal::{GivesOnDrop, Signal};

/// Two tasks wait for a signal. One of them has dropped an earlier wait.
fn every_waiting_task_is_woken() {
    let signal = Arc::new(Signal::default());
    let waits = {
        let signal = Arc::clone(&signal);
        thread::spawn(move || block_on(signal.wait()))
    };
    let waits_again = {
        let signal = Arc::clone(&signal);
        thread::spawn(move || {
            let mut first = signal.wait();
            let polls_once = poll_fn(|cx: &mut Context<'_>| Poll::Ready(Pin::new(&mut first).poll(cx)));
            let _ = block_on(polls_once);
            drop(first);
            block_on(signal.wait());
        })
    };
    drop(GivesOnDrop(Arc::clone(&signal)));
    waits.join().unwrap();
    waits_again.join().unwrap();
    assert!(signal.is_given());
}

const MODEL: Model = Model("tasks that wait for a signal", every_waiting_task_is_woken);

#[test]
fn holds() {
    MODEL.holds(5000);
}

#[test]
fn fails_when_a_task_checks_only_once() {
    MODEL.fails(Fault::LooksOnceOnly, "deadlock");
}
