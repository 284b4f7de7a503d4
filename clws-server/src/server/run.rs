//! Running a server: on the threads of its shards, or on tasks of the runtime.
//!
//! The future of a run depends on no runtime. It waits for threads, and for the clock of this crate.

use std::io;
use std::num::NonZeroUsize;
#[cfg(feature = "capture")]
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
#[cfg(feature = "capture")]
use futures::future::select;
use futures::future::{BoxFuture, try_join_all};

use crate::drain::report::Report;
use crate::driver::shard::Shard;
use crate::driver::state::DriverState;
use crate::driver::tasks::{self, POLL_INTERVAL};
use crate::net::acceptor::Acceptor;
use crate::net::poll::Poller;
use crate::runtime::clock::sleep_until;
#[cfg(feature = "capture")]
use crate::server::handle::ServerHandle;
use crate::time::{deadline_after, now};
use crate::wake::ShardHandle;

/// The time in which every task of an executor is polled, even on a busy machine.
const TASK_LATENCY: Duration = Duration::from_secs(2);

/// The time for writing recordings when the server ends.
#[cfg(feature = "capture")]
const FLUSH_TIME: Duration = Duration::from_secs(10);

const RUNTIME_ENDED: &str = "the runtime of the server has ended, so the server has stopped: end the server first, or choose another runtime with `ServerBuilder::runtime`";

/// Stops the server when it is dropped.
struct StopOnDrop(Arc<DriverState>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Serves until the server has ended, or the future is dropped.
///
/// An async function is compiled in each crate that polls it, with everything that it awaits. The
/// box is created in a function without type parameters, so its content is compiled here, once.
pub(super) fn start(
    state: Arc<DriverState>,
    listeners: Vec<Acceptor>,
) -> BoxFuture<'static, io::Result<Report>> {
    let run = async move {
        let _stop = StopOnDrop(Arc::clone(&state));
        let ended = stop_with_runtime(&state);
        run(Arc::clone(&state), listeners).await?;
        let report = finish(&state).await;
        if ended.load(Ordering::Acquire) { Err(io::Error::other(RUNTIME_ENDED)) } else { Ok(report) }
    };
    run.boxed()
}

/// Stops the server when its runtime ends: its async handlers have ended, and new ones could not
/// run. Returns whether that has happened.
fn stop_with_runtime(state: &Arc<DriverState>) -> Arc<AtomicBool> {
    struct Ended(Arc<AtomicBool>, Arc<DriverState>);
    impl Drop for Ended {
        fn drop(&mut self) {
            if !self.1.is_stopping() {
                self.0.store(true, Ordering::Release);
                self.1.stop();
            }
        }
    }
    let ended = Arc::new(AtomicBool::new(false));
    if state.runtime().check().is_err() {
        return ended;
    }
    // A runtime that ends drops its tasks.
    let drops = Ended(Arc::clone(&ended), Arc::clone(state));
    let stopped = state.stopped();
    let spawned = state.runtime().spawn(async move {
        stopped.await;
        drop(drops);
    });
    debug_assert!(spawned.is_ok(), "the server has a runtime");
    ended
}

/// Serves until the server is stopped or drained.
async fn run(state: Arc<DriverState>, listeners: Vec<Acceptor>) -> io::Result<()> {
    let result = serve(Arc::clone(&state), listeners).await;
    #[cfg(feature = "capture")]
    {
        let flushed = ServerHandle::new(state).flush_captures();
        select(pin!(flushed), sleep_until(now() + FLUSH_TIME)).await;
    }
    result
}

async fn serve(state: Arc<DriverState>, listeners: Vec<Acceptor>) -> io::Result<()> {
    state.shortage.prepare();
    if state.config().task_per_client {
        return run_tasks(state, listeners).await;
    }
    let count = state.config().shards.map_or_else(processors, NonZeroUsize::get);
    match (0..count).map(|_| Poller::new()).collect::<io::Result<Vec<_>>>() {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => run_tasks(state, listeners).await,
        pollers => run_shards(state, listeners, pollers?).await,
    }
}

/// Waits for the handlers of a server that drains, and reports.
async fn finish(state: &DriverState) -> Report {
    let mut report = state.drain().counts.report();
    let (mut unfinished, mut waiting) = (0, 0);
    while let Some(plan) = state.drain().plan() {
        (unfinished, waiting) = state.drain().works.unfinished();
        // Handlers count what they discard, also while they finish.
        report = state.drain().counts.report();
        if unfinished == 0 || state.is_stopping() || plan.until <= now() {
            break;
        }
        sleep_until((now() + POLL_INTERVAL).min(plan.until)).await;
    }
    report.undelivered += waiting;
    report.unfinished = unfinished;
    if state.drain().is_draining() {
        // The driver of a stream may not have been polled since the deadline.
        report.cut += state.drain().open() as u64;
    }
    report
}

async fn run_shards(
    state: Arc<DriverState>,
    listeners: Vec<Acceptor>,
    pollers: Vec<Poller>,
) -> io::Result<()> {
    let shards: Vec<_> = pollers.iter().map(|poller| Arc::new(ShardHandle::new(poller.waker()))).collect();
    state.set_shards(shards.clone());
    let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
    let mut ended = Vec::new();
    for (index, (poller, shard_handle)) in pollers.into_iter().zip(shards).enumerate() {
        let shard = Shard::new(Arc::clone(&state), shard_handle, poller, &listeners)?;
        ended.push(shard.spawn(format!("clws-shard-{index}"))?);
    }
    drop(listeners); // the last shard that drops them closes them
    // An earlier drain or stop found no shards.
    if state.drain().is_draining() {
        state.drain_shards();
    }
    if state.is_stopping() {
        state.stop_shards();
    }
    try_join_all(ended).await.map(drop)
}

/// Serves each client with a separate task.
async fn run_tasks(state: Arc<DriverState>, listeners: Vec<Acceptor>) -> io::Result<()> {
    if !listeners.is_empty() {
        tasks::spawn(listeners, Arc::clone(&state))?.await?;
    }
    // Without listeners, nothing else waits for the end.
    tasks::drained_or_stopped(&state).await;
    state.drain().finish();
    // The tasks see the stop themselves. Each has twice `close_timeout` for its closing handshake,
    // and once more to close its stream. A drain has its own deadline.
    let stop_time = state.config().close_timeout.saturating_mul(3).saturating_add(TASK_LATENCY);
    let mut stopped = None;
    while state.clients() > 0 {
        let drained = state.drain().plan().filter(|_| !state.is_stopping());
        let stopped = || *stopped.get_or_insert_with(|| deadline_after(now(), stop_time));
        let deadline = drained.map_or_else(stopped, |plan| deadline_after(plan.until, TASK_LATENCY));
        if deadline <= now() {
            break;
        }
        sleep_until(now() + POLL_INTERVAL).await;
    }
    Ok(())
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
