//! Calls into the application's code: a panic there is logged and costs one client, or, where that is asked for, ends
//! the process where it happens, for a debugger or a core dump.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic on this thread ends the process.
    static ABORTS: Cell<bool> = const { Cell::new(false) };
}

/// Whose panics end the process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DebugOn {
    pub(crate) resource: bool,
    pub(crate) server: bool,
}

/// Calls code of the application; a panic in it is logged.
#[inline]
pub(crate) fn guard<T>(debug: DebugOn, call: impl FnOnce() -> T) -> Option<T> {
    let _watch = (debug.resource || debug.server).then(|| Watch::start(debug.resource));
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| log(&*panic)).ok()
}

/// Until it is dropped, a panic on this thread ends the process, or does not, whatever held before.
pub(crate) struct Watch {
    before: bool,
}

impl Watch {
    pub(crate) fn start(aborts: bool) -> Self {
        if aborts {
            install();
        }
        Self { before: ABORTS.replace(aborts) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        ABORTS.set(self.before);
    }
}

/// Puts our hook before the process's own, once. A hook runs where the panic is, before anything unwinds, so that the
/// stack is whole.
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

fn log(panic: &(dyn Any + Send)) {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!("a handler panicked: {message}");
}
