//! An event that happens once and that any number of tasks can wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::guard::{DebugOn, Nowhere, discard};
use crate::lock::{Lock, rank};
use crate::sync::broken;
use crate::task_waker::wake;

/// An event that was signalled, or for which tasks wait.
///
/// The shared futures of the `futures` crate are no replacement. They wake tasks while they hold a
/// lock. A waker that panics poisons that lock, and all other waiting tasks panic too.
#[derive(Debug, Default)]
pub(crate) struct Signal(Lock<State, { rank::SIGNAL }>);

#[derive(Debug, Default)]
struct State {
    given: bool,
    waiting: Slab<Waker>,
}

/// A future that ends when the signal is given.
#[derive(Debug)]
pub(crate) struct SignalWait {
    signal: Arc<Signal>,
    /// The key of the task's waker in [`State::waiting`].
    key: Option<usize>,
}

/// Gives its signal when it is dropped.
#[derive(Debug)]
pub(crate) struct GivesOnDrop(pub(crate) Arc<Signal>);

impl Signal {
    /// Wakes all waiting tasks. Later waits end at once.
    pub(crate) fn give(&self) {
        let waiting = {
            let mut state = self.0.lock();
            state.given = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(|(_, waker)| wake(waker));
    }

    pub(crate) fn is_given(&self) -> bool {
        self.0.lock().given
    }

    pub(crate) fn wait(self: &Arc<Self>) -> SignalWait {
        SignalWait { signal: Arc::clone(self), key: None }
    }
}

impl State {
    /// Replaces the waker with a key. The caller drops the old waker after it has released the
    /// lock.
    fn exchange(&mut self, key: &mut Option<usize>, waker: Option<Waker>) -> Option<Waker> {
        let before = key.take().and_then(|key| self.waiting.try_remove(key));
        *key = waker.map(|waker| self.waiting.insert(waker));
        before
    }
}

impl Future for SignalWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { signal, key } = &mut *self;
        let state = signal.0.lock();
        if state.given {
            return Poll::Ready(());
        }
        if key.and_then(|key| state.waiting.get(key)).is_some_and(|known| known.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        drop(state);
        let waker = cx.waker().clone();
        let mut state = signal.0.lock();
        broken!(LooksOnceOnly, {
            state.exchange(key, Some(waker));
            return Poll::Pending;
        });
        if state.given {
            drop(state);
            return Poll::Ready(());
        }
        let before = state.exchange(key, Some(waker));
        drop(state);
        if before.is_some() {
            discard(DebugOn::default(), &Nowhere, before);
        }
        Poll::Pending
    }
}

impl Drop for SignalWait {
    fn drop(&mut self) {
        if self.key.is_none() {
            return;
        }
        let mut state = self.signal.0.lock();
        // A given signal has taken all wakers, so the key is no longer valid.
        let before = if state.given { None } else { state.exchange(&mut self.key, None) };
        drop(state);
        if before.is_some() {
            discard(DebugOn::default(), &Nowhere, before);
        }
    }
}

impl Drop for GivesOnDrop {
    fn drop(&mut self) {
        self.0.give();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use futures::FutureExt;
    use futures::executor::block_on;

    use super::*;

    /// Counts its calls, then calls a function.
    struct Counts(AtomicUsize, fn());

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
            (self.1)();
        }
    }

    fn counts(then: fn()) -> (Arc<Counts>, Waker) {
        let counts = Arc::new(Counts(AtomicUsize::new(0), then));
        (Arc::clone(&counts), counts.into())
    }

    #[test]
    fn wakes_all_tasks_even_if_a_waker_panics() {
        let signal = Arc::new(Signal::default());
        let (first, panics) = counts(|| panic!("in a waker"));
        let (second, works) = counts(|| ());
        let mut waiting = [signal.wait(), signal.wait()];
        for (waiting, waker) in waiting.iter_mut().zip([&panics, &works]) {
            for _ in 0..3 {
                assert!(waiting.poll_unpin(&mut Context::from_waker(waker)).is_pending());
            }
        }
        assert_eq!(signal.0.lock().waiting.len(), 2);
        drop(GivesOnDrop(Arc::clone(&signal)));
        assert_eq!([&first, &second].map(|counts| counts.0.load(Ordering::Relaxed)), [1, 1]);
        waiting.into_iter().for_each(block_on);
        block_on(signal.wait());
        assert!(signal.is_given());
    }

    #[test]
    fn does_not_wake_a_task_that_no_longer_waits() {
        let signal = Arc::new(Signal::default());
        let (counts, waker) = counts(|| ());
        let mut waiting = signal.wait();
        assert!(waiting.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(waiting.poll_unpin(&mut Context::from_waker(&waker)).is_pending(), "polled by another task");
        drop(waiting);
        signal.give();
        assert_eq!((counts.0.load(Ordering::Relaxed), Arc::strong_count(&counts)), (0, 2));
    }
}
