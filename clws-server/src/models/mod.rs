//! Interleavings of threads: the real code, run with the locks and atomics of the crate `shuttle`, which decides which
//! thread goes on.
//!
//! A model is a function that starts some threads, waits for what must happen, and asserts what must hold then. Time stands
//! still in it, so no deadline helps: a wake-up that is lost is a deadlock, which `shuttle` reports. Each model is run
//! with many schedules, random ones and those of few preemptions ([PCT]). The seed is fixed, so that a failure can be
//! repeated. Each model must also fail with each of its faults: lines that are wrong on purpose ([`broken`]).
//!
//! `shuttle` runs all threads in one order that all of them see. It cannot find a memory order that is too weak. The code
//! rests on few of them: what is waited for is changed under a lock, or in one atomic, or before its home is touched. A touch
//! goes through the lock of a shard's commands, or through an `AtomicWaker`; either orders what was before it.
//!
//! `CLWS_SCHEDULES=n` runs so many schedules in place of the usual number.
//!
//! [PCT]: https://www.microsoft.com/en-us/research/publication/a-randomized-scheduler-with-probabilistic-guarantees-of-finding-bugs/
//! [`broken`]: crate::sync::broken

mod admission;
mod budget;
mod close;
mod decision;
mod flush;
mod group;
mod harness;
mod mailbox_end;
mod outbox;
mod pause;
mod relief;
mod signal;
mod wake_up;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};

use crate::time::virtual_clock;

/// What is wrong on purpose in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A command is put into a shard's queue after it was looked at whether the shard sleeps.
    WakesBeforeCommand,
    /// A shard looks at its queue before it says that it sleeps.
    LooksBeforeFlag,
    /// A shard that ends leaves its queue open.
    EndsWithoutClosing,
    /// The driver of a stream looks at what there is to do before its waker is registered.
    RegistersTooLate,
    /// A client that is resumed is not touched.
    ResumesWithoutWake,
    /// A mailbox or a `WebSocket` pauses a client when its reader may have resumed it already.
    PausesTooLate,
    /// A reader is woken before its message is there.
    WakesBeforeMessage,
    /// A client that the application closes is touched before its events are to be discarded.
    WakesBeforeSilence,
    /// A sender looks at the outbox, and lets go of it before it queues its message.
    StaleOutbox,
    /// A client's events are told to wait when its outbox may be flushed already.
    CrowdedTooLate,
    /// A decision is made, and the handshake is not touched.
    DecidesWithoutWake,
    /// A handshake looks for an answer, and lets go of the decision before it waits for one.
    WaitsTooLate,
    /// A signal is not looked at again when the waker is there.
    LooksOnceOnly,
    /// A mailbox that is closed does not wake its receiver.
    ClosesWithoutWake,
    /// An adaptor that was handed a client, which was refused then, is not told of its end.
    RefusesInSilence,
    /// Credit that is given back stays with its thread.
    CreditIsCopied,
    /// A thread that ends keeps its credit.
    CreditIsKept,
    /// Credit is taken by a look at what is used, and a change after it.
    CountsInTwoSteps,
    /// A shard that was asked to drop clients is not asked again.
    StaysAskedForRelief,
    /// The end of a stream is not seen by a thread that drops it for memory.
    GoesUnseen,
    /// A client that joins a group does not look whether it is gone.
    JoinsWithoutLook,
    /// A task that waits for all to be written does not look again when the client's driver knows of it.
    WatchesTooLate,
    /// What was queued is dropped, and the task that waits for it is not told.
    AbandonsInSilence,
}

/// Preemptions of a schedule that has few of them, and one more.
const DEPTH: usize = 3;

const SEED: u64 = 0x6c77_7363;

/// A fault must show in so many rounds, each of so many schedules of either kind.
const ROUNDS: usize = 100;
const ROUND: usize = 50;

thread_local! {
    static BROKEN: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Whether that fault is to be made now.
pub(crate) fn is_broken(fault: Fault) -> bool {
    BROKEN.get() == Some(fault)
}

/// A model, and what it is of.
#[derive(Clone, Copy)]
struct Model(&'static str, fn());

impl Model {
    /// Runs it with so many schedules of either kind.
    fn holds(self, schedules: usize) {
        let Self(name, model) = self;
        let schedules = std::env::var("CLWS_SCHEDULES").map_or(schedules, |text| text.parse().unwrap());
        let started = Instant::now();
        for scheduler in schedulers(SEED, schedules) {
            if let Err((at, message)) = run(scheduler, None, model) {
                panic!("{name}: schedule {at} fails: {message}");
            }
        }
        println!("model: {name}: {schedules} + {schedules} schedules hold, {:.1?}", started.elapsed());
    }

    /// Runs it with a fault until it fails, which it must do with that message.
    fn fails(self, fault: Fault, expected: &str) {
        let Self(name, model) = self;
        for (round, seed) in (0..ROUNDS).zip(SEED..) {
            for (kind, scheduler) in ["PCT", "random"].into_iter().zip(schedulers(seed, ROUND)) {
                let Err((at, message)) = run(scheduler, Some(fault), model) else { continue };
                assert!(message.contains(expected), "{name}, {fault:?}: {message}");
                println!("model: {name}: {fault:?} fails at {kind} schedule {}", round * ROUND + at);
                return;
            }
        }
        panic!("{name}: {fault:?} is not noticed");
    }
}

/// Schedules of few preemptions, and random ones.
fn schedulers(seed: u64, schedules: usize) -> [Box<dyn Scheduler + Send>; 2] {
    [
        Box::new(PctScheduler::new_from_seed(seed, DEPTH, schedules)),
        Box::new(RandomScheduler::new_from_seed(seed, schedules)),
    ]
}

/// Runs a model until a schedule fails: which one, and how.
fn run(
    scheduler: Box<dyn Scheduler + Send>,
    fault: Option<Fault>,
    model: fn(),
) -> Result<(), (usize, String)> {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.failure_persistence =
        if fault.is_some() { FailurePersistence::None } else { FailurePersistence::Print };
    config.silence_warnings = true;
    let at = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&at);
    virtual_clock::set(Some(Instant::now()));
    BROKEN.set(fault);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        Runner::new(scheduler, config).run(move || {
            count.fetch_add(1, Ordering::Relaxed);
            model();
        })
    }));
    BROKEN.set(None);
    virtual_clock::set(None);
    let message = |panic: Box<dyn std::any::Any + Send>| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("no message").to_owned(),
    };
    ran.map(drop).map_err(|panic| (at.load(Ordering::Relaxed), message(panic)))
}
