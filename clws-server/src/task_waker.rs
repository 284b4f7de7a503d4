//! The waker of a task of the application, which is the application's code: an executor of its own may do anything there.

use std::task::Waker;

use crate::guard::{DebugOn, discard, guard_other};
use crate::sync::AtomicWaker;

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Panics when it is dropped.
    struct Fragile(Arc<AtomicUsize>);

    impl Wake for Fragile {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Fragile {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("in the drop of a waker");
        }
    }

    #[test]
    fn a_waker_may_panic_when_it_is_dropped() {
        let drops = Arc::new(AtomicUsize::new(0));
        for wakes in [true, false] {
            let task = TaskWaker::default();
            task.register(&Waker::from(Arc::new(Fragile(Arc::clone(&drops)))));
            if wakes {
                task.wake();
                task.wake(); // nobody waits any more
            }
        }
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }
}
