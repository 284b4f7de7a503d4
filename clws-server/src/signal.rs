//! Something that happens once, and that any number of tasks wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::guard::{DebugOn, discard};
use crate::lock::{Lock, rank};
use crate::sync::broken;
use crate::task_waker::wake;

/// It was given, or tasks wait for it.
///
/// (The shared futures of the `futures` crate wake tasks while a lock is held. A waker that panics makes that lock useless,
/// and everybody else that waits panics too.)
#[derive(Debug, Default)]
pub(crate) struct Signal(Lock<State, { rank::SIGNAL }>);

#[derive(Debug, Default)]
struct State {
    given: bool,
    waiting: Slab<Waker>,
}

/// CloseOnDrop when the signal is given.
#[derive(Debug)]
pub(crate) struct SignalWait {
    signal: Arc<Signal>,
    /// Where its waker is.
    key: Option<usize>,
}

/// Gives its signal when it is dropped.
#[derive(Debug)]
pub(crate) struct GivesOnDrop(pub(crate) Arc<Signal>);

impl Signal {
    /// Lets everybody go on that waits, or will wait.
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
    /// Takes the waker with that key out, and puts another one in. The lock must be free when the first is dropped.
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
            discard(DebugOn::default(), before);
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
        // A signal that was given has taken all wakers, and their keys mean nothing any more.
        let before = if state.given { None } else { state.exchange(&mut self.key, None) };
        drop(state);
        if before.is_some() {
            discard(DebugOn::default(), before);
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

    /// Counts, and does something more.
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
    fn everybody_goes_on_even_if_a_waker_panics() {
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
    fn who_waits_no_more_is_not_woken() {
        let signal = Arc::new(Signal::default());
        let (counts, waker) = counts(|| ());
        let mut waiting = signal.wait();
        assert!(waiting.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(waiting.poll_unpin(&mut Context::from_waker(&waker)).is_pending(), "another task polls it");
        drop(waiting);
        signal.give();
        assert_eq!((counts.0.load(Ordering::Relaxed), Arc::strong_count(&counts)), (0, 2));
    }
}
