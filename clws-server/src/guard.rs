//! Calls into the application's code: a panic there is logged and costs one client, or, where that is asked for, ends
//! the process where it happens, for a debugger or a core dump.
//!
//! Handlers are not the only such code. What the application gave us is dropped, its streams are polled, its tasks are
//! woken, and its `tracing` subscriber is called. All of it can panic, and can come back to us, so none of it runs while
//! a lock of ours is held.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::lock::assert_none_held;

thread_local! {
    /// Whether a panic on this thread ends the process. It has no destructor, so it can be used in those of other
    /// thread-locals.
    static ABORTS: Cell<bool> = const { Cell::new(false) };
}

/// Whose panics end the process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DebugOn {
    pub(crate) resource: bool,
    pub(crate) server: bool,
}

/// Calls a handler of the application; a panic in it is logged.
#[inline]
pub(crate) fn guard<T>(debug: DebugOn, call: impl FnOnce() -> T) -> Option<T> {
    assert_none_held();
    let _watch = (debug.resource || debug.server).then(|| Watch::start(debug.resource));
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| caught("a handler", panic)).ok()
}

/// Calls other code of the application, the `subject` of the log's line where it panics.
pub(crate) fn guard_other<T>(debug: DebugOn, subject: &str, call: impl FnOnce() -> T) -> Option<T> {
    assert_none_held();
    let _watch = Watch::start(debug.resource);
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| caught(subject, panic)).ok()
}

/// Drops something that the application gave us.
pub(crate) fn discard<T>(debug: DebugOn, value: T) {
    guard_other(debug, "the drop of something of the application", || drop(value));
}

/// Writes to the log; a subscriber that panics costs nothing.
#[inline]
pub(crate) fn log(write: impl FnOnce()) {
    assert_none_held();
    let _watch = Watch::start(false);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(write)) {
        discard_panic(panic);
    }
}

/// Something of the application that is kept here: wherever it is dropped, that is guarded.
pub(crate) struct ApplicationValue<T> {
    value: Option<T>,
    debug: DebugOn,
}

impl<T> ApplicationValue<T> {
    pub(crate) const fn new(value: T, debug: DebugOn) -> Self {
        Self { value: Some(value), debug }
    }

    /// Whether a panic in its drop is to end the process is known when it has come to a server.
    pub(crate) fn set_debug(&mut self, debug: DebugOn) {
        self.debug = debug;
    }

    /// The value, unless it was discarded.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.value.as_mut()
    }

    /// Drops the value before its time.
    pub(crate) fn discard(&mut self) {
        if let Some(value) = self.value.take() {
            discard(self.debug, value);
        }
    }

    /// The value, whose drop is the caller's business from now on.
    pub(crate) fn into_inner(mut self) -> Option<T> {
        self.value.take()
    }
}

impl<T> fmt::Debug for ApplicationValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApplicationValue")
    }
}

impl<T> Drop for ApplicationValue<T> {
    fn drop(&mut self) {
        self.discard();
    }
}

/// Until it is dropped, a panic on this thread ends the process, or does not, whatever held before.
pub(crate) struct Watch {
    before: bool,
}

impl Watch {
    #[inline]
    pub(crate) fn start(aborts: bool) -> Self {
        if aborts {
            install();
        }
        Self { before: ABORTS.replace(aborts) }
    }
}

impl Drop for Watch {
    #[inline]
    fn drop(&mut self) {
        ABORTS.set(self.before);
    }
}

/// Puts our hook before the process's own, once. A hook runs where the panic is, before anything unwinds, so that the
/// stack is whole.
#[cold]
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            report(info);
            if ABORTS.get() {
                std::process::abort();
            }
        }));
    });
}

/// Logs a panic.
#[cold]
fn caught(subject: &str, panic: Box<dyn Any + Send>) {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    log(|| tracing::error!("{subject} panicked: {message}"));
    discard_panic(panic);
}

/// Drops what a panic was thrown with, which is the application's and may panic too.
#[cold]
fn discard_panic(panic: Box<dyn Any + Send>) {
    let _watch = Watch::start(false);
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again); // there may be no end of them
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const QUIET: DebugOn = DebugOn { resource: false, server: false };

    /// Panics when it is dropped, and so does what that panic is thrown with.
    struct Bomb<'a>(&'a AtomicUsize);

    impl Drop for Bomb<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            if !std::thread::panicking() {
                panic_any(Endless);
            }
        }
    }

    struct Endless;

    impl Drop for Endless {
        fn drop(&mut self) {
            panic_any(Endless);
        }
    }

    #[test]
    fn a_panic_is_caught_whatever_it_is_thrown_with() {
        assert_eq!(guard(QUIET, || 1), Some(1));
        assert_eq!(guard(QUIET, || -> u8 { panic!("{}", "text") }), None);
        assert_eq!(guard(QUIET, || -> u8 { panic_any(Endless) }), None);
        assert_eq!(guard_other(QUIET, "a test", || -> u8 { panic_any(7) }), None);
        log(|| panic_any(Endless));
    }

    #[test]
    fn what_is_kept_is_dropped_once_and_guarded() {
        let drops = AtomicUsize::new(0);
        drop(ApplicationValue::new(Bomb(&drops), QUIET));
        let mut early = ApplicationValue::new(Bomb(&drops), QUIET);
        early.discard();
        assert!(early.get_mut().is_none());
        drop(early);
        assert_eq!(drops.load(Ordering::Relaxed), 2);

        let kept = ApplicationValue::new(Bomb(&drops), QUIET).into_inner();
        assert_eq!(drops.load(Ordering::Relaxed), 2);
        discard(QUIET, kept);
        assert_eq!(drops.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_panic_ends_the_process_only_as_long_as_it_is_watched_for() {
        let server = Watch::start(true);
        guard(DebugOn { server: true, ..QUIET }, || assert!(!ABORTS.get()));
        discard(QUIET, || ());
        log(|| assert!(!ABORTS.get()));
        guard_other(DebugOn { resource: true, server: false }, "a test", || assert!(ABORTS.get()));
        assert!(ABORTS.get());
        drop(server);
        assert!(!ABORTS.get());
    }
}
