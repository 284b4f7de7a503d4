//! Values whose `Drop` panics, and calls that no panic may come out of.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Panics when it is dropped. (A second panic while one unwinds would abort, whatever the library does.)
#[derive(Debug)]
pub struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in the drop of something of the application's");
        }
    }
}

/// Calls the library where a panic of the application's code must not come out of it.
#[track_caller]
pub fn quietly<T>(call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| panic!("the panic comes out of the library"))
}
