//! Calls into the code of the application. A panic there is logged and costs one client, or it ends
//! the process where it happens, for a debugger or a core dump.
//!
//! Handlers are not the only such code. The server drops values of the application, polls its
//! streams, wakes its tasks, and calls its `tracing` subscriber. All of them can panic and can call
//! the server, so none of them runs under one of our locks.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use tracing::field::{DisplayValue, display};
use tracing::span::EnteredSpan;
use tracing::{Level, Span, level_enabled};

use crate::lock::assert_none_held;

thread_local! {
    /// Whether a panic on this thread ends the process. It has no destructor, so the destructors of
    /// other thread-locals can use it.
    static ABORTS: Cell<bool> = const { Cell::new(false) };
}

/// The code whose panics end the process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DebugOn {
    pub(crate) resource: bool,
    pub(crate) server: bool,
}

/// The place of a guarded call, for warnings and errors in the log. It is asked only for these.
pub(crate) trait Scope {
    /// The path of the resource.
    fn resource(&self) -> Option<String>;

    /// The other end of the connection.
    fn peer(&self) -> Option<String>;

    /// The address of the client, if it came through a trusted proxy.
    fn client(&self) -> Option<String> {
        None
    }

    /// The number of the client.
    fn id(&self) -> Option<String> {
        None
    }

    /// The number of the client's version.
    fn version(&self) -> Option<u8> {
        None
    }

    /// The span of the client for the log. It is asked only if spans are wanted.
    fn span(&self) -> Span {
        Span::none()
    }
}

/// A place without a resource and a client.
pub(crate) struct Nowhere;

impl Scope for Nowhere {
    fn resource(&self) -> Option<String> {
        None
    }

    fn peer(&self) -> Option<String> {
        None
    }
}

/// The path of a resource, without a client.
impl Scope for Box<str> {
    fn resource(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn peer(&self) -> Option<String> {
        None
    }
}

/// A place that may be unknown.
impl<S: Scope> Scope for Option<S> {
    fn resource(&self) -> Option<String> {
        self.as_ref().and_then(Scope::resource)
    }

    fn peer(&self) -> Option<String> {
        self.as_ref().and_then(Scope::peer)
    }

    fn client(&self) -> Option<String> {
        self.as_ref().and_then(Scope::client)
    }

    fn id(&self) -> Option<String> {
        self.as_ref().and_then(Scope::id)
    }

    fn version(&self) -> Option<u8> {
        self.as_ref().and_then(Scope::version)
    }

    fn span(&self) -> Span {
        self.as_ref().map_or_else(Span::none, Scope::span)
    }
}

/// The fields of a warning or an error: those of the [span](Scope::span), which most subscribers do
/// not want.
pub(crate) struct Fields {
    pub(crate) id: Option<DisplayValue<String>>,
    pub(crate) peer: Option<DisplayValue<String>>,
    pub(crate) client: Option<DisplayValue<String>>,
    pub(crate) resource: Option<DisplayValue<String>>,
    pub(crate) version: Option<u8>,
}

impl Fields {
    pub(crate) fn of(scope: &impl Scope) -> Self {
        Self {
            id: scope.id().map(display),
            peer: scope.peer().map(display),
            client: scope.client().map(display),
            resource: scope.resource().map(display),
            version: scope.version(),
        }
    }
}

/// The current thread is in the span of a client, until this is dropped.
pub(crate) struct InSpan(Option<EnteredSpan>);

/// Enters the span of a client, if the subscriber wants such spans. A span lives for one call, so
/// an idle client has none.
#[inline]
pub(crate) fn enter(scope: &impl Scope) -> Option<InSpan> {
    if level_enabled!(Level::DEBUG) { enter_wanted(scope) } else { None }
}

#[cold]
fn enter_wanted(scope: &impl Scope) -> Option<InSpan> {
    let mut entered = None;
    log(|| {
        let span = scope.span();
        entered = (!span.is_disabled()).then(|| InSpan(Some(span.entered())));
    });
    entered
}

/// The subscriber is code of the application.
impl Drop for InSpan {
    fn drop(&mut self) {
        let entered = self.0.take();
        log(|| drop(entered));
    }
}

/// Calls a handler of the application. Returns `None` after a panic, which is logged.
#[inline]
pub(crate) fn guard<T>(debug: DebugOn, scope: &impl Scope, call: impl FnOnce() -> T) -> Option<T> {
    assert_none_held();
    let _in_span = enter(scope);
    let _watch = (debug.resource || debug.server).then(|| Watch::start(debug.resource));
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| caught("a handler", scope, panic)).ok()
}

