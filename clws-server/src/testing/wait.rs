//! Waiting on the current thread, with a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::time::{deadline_after, now};

/// Wakes a thread that polls.
struct ThreadWaker {
    thread: Thread,
    /// Whether the thread was woken after its last poll. Its own park token could be taken by other
    /// code that parks the thread.
    woken: AtomicBool,
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Polls until the result is ready. Returns `None` if that takes longer than `limit`.
///
/// Handlers may call it within each other, which the executor of `futures` does not allow.
pub(super) fn wait<T>(limit: Duration, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    let thread_waker = Arc::new(ThreadWaker { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&thread_waker));
    let mut cx = Context::from_waker(&waker);
    let end = deadline_after(now(), limit);
    loop {
        if let Poll::Ready(result) = poll(&mut cx) {
            return Some(result);
        }
        while !thread_waker.woken.swap(false, Ordering::Acquire) {
            let left = end.saturating_duration_since(now());
            if left.is_zero() {
                return None;
            }
            thread::park_timeout(left);
        }
    }
}
