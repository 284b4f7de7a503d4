//! Draining a server: the plan, what is waited for, and the report.

pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod work;

use std::sync::Arc;
use std::time::Duration;

use crate::drain::options::Drain;
use crate::drain::plan::Plan;
use crate::drain::report::Counts;
use crate::drain::work::Works;
use crate::lock::{Lock, rank};
use crate::signal::{Signal, SignalWait};
use crate::sync::{atomic::AtomicBool, atomic::AtomicUsize, atomic::Ordering};
use crate::time::now;

/// The state of a server's drain, which its drivers, connections and handlers share.
#[derive(Debug, Default)]
pub(crate) struct DrainState {
    is_draining: AtomicBool,
    plan: Lock<Planned, { rank::DRAIN }>,
    /// Clients that are open.
    open: AtomicUsize,
    /// Streams that have taken their turn in the spread.
    turns: AtomicUsize,
    pub(crate) counts: Counts,
    pub(crate) works: Works,
}

#[derive(Debug, Default)]
struct Planned {
    plan: Option<Plan>,
    /// Given when the plan changes or the server stops, and then replaced.
    changed: Arc<Signal>,
}

impl DrainState {
    /// Begins a drain, or shortens the one that has begun.
    pub(crate) fn begin(&self, drain: Drain, close_timeout: Duration) {
        self.counts.start();
        self.is_draining.store(true, Ordering::SeqCst);
        let now = now();
        self.change(|plan| match plan {
            Some(plan) => plan.shorten(drain, close_timeout, now),
            None => *plan = Some(Plan::new(drain, close_timeout, now)),
        });
    }

    /// Records that the clients have left: handshakes are refused at once from now on.
    pub(crate) fn finish(&self) {
        self.change(|plan| {
            if let Some(plan) = plan {
                plan.is_over = true;
            }
        });
    }

    /// Wakes the drivers of streams, because the server stops.
    pub(crate) fn note_stop(&self) {
        self.counts.start();
        self.change(|_| ());
    }

    fn change(&self, change: impl FnOnce(&mut Option<Plan>)) {
        let changed = {
            let mut planned = self.plan.lock();
            change(&mut planned.plan);
            std::mem::take(&mut planned.changed)
        };
        changed.give(); // after the lock is released: wakers are code of the application
    }

    /// Whether a drain has begun.
    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    pub(crate) fn plan(&self) -> Option<Plan> {
        self.plan.lock().plan.clone()
    }

    /// The plan, and a wait for its next change, or for a stop.
    pub(crate) fn watch(&self) -> (Option<Plan>, SignalWait) {
        let planned = self.plan.lock();
        (planned.plan.clone(), planned.changed.wait())
    }

    /// A client has become open.
    pub(crate) fn note_open(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A client is no longer open.
    pub(crate) fn note_left(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// The clients that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The index of the next stream in the spread.
    pub(crate) fn next_turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }
}
