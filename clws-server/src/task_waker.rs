//! The waker of a task of the application, which is the application's code: an executor of its own may do anything there.

use std::task::Waker;

use futures::task::AtomicWaker;

use crate::guard::{DebugOn, discard, guard_other};

/// The task that waits for something here. A waker that panics is logged and costs nobody else anything.
#[derive(Debug, Default)]
pub(crate) struct TaskWaker(AtomicWaker);

impl TaskWaker {
    /// That task is woken next, by the first [`wake`](Self::wake). To be called by the task itself: what its waker does
    /// here is its own business.
    pub(crate) fn register(&self, waker: &Waker) {
        self.0.register(waker);
    }

    /// Wakes the task. No lock may be held.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.take() {
            wake(waker);
        }
    }
}

impl Drop for TaskWaker {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            discard(DebugOn::default(), waker);
        }
    }
}

/// Wakes a task. It is no handler whose panic may end the process: an executor is seldom the application's own work.
pub(crate) fn wake(waker: Waker) {
    guard_other(DebugOn::default(), "a waker", || waker.wake());
}
