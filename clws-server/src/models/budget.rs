//! The credit that threads take from the budget for the memory of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::thread;

use crate::budget::Budget;
use crate::models::{Fault, Model};

/// The least credit that a thread takes at once.
const STEP: usize = 64 * 1024;

/// What is held, as the threads of a model know it.
struct Ledger {
    budget: Arc<Budget>,
    held: AtomicUsize,
}

impl Ledger {
    fn charge(&self, bytes: usize) {
        self.budget.charge_bytes(bytes);
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.release_bytes(bytes);
    }

    /// What is used, and what is held at the same moment.
    fn now(&self) -> (usize, usize) {
        (self.budget.used(), self.held.load(Ordering::Relaxed))
    }
}

/// Two threads charge and release, what they charged themselves and what others did. What is held is always counted. No
/// more than that is counted when the threads have ended, or given their credit back.
fn what_is_held_is_counted() {
    let budget = Budget::for_threads(0, 1);
    let ledger = Arc::new(Ledger { budget, held: AtomicUsize::new(0) });
    ledger.charge(2 * STEP);
    let threads = [STEP / 2, 2 * STEP].map(|bytes| {
        let ledger = Arc::clone(&ledger);
        thread::spawn(move || {
            ledger.charge(bytes);
            ledger.release(STEP); // the other thread's
            ledger.budget.give_back();
            ledger.charge(bytes);
            ledger.release(bytes);
        })
    });
    for _ in 0..3 {
        let (used, held) = ledger.now();
        assert!(used >= held, "{held} bytes are held, {used} are counted");
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    ledger.budget.give_back();
    let (used, held) = ledger.now();
    assert_eq!(used, held, "bytes that are counted, and that are held");
}

const MODEL: Model = Model("threads with credit", what_is_held_is_counted);

#[test]
fn holds() {
    MODEL.holds(5000);
}

#[test]
fn fails_when_credit_is_given_back_twice() {
    MODEL.fails(Fault::CreditIsCopied, "are counted");
}

#[test]
fn fails_when_a_thread_keeps_its_credit() {
    MODEL.fails(Fault::CreditIsKept, "bytes that are counted, and that are held");
}

#[test]
fn fails_when_credit_is_taken_in_two_steps() {
    MODEL.fails(Fault::CountsInTwoSteps, "are counted");
}
