//! Values whose `Drop` panics, and calls that must not panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Panics when it is dropped. During another panic it does not, because a second panic would abort
/// the process.
#[derive(Debug)]
pub struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a panic in a drop of the application");
        }
    }
}

/// Calls the library. A panic of the application's code must not escape from the call.
#[track_caller]
pub fn assert_no_panic<T>(call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| panic!("the panic escaped from the library"))
}
