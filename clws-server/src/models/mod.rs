//! Models of thread interleavings: the real code, with the locks and atomics of the crate
//! `shuttle`, which schedules the threads.
//!
//! A model is a function that starts threads, waits for the expected events, and asserts the
//! result. Time stands still in it, so no deadline helps: a lost wake-up is a deadlock, which
//! `shuttle` reports. Each model runs with many schedules: random ones, and ones with few
//! preemptions ([PCT]). The seed is fixed, so that a failure can be repeated. Each model must also
//! fail with each of its faults: lines that are wrong on purpose ([`broken`]).
//!
//! `shuttle` runs all threads in one order that all of them see, so it cannot find a memory
//! ordering that is too weak. The code depends on few of them: the awaited state changes under a
//! lock, or in one atomic, or before the wake-up. A wake-up takes the lock of a shard's commands or
//! uses an `AtomicWaker`. Both order everything before the wake-up.
//!
//! `CLWS_SCHEDULES=n` runs n schedules instead of the usual number.
//!
//! [PCT]:
//! https://www.microsoft.com/en-us/research/publication/a-randomized-scheduler-with-probabilistic-guarantees-of-finding-bugs/
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
mod slow;
mod wake_up;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};

use crate::runtime::handle::RuntimeHandle;
use crate::runtime::traits::{BoxFuture, Runtime};
use crate::time::virtual_clock;

/// A line that is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A sender checks whether the shard sleeps before it queues its command.
    WakesBeforeCommand,
    /// A shard checks its queue before it sets its sleep flag.
    LooksBeforeFlag,
    /// A shard that ends does not close its queue.
    EndsWithoutClosing,
    /// A stream driver checks for work before it registers its waker.
    RegistersTooLate,
    /// A resumed client is not woken.
    ResumesWithoutWake,
    /// A mailbox or a `WebSocket` pauses a client after its reader may have resumed it.
    PausesTooLate,
    /// A reader is woken before its message is queued.
    WakesBeforeMessage,
    /// A client that the application closes is woken before its events are marked to be discarded.
    WakesBeforeSilence,
    /// A sender checks the outbox and releases its lock before it queues the message.
    StaleOutbox,
    /// A client's events are held back after its outbox may have been flushed.
    CrowdedTooLate,
    /// A decision does not wake the handshake.
    DecidesWithoutWake,
    /// A handshake checks for an answer and releases the lock before it registers for the wake-up.
    WaitsTooLate,
    /// A task does not check the signal again after it registered its waker.
    LooksOnceOnly,
    /// Closing a mailbox does not wake its receiver.
    ClosesWithoutWake,
    /// An adapter that holds a client does not learn that the client was refused.
    RefusesInSilence,
    /// Returned credit also stays with its thread.
    CreditIsCopied,
    /// A thread that ends does not return its credit.
    CreditIsKept,
    /// Taking credit reads the used bytes and then adds to them, in two steps.
    CountsInTwoSteps,
    /// A shard that was asked to drop clients is never asked again.
    StaysAskedForRelief,
    /// A thread that drops a stream for memory misses the end of the stream.
    GoesUnseen,
    /// A join does not check whether the client is disconnected.
    JoinsWithoutLook,
    /// A task that waits for a flush does not check the outbox again after it registered with the
    /// driver.
    WatchesTooLate,
    /// Queued messages are dropped without waking the task that waits for a flush.
    AbandonsInSilence,
}

/// The runtime of a server in a model.
pub(crate) fn runtime() -> RuntimeHandle {
    RuntimeHandle::new(Some(Arc::new(ModelRuntime)))
}

#[derive(Debug)]
struct ModelRuntime;

impl Runtime for ModelRuntime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(shuttle::future::spawn(task));
    }

    /// Time stands still.
    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// The PCT depth: the number of preemptions plus one.
const DEPTH: usize = 3;

const SEED: u64 = 0x6c77_7363;

/// A fault must show within this many rounds of `ROUND` schedules of each kind.
const ROUNDS: usize = 100;
const ROUND: usize = 50;

thread_local! {
    static BROKEN: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Whether `fault` is active.
pub(crate) fn is_broken(fault: Fault) -> bool {
    BROKEN.get() == Some(fault)
}

/// A model with its name.
#[derive(Clone, Copy)]
struct Model(&'static str, fn());

impl Model {
    /// Runs the model with `schedules` schedules of each kind.
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

    /// Runs the model with a fault until it fails, and checks the failure's message.
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
        panic!("{name}: {fault:?} was not found");
    }
}

/// A scheduler with few preemptions, and a random one.
fn schedulers(seed: u64, schedules: usize) -> [Box<dyn Scheduler + Send>; 2] {
    [
        Box::new(PctScheduler::new_from_seed(seed, DEPTH, schedules)),
        Box::new(RandomScheduler::new_from_seed(seed, schedules)),
    ]
}

/// Runs a model until a schedule fails. Returns the number of that schedule and its message.
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
