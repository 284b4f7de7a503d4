//! Something that happens once, and tasks that wait for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::poll_fn;
use shuttle::future::block_on;
use shuttle::thread;

use crate::models::{Fault, Model};
use crate::signal::{GivesOnDrop, Signal};

/// Two tasks wait, one of which has stopped to wait once before.
fn everybody_hears_of_it() {
    let signal = Arc::new(Signal::default());
    let waits = {
        let signal = Arc::clone(&signal);
        thread::spawn(move || block_on(signal.wait()))
    };
    let comes_again = {
        let signal = Arc::clone(&signal);
        thread::spawn(move || {
            let mut first = signal.wait();
            let looks = poll_fn(|cx: &mut Context<'_>| Poll::Ready(Pin::new(&mut first).poll(cx)));
            let _ = block_on(looks);
            drop(first);
            block_on(signal.wait());
        })
    };
    drop(GivesOnDrop(Arc::clone(&signal)));
    waits.join().unwrap();
    comes_again.join().unwrap();
    assert!(signal.is_given());
}

const MODEL: Model = Model("tasks that wait for a signal", everybody_hears_of_it);

#[test]
fn holds() {
    MODEL.holds(5000);
}

#[test]
fn fails_when_a_task_looks_once_only() {
    MODEL.fails(Fault::LooksOnceOnly, "deadlock");
}
