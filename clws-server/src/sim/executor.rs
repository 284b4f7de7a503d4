//! The simulated executor: tasks of one thread that run in an order that the seed decides, and virtual timers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crate::runtime::Timer;
use crate::time::now;

type Task = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Executor {
    /// `None` while it is polled.
    tasks: BTreeMap<u32, Option<Task>>,
    ready: Vec<u32>,
    spawned: u32,
    timers: BTreeMap<(Instant, u64), Waker>,
    timed: u64,
}

thread_local! {
    static EXECUTOR: RefCell<Option<Executor>> = const { RefCell::new(None) };
}

/// From now on this thread has one; or no more, and what is left of its tasks is dropped.
pub(super) fn install(install: bool) {
    let before = EXECUTOR.replace(install.then(Executor::default));
    drop(before); // outside of the borrow: tasks run code of all kinds when they are dropped
}

fn with<R>(work: impl FnOnce(&mut Executor) -> R) -> Option<R> {
    EXECUTOR.try_with(|executor| executor.borrow_mut().as_mut().map(work)).ok().flatten()
}

/// Whether tasks of this thread are simulated.
pub(crate) fn is_here() -> bool {
    with(|_| ()).is_some()
}

pub(crate) fn spawn(task: impl Future<Output = ()> + 'static) {
    start(Box::pin(task));
}

/// Spawns a task; the number that it can be cancelled by.
pub(super) fn start(task: Task) -> u32 {
    with(|executor| {
        executor.spawned += 1;
        executor.tasks.insert(executor.spawned, Some(task));
        executor.ready.push(executor.spawned);
        executor.spawned
    })
    .unwrap_or_default()
}

/// Drops a task where it stands.
pub(super) fn cancel(id: u32) {
    drop(with(|executor| executor.tasks.remove(&id)));
}

/// The number of tasks that want to be polled, and of all.
pub(super) fn count() -> (usize, usize) {
    with(|executor| (executor.ready.len(), executor.tasks.len())).unwrap_or_default()
}

/// Polls the task of that index among those that want to be. A panic in it ends it.
pub(super) fn poll(index: usize) {
    let taken = with(|executor| {
        let id = executor.ready.swap_remove(index);
        Some((id, executor.tasks.get_mut(&id)?.take()?))
    });
    let Some((id, mut task)) = taken.flatten() else { return };
    let waker = Waker::from(Arc::new(Named(id)));
    let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(&waker))));
    let pending = matches!(polled, Ok(Poll::Pending));
    let left = with(|executor| match executor.tasks.get_mut(&id) {
        Some(place) if pending => {
            *place = Some(task);
            None
        }
        _ => {
            executor.tasks.remove(&id);
            Some(task)
        }
    });
    // Code of all kinds runs here too. A panic in it must not end the simulation.
    drop(catch_unwind(AssertUnwindSafe(|| drop(left))));
}

/// When the first timer ends.
pub(super) fn next_timer() -> Option<Instant> {
    with(|executor| executor.timers.keys().next().map(|(at, _)| *at)).flatten()
}

/// Wakes the tasks whose timers have ended.
pub(super) fn fire() {
    while let Some(waker) = with(|executor| {
        let first = executor.timers.first_entry()?;
        (first.key().0 <= now()).then(|| first.remove())
    })
    .flatten()
    {
        waker.wake();
    }
}

/// The waker of a task.
struct Named(u32);

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        with(|executor| {
            if executor.tasks.contains_key(&self.0) && !executor.ready.contains(&self.0) {
                executor.ready.push(self.0);
            }
        });
    }
}

/// A timer that ends at that time, if this thread's are simulated.
pub(crate) fn timer(at: Instant) -> Option<Timer> {
    let id = with(|executor| {
        executor.timed += 1;
        executor.timed
    })?;
    Some(Box::pin(SimTimer { at, id }))
}

struct SimTimer {
    at: Instant,
    id: u64,
}

impl Future for SimTimer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if now() >= self.at {
            return Poll::Ready(());
        }
        with(|executor| executor.timers.insert((self.at, self.id), cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        drop(with(|executor| executor.timers.remove(&(self.at, self.id))));
    }
}
