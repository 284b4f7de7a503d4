//! The waker of a task. Wakers are code of the application, which may use its own executor.

use std::task::Waker;

use crate::guard::{DebugOn, Nowhere, discard, guard_other};
use crate::sync::AtomicWaker;

/// The waker of a waiting task. A panic of the waker is logged and affects no other task.
#[derive(Debug, Default)]
pub(crate) struct TaskWaker(AtomicWaker);

impl TaskWaker {
    /// Registers the task that the next [`wake`](Self::wake) wakes. The task itself must call this:
    /// a panic of its waker then reaches only itself.
    pub(crate) fn register(&self, waker: &Waker) {
        self.0.register(waker);
    }

    /// Wakes the task. The caller must hold no lock.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.take() {
            wake(waker);
        }
    }
}

impl Drop for TaskWaker {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            discard(DebugOn::default(), &Nowhere, waker);
        }
    }
}

/// Wakes a task. A panic of the waker never ends the process, because an executor is rarely the
/// application's own code.
pub(crate) fn wake(waker: Waker) {
    guard_other(DebugOn::default(), "a waker", &Nowhere, || waker.wake());
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
                task.wake(); // no task waits any more
            }
        }
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }
}
