//! Tests of the memory limit: observes the server's reported memory all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use clws_server::{Config, ServerHandle};

use super::{Running, eventually};

/// The memory limit of these tests.
pub const LIMIT: usize = 64 << 20;

/// The maximum unused credit of all threads, in steps of 256 KiB.
pub const UNUSED_CREDIT: usize = 8 << 20;

pub fn with_memory_limit(config: Config) -> Config {
    config.max_buffered(LIMIT)
}

/// The maximum of the buffered bytes since this value was created.
pub struct MemoryWatch {
    max: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl MemoryWatch {
    pub fn new(handle: &ServerHandle) -> Self {
        let (max, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (handle, observed, stopping) = (handle.clone(), Arc::clone(&max), Arc::clone(&stop));
        thread::spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                observed.fetch_max(handle.buffered(), Ordering::Relaxed);
                thread::sleep(Duration::from_micros(200));
            }
        });
        Self { max, stop }
    }

    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Checks that only unused credit remains after all clients disconnected.
#[track_caller]
pub fn assert_memory_is_free(server: &Running) {
    server.wait_for_clients(0);
    eventually("memory is free", || server.handle.buffered() <= UNUSED_CREDIT);
}
