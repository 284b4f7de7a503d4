//! The runtime of a server, if it has one. A runtime is code of the application.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt;

use crate::guard::{ApplicationValue, DebugOn, Nowhere, guard_other};
use crate::runtime::clock::{self, Sleep};
use crate::runtime::traits::{BoxFuture, BoxStream, Runtime};

/// The panic guard's name for calls of a runtime.
const SUBJECT: &str = "the runtime";

/// The runtime of a server. A panic of it is logged.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuntimeHandle(Option<Arc<dyn Runtime>>);

/// A task was spawned by a server without a runtime.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server has no runtime: enable a feature of clws-server (`async-std`, `tokio`, `smol`), or call `ServerBuilder::runtime`"
)]
pub(crate) struct NoRuntime;

/// A future that ends at a point in time.
#[derive(Debug)]
pub(crate) struct Timer {
    /// The runtime's timer.
    timer: Option<ApplicationValue<BoxFuture<'static, ()>>>,
    /// Used without a runtime, and after a panic of its timer.
    sleep: Sleep,
}

fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    guard_other(DebugOn::default(), SUBJECT, &Nowhere, call)
}

impl RuntimeHandle {
    pub(crate) const fn new(runtime: Option<Arc<dyn Runtime>>) -> Self {
        Self(runtime)
    }

    /// Whether tasks can be spawned.
    pub(crate) fn check(&self) -> Result<(), NoRuntime> {
        self.0.as_ref().map(drop).ok_or(NoRuntime)
    }

    /// Runs a detached task. A runtime that has ended drops it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<(), NoRuntime> {
        let Some(runtime) = &self.0 else { return Err(NoRuntime) };
        let task: BoxFuture<'static, ()> = Box::pin(task);
        guarded(|| runtime.spawn(task));
        Ok(())
    }

    /// A timer that ends at a point in time.
    pub(crate) fn timer(&self, at: Instant) -> Timer {
        let timer = self.0.as_ref().and_then(|runtime| guarded(|| runtime.sleep_until(at)));
        let timer = timer.map(|timer| ApplicationValue::new(timer, DebugOn::default()));
        Timer { timer, sleep: clock::sleep_until(at) }
    }

    /// Calls `work` within the context of the runtime.
    pub(crate) fn enter(&self, work: impl FnOnce()) {
        let mut work = Some(work);
        if let Some(runtime) = &self.0 {
            guarded(|| runtime.enter(&mut || work.take().into_iter().for_each(|work| work())));
        }
        if let Some(work) = work {
            work();
        }
    }

    /// Makes a socket of the runtime.
    pub(crate) fn socket(
        &self,
        make: impl FnOnce(&dyn Runtime) -> io::Result<BoxStream>,
    ) -> io::Result<BoxStream> {
        let runtime = self.0.as_ref().ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, NoRuntime))?;
        guarded(|| make(&**runtime)).unwrap_or_else(|| Err(io::Error::other("the runtime panicked")))
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { timer, sleep } = self.get_mut();
        if let Some(running) = timer.as_mut().and_then(ApplicationValue::get_mut) {
            match guarded(|| running.poll_unpin(cx)) {
                Some(polled) => return polled,
                None => *timer = None,
            }
        }
        sleep.poll_unpin(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::executor::block_on;

    use super::*;

    /// Panics in each method.
    #[derive(Debug)]
    struct Fragile;

    impl Runtime for Fragile {
        fn spawn(&self, _: BoxFuture<'static, ()>) {
            panic!("in spawn");
        }

        fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
            assert!(at > Instant::now() + Duration::from_secs(1), "in sleep_until");
            Box::pin(async { panic!("in a timer") })
        }

        fn enter(&self, _: &mut dyn FnMut()) {
            panic!("in enter");
        }
    }

    #[test]
    fn a_runtime_may_panic() {
        let runtime = RuntimeHandle::new(Some(Arc::new(Fragile)));
        runtime.spawn(async {}).unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        block_on(runtime.timer(soon));
        assert!(Instant::now() >= soon);
        let mut later = runtime.timer(soon + Duration::from_secs(60));
        assert!(later.poll_unpin(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        let entered = AtomicUsize::new(0);
        runtime.enter(|| {
            entered.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(entered.load(Ordering::Relaxed), 1);
        assert!(runtime.socket(|_| panic!("in tcp")).is_err());
    }

    #[test]
    fn without_a_runtime_there_are_timers_but_no_tasks() {
        let none = RuntimeHandle::default();
        assert!(none.check().is_err() && none.spawn(async {}).is_err());
        assert_eq!(none.socket(|_| unreachable!()).err().unwrap().kind(), io::ErrorKind::Unsupported);
        let at = Instant::now() + Duration::from_millis(5);
        block_on(none.timer(at));
        assert!(Instant::now() >= at);
    }
}