/// Calls other code of the application. The log line for a panic begins with `subject`.
pub(crate) fn guard_other<T>(
    debug: DebugOn,
    subject: &str,
    scope: &impl Scope,
    call: impl FnOnce() -> T,
) -> Option<T> {
    assert_none_held();
    let _watch = Watch::start(debug.resource);
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| caught(subject, scope, panic)).ok()
}

/// Drops a value of the application.
pub(crate) fn discard<T>(debug: DebugOn, scope: &impl Scope, value: T) {
    guard_other(debug, "the drop of a value of the application", scope, || drop(value));
}

/// Writes to the log. A panic of the subscriber is ignored.
#[inline]
pub(crate) fn log(write: impl FnOnce()) {
    assert_none_held();
    let _watch = Watch::start(false);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(write)) {
        discard_panic(panic);
    }
}

/// A value of the application whose drop is guarded.
pub(crate) struct ApplicationValue<T> {
    value: Option<T>,
    debug: DebugOn,
}

impl<T> ApplicationValue<T> {
    pub(crate) const fn new(value: T, debug: DebugOn) -> Self {
        Self { value: Some(value), debug }
    }

    /// Sets whether a panic in the drop ends the process. It is unknown until a server has the
    /// value.
    pub(crate) fn set_debug(&mut self, debug: DebugOn) {
        self.debug = debug;
    }

    /// The value, or `None` after [`discard`](Self::discard).
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// As [`get`](Self::get).
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.value.as_mut()
    }

    /// Drops the value early.
    pub(crate) fn discard(&mut self, scope: &impl Scope) {
        if let Some(value) = self.value.take() {
            discard(self.debug, scope, value);
        }
    }

    /// Takes the value. Its drop is no longer guarded.
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
        self.discard(&Nowhere);
    }
}

/// Sets whether a panic on this thread ends the process, until it is dropped.
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

/// Installs a panic hook that aborts, once. It calls the process's own hook first. A hook runs
/// before the stack unwinds, so the whole stack is visible.
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

/// Logs a panic. The names are computed here, so that a call without a panic costs nothing.
#[cold]
fn caught(subject: &str, scope: &impl Scope, panic: Box<dyn Any + Send>) {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let Fields { id, peer, client, resource, version } = Fields::of(scope);
    log(|| tracing::error!(id, peer, client, resource, version, "{subject} panicked: {message}"));
    discard_panic(panic);
}

/// Drops the payload of a panic. The payload is a value of the application, and its drop may panic
/// too.
#[cold]
fn discard_panic(panic: Box<dyn Any + Send>) {
    let _watch = Watch::start(false);
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again); // its drop could panic without end
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const QUIET: DebugOn = DebugOn { resource: false, server: false };

    /// Panics when it is dropped, with a payload that panics when it is dropped.
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
    fn catches_a_panic_with_any_payload() {
        assert_eq!(guard(QUIET, &Nowhere, || 1), Some(1));
        assert_eq!(guard(QUIET, &Nowhere, || -> u8 { panic!("{}", "text") }), None);
        assert_eq!(guard(QUIET, &Nowhere, || -> u8 { panic_any(Endless) }), None);
        assert_eq!(guard_other(QUIET, "a test", &Nowhere, || -> u8 { panic_any(7) }), None);
        log(|| panic_any(Endless));
    }

    #[test]
    fn drops_a_value_once_and_guarded() {
        let drops = AtomicUsize::new(0);
        drop(ApplicationValue::new(Bomb(&drops), QUIET));
        let mut early = ApplicationValue::new(Bomb(&drops), QUIET);
        early.discard(&Nowhere);
        assert!(early.get_mut().is_none());
        drop(early);
        assert_eq!(drops.load(Ordering::Relaxed), 2);

        let kept = ApplicationValue::new(Bomb(&drops), QUIET).into_inner();
        assert_eq!(drops.load(Ordering::Relaxed), 2);
        discard(QUIET, &Nowhere, kept);
        assert_eq!(drops.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_panic_ends_the_process_only_during_a_watch() {
        let server = Watch::start(true);
        guard(DebugOn { server: true, ..QUIET }, &Nowhere, || assert!(!ABORTS.get()));
        discard(QUIET, &Nowhere, || ());
        log(|| assert!(!ABORTS.get()));
        guard_other(DebugOn { resource: true, server: false }, "a test", &Nowhere, || assert!(ABORTS.get()));
        assert!(ABORTS.get());
        drop(server);
        assert!(!ABORTS.get());
    }
}
