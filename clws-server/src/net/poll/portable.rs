//! The poller of other systems, on the `polling` crate.
#![allow(unsafe_code)] // the only file of this crate with unsafe code

use std::io;
use std::sync::Arc;
use std::time::Duration;

use polling::{AsRawSource, AsSource, Event, PollMode};

use crate::net::poll::readiness::Readiness;

/// The longest wait: not every system accepts any `Duration`. The caller waits again after an early
/// end.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// Whether [`Readiness::hangup`] says that the peer has ended its side, and not only that it may have.
#[cfg_attr(
    any(target_os = "linux", target_os = "android"),
    expect(dead_code, reason = "tests use only the poller")
)]
pub(crate) const KNOWS_HANGUP: bool = false;

/// A poller of the `polling` crate (kqueue and others).
#[derive(Debug)]
pub(crate) struct Poller {
    poller: Arc<polling::Poller>,
    mode: PollMode,
}

/// The reports of one wait.
pub(crate) struct Events {
    events: polling::Events,
    ready: Vec<Readiness>,
}

/// Ends the wait of a [`Poller`], from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<polling::Poller>);

impl Poller {
    /// Fails with [`io::ErrorKind::Unsupported`] if the system does not report edges (Windows).
    pub(crate) fn new() -> io::Result<Self> {
        let poller = Arc::new(polling::Poller::new()?);
        if !poller.supports_edge() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self { poller, mode: PollMode::Edge })
    }

    /// A poller for listening sockets only. Where the system does not report edges, a wait ends as
    /// long as connections wait.
    pub(crate) fn for_listeners() -> io::Result<Self> {
        let poller = Arc::new(polling::Poller::new()?);
        let mode = if poller.supports_edge() { PollMode::Edge } else { PollMode::Level };
        Ok(Self { poller, mode })
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.poller))
    }

    pub(crate) fn add<'a, S>(&self, socket: &'a S, key: usize) -> io::Result<()>
    where
        &'a S: AsRawSource,
    {
        // SAFETY: a source must be deleted from the poller before it is dropped. A `Shard` owns the
        // sources that it adds, and the poller. It calls `closing` when it takes a connection from
        // its slab, when it drops its listeners, and for all remaining sources in its own `Drop`.
        // The thread of `driver/tasks.rs` removes each listener in the `Drop` of its owner.
        unsafe { self.poller.add_with_mode(socket, Event::all(key), self.mode) }
    }

    /// Reports waiting connections of a listening socket that several pollers share.
    pub(crate) fn add_listener<'a, S>(&self, socket: &'a S, key: usize) -> io::Result<()>
    where
        &'a S: AsRawSource,
    {
        self.add(socket, key)
    }

    /// Ends the reports of a listening socket.
    pub(crate) fn remove_listener(&self, socket: impl AsSource) {
        self.closing(socket);
    }

    /// Ends the reports of a socket that is about to be dropped.
    pub(crate) fn closing(&self, socket: impl AsSource) {
        // It fails only if the socket is not registered, which is the desired result.
        let _ = self.poller.delete(socket);
    }

    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let Events { events, ready } = events;
        events.clear();
        self.poller.wait(events, timeout.map(|timeout| timeout.min(MAX_WAIT)))?;
        ready.clear();
        // Not every system reports that the peer has disconnected, so each readable socket is read
        // to its end.
        ready.extend(events.iter().map(|event| Readiness {
            key: event.key,
            readable: event.readable,
            writable: event.writable,
            hangup: event.readable,
            broken: false,
        }));
        Ok(())
    }
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { events: polling::Events::new(), ready: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<Readiness> {
        self.ready.get(index).copied()
    }
}

impl Waker {
    pub(crate) fn wake(&self) {
        // It fails only if the system refuses to write to the poller's own descriptor.
        let _ = self.0.notify();
    }
}
