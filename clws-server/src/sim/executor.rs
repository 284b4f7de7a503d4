//! The simulated executor: tasks of one thread in an order that the seed decides, and virtual
//! timers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crate::runtime::handle::RuntimeHandle;
use crate::runtime::traits::{BoxFuture, Runtime};
use crate::time::now;

type Task = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Executor {
    /// `None` while the task is polled.
    tasks: BTreeMap<u32, Option<Task>>,
    ready: Vec<u32>,
    spawned: u32,
    timers: BTreeMap<(Instant, u64), Waker>,
    timers_created: u64,
}

thread_local! {
    static EXECUTOR: RefCell<Option<Executor>> = const { RefCell::new(None) };
}

/// Installs a new executor on this thread, or removes it. The tasks of the previous executor are
/// dropped.
pub(super) fn install(install: bool) {
    let before = EXECUTOR.replace(install.then(Executor::default));
    drop(before); // outside the borrow: dropping a task runs application code
}

fn with<R>(work: impl FnOnce(&mut Executor) -> R) -> Option<R> {
    EXECUTOR.try_with(|executor| executor.borrow_mut().as_mut().map(work)).ok().flatten()
}

/// Whether this thread has a simulated executor.
pub(crate) fn is_here() -> bool {
    with(|_| ()).is_some()
}

/// The runtime of a server on this thread, if the thread has a simulated executor.
pub(crate) fn runtime() -> Option<RuntimeHandle> {
    with(|_| RuntimeHandle::new(Some(Arc::new(SimRuntime))))
}

/// The executor of the current thread, as the runtime of a server.
#[derive(Debug)]
struct SimRuntime;

impl Runtime for SimRuntime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        start(task);
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(sleep_until(at))
    }
}

/// Spawns a task and returns the id for [`cancel`].
pub(super) fn start(task: Task) -> u32 {
    with(|executor| {
        executor.spawned += 1;
        executor.tasks.insert(executor.spawned, Some(task));
        executor.ready.push(executor.spawned);
        executor.spawned
    })
    .unwrap_or_default()
}

/// Drops a task.
pub(super) fn cancel(id: u32) {
    drop(with(|executor| executor.tasks.remove(&id)));
}

/// The number of ready tasks, and of all tasks.
pub(super) fn count() -> (usize, usize) {
    with(|executor| (executor.ready.len(), executor.tasks.len())).unwrap_or_default()
}

/// Polls the ready task at `index`. A panic ends the task.
pub(super) fn poll(index: usize) {
    let taken = with(|executor| {
        let id = executor.ready.swap_remove(index);
        Some((id, executor.tasks.get_mut(&id)?.take()?))
    });
    let Some((id, mut task)) = taken.flatten() else { return };
    let waker = Waker::from(Arc::new(TaskIdWaker(id)));
    let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(&waker))));
    let pending = matches!(polled, Ok(Poll::Pending));
    let left = with(|executor| match executor.tasks.get_mut(&id) {
        Some(slot) if pending => {
            *slot = Some(task);
            None
        }
        _ => {
            executor.tasks.remove(&id);
            Some(task)
        }
    });
    // Dropping a task runs application code. A panic there must not end the simulation.
    drop(catch_unwind(AssertUnwindSafe(|| drop(left))));
}

/// The deadline of the first timer.
pub(super) fn next_timer() -> Option<Instant> {
    with(|executor| executor.timers.keys().next().map(|(at, _)| *at)).flatten()
}

/// Wakes the tasks whose timers have elapsed.
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

/// Wakes the task with this id.
struct TaskIdWaker(u32);

impl Wake for TaskIdWaker {
    fn wake(self: Arc<Self>) {
        with(|executor| {
            if executor.tasks.contains_key(&self.0) && !executor.ready.contains(&self.0) {
                executor.ready.push(self.0);
            }
        });
    }
}

/// A timer of this thread's executor.
pub(super) fn sleep_until(at: Instant) -> impl Future<Output = ()> + Send {
    let id = with(|executor| {
        executor.timers_created += 1;
        executor.timers_created
    });
    SimTimer { at, id: id.unwrap_or_default() }
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
