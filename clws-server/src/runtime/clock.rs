//! Timers without a runtime: one thread of the process wakes the tasks that wait for a time.
//!
//! It is the clock of a server without a runtime, and of tokio's runtimes. tokio's timers panic
//! after the runtime has ended, need `enable_time`, and stand still while nobody runs a
//! current-thread runtime. A server must end in each of these cases.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, Thread};
use std::time::Instant; // the real time, also on threads with a virtual clock

use crate::lock::{Lock, rank};
use crate::task_waker::TaskWaker;

static TIMERS: Lock<Timers, { rank::CLOCK }> =
    Lock::new(Timers { waiting: BTreeMap::new(), registered: 0, thread: None });

struct Timers {
    /// The tasks that wait, by time and number.
    waiting: BTreeMap<(Instant, u64), Arc<TaskWaker>>,
    registered: u64,
    /// Started with the first timer.
    thread: Option<Thread>,
}

/// A future that ends at a point in time.
#[derive(Debug)]
pub(crate) struct Sleep {
    at: Instant,
    /// The number among the timers, once it was polled.
    entry: Option<(u64, Arc<TaskWaker>)>,
}

/// A timer that ends at a point in time. It works on any executor.
pub(crate) const fn sleep_until(at: Instant) -> Sleep {
    Sleep { at, entry: None }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        if let Some((_, waker)) = &self.entry {
            waker.register(cx.waker());
            // The thread may have removed the entry before. It does so only when the time has come.
            return if Instant::now() >= at { Poll::Ready(()) } else { Poll::Pending };
        }
        let waker = Arc::new(TaskWaker::default());
        waker.register(cx.waker());
        match register(at, &waker) {
            Some(number) => self.entry = Some((number, waker)),
            // The system refuses another thread, so this task polls itself until the time has come.
            None => cx.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((number, _)) = &self.entry {
            let removed = TIMERS.lock().waiting.remove(&(self.at, *number));
            drop(removed); // after the lock is released: it has a waker
        }
    }
}

/// Adds a timer. Returns `None` if there is no thread for it.
fn register(at: Instant, waker: &Arc<TaskWaker>) -> Option<u64> {
    let mut timers = TIMERS.lock();
    let thread = match &timers.thread {
        Some(thread) => thread.clone(),
        None => {
            let started = thread::Builder::new().name("clws-clock".to_owned()).spawn(run).ok()?;
            timers.thread.insert(started.thread().clone()).clone()
        }
    };
    let is_first = timers.waiting.first_key_value().is_none_or(|((first, _), _)| at < *first);
    timers.registered += 1;
    let number = timers.registered;
    timers.waiting.insert((at, number), Arc::clone(waker));
    drop(timers);
    if is_first {
        thread.unpark();
    }
    Some(number)
}

/// Wakes the tasks whose time has come, for ever.
fn run() {
    loop {
        let (due, next) = take_due(&mut TIMERS.lock());
        if due.is_empty() {
            match next {
                Some(next) => thread::park_timeout(next.saturating_duration_since(Instant::now())),
                None => thread::park(),
            }
        }
        for waker in due {
            waker.wake();
        }
    }
}

/// Removes the timers whose time has come. Also returns the time of the next one.
fn take_due(timers: &mut Timers) -> (Vec<Arc<TaskWaker>>, Option<Instant>) {
    let now = Instant::now();
    let mut due = Vec::new();
    while let Some(entry) = timers.waiting.first_entry() {
        let at = entry.key().0;
        if at > now {
            return (due, Some(at));
        }
        due.push(entry.remove());
    }
    (due, None)
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use std::time::Duration;

    use futures::executor::block_on;
    use futures::future::{join_all, select};

    use super::*;

    fn after(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    #[test]
    fn timers_end_in_their_order_and_not_early() {
        block_on(async {
            let (long, short) = (after(60), after(20));
            let (first, _) = select(sleep_until(long), sleep_until(short)).await.factor_first();
            let () = first;
            assert!(Instant::now() >= short);
            sleep_until(after(0)).await;
            let many = join_all((0..100).map(|n| sleep_until(after(n % 7)))).await;
            assert_eq!(many.len(), 100);
        });
    }

    #[test]
    fn a_dropped_timer_leaves_nothing_and_a_moved_one_wakes_its_new_task() {
        let far = after(1_000_000);
        let mut dropped = Box::pin(sleep_until(far));
        let mut moved = Box::pin(sleep_until(after(50)));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        assert!(moved.as_mut().poll(&mut cx).is_pending());
        let is_far = |(at, _): &(Instant, u64)| *at == far;
        assert!(TIMERS.lock().waiting.keys().any(is_far));
        drop(dropped);
        assert!(!TIMERS.lock().waiting.keys().any(is_far));
        block_on(moved);
    }
}
