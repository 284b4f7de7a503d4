//! Handlers that wait until the test opens a gate.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use clws_server::{Client, Payload, Resource, Text};

use super::wire::{SHORT_TIMEOUT, Wire};

/// A gate that opens once. As a resource, its handlers block their thread until then.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    waiting: usize,
    open: bool,
}

impl Gate {
    /// Blocks this thread until the gate is open, or for [`SHORT_TIMEOUT`].
    pub fn pass(&self) {
        self.pass_within(SHORT_TIMEOUT);
    }

    pub fn pass_within(&self, timeout: Duration) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.waiting += 1;
        changed.notify_all();
        let (mut state, _) = changed.wait_timeout_while(state, timeout, |state| !state.open).unwrap();
        state.waiting -= 1;
    }

    /// Waits without blocking a thread.
    pub async fn passed(&self) {
        while !self.0.0.lock().unwrap().open {
            async_std::task::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until `threads` threads are blocked.
    #[track_caller]
    pub fn wait_for(&self, threads: usize) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap();
        let (state, _) =
            changed.wait_timeout_while(state, SHORT_TIMEOUT, |state| state.waiting < threads).unwrap();
        assert!(state.waiting >= threads, "{} of {threads} handlers are blocked", state.waiting);
    }

    pub fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    pub fn is_open(&self) -> bool {
        self.0.0.lock().unwrap().open
    }

    /// Blocks the threads that serve `clients`, which are clients of this gate.
    #[track_caller]
    pub fn block(&self, clients: &mut [Wire]) {
        for client in &mut *clients {
            client.text("block");
        }
        self.wait_for(clients.len());
    }
}

impl Resource for Gate {
    fn text(&self, _: &Client, _: Text<'_>) {
        self.pass();
    }

    fn binary(&self, _: &Client, _: Payload<'_>) {
        self.pass();
    }
}
