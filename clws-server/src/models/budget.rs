//! The credit that threads take from the memory budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::thread;

use crate::budget::Budget;
use crate::models::{Fault, Model};

/// The smallest amount of credit that a thread takes.
const STEP: usize = 64 * 1024;

/// A budget, and the bytes that are actually held.
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

    /// The used bytes and the held bytes.
    fn now(&self) -> (usize, usize) {
        (self.budget.used(), self.held.load(Ordering::Relaxed))
    }
}

/// Two threads charge and release bytes, including bytes that the other thread charged. Held bytes
/// are always counted. After the threads have ended or returned their credit, no more than these is
/// counted.
fn held_bytes_are_counted() {
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
        assert!(used >= held, "{held} bytes are held, but {used} are counted");
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    ledger.budget.give_back();
    let (used, held) = ledger.now();
    assert_eq!(used, held, "other bytes are counted than are held");
}

const MODEL: Model = Model("threads with credit from one budget", held_bytes_are_counted);

#[test]
fn holds() {
    MODEL.holds(5000);
}

#[test]
fn fails_when_credit_is_returned_twice() {
    MODEL.fails(Fault::CreditIsCopied, "are counted");
}

#[test]
fn fails_when_an_ended_thread_keeps_its_credit() {
    MODEL.fails(Fault::CreditIsKept, "other bytes are counted than are held");
}

#[test]
fn fails_when_credit_is_taken_in_two_steps() {
    MODEL.fails(Fault::CountsInTwoSteps, "are counted");
}
