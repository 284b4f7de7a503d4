//! For the scenarios with a limit on memory: what the server says that it holds, looked at all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use clws_server::{Config, ServerHandle};

use super::{Running, eventually};

/// The limit in these scenarios.
pub const LIMIT: usize = 64 << 20;

/// Unused credit of all threads of a test, with steps of 256 KiB.
pub const UNUSED: usize = 8 << 20;

pub fn limited(config: Config) -> Config {
    config.max_buffered(LIMIT)
}

/// The most that was held since it was made.
pub struct Watch {
    most: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
}

impl Watch {
    pub fn new(handle: &ServerHandle) -> Self {
        let (most, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (handle, noted, over) = (handle.clone(), Arc::clone(&most), Arc::clone(&ends));
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                noted.fetch_max(handle.buffered(), Ordering::Relaxed);
                thread::sleep(Duration::from_micros(200));
            }
        });
        Self { most, ends }
    }

    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// When all clients have gone, nothing is held but unused credit.
#[track_caller]
pub fn assert_all_is_free(server: &Running) {
    server.wait_for_clients(0);
    eventually("free memory", || server.handle.buffered() <= UNUSED);
}
