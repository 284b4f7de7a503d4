#![allow(unsafe_code)] // the one file of this crate that has any

use std::io;
use std::sync::Arc;
use std::time::Duration;

use polling::{AsRawSource, AsSource, Event, PollMode};

use crate::net::poll::readiness::Readiness;

/// A longer wait ends early, and is waited for again: not every system can count as far as a `Duration`.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// A poller of the `polling` crate (kqueue and others).
#[derive(Debug)]
pub(crate) struct Poller {
    poller: Arc<polling::Poller>,
}

/// The reports of one wait.
pub(crate) struct Events {
    events: polling::Events,
    ready: Vec<Readiness>,
}

/// CloseOnDrop the wait of a [`Poller`], from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<polling::Poller>);

impl Poller {
    /// Fails with [`io::ErrorKind::Unsupported`] where sockets cannot be polled by edges (Windows).
    pub(crate) fn new() -> io::Result<Self> {
        let poller = Arc::new(polling::Poller::new()?);
        if !poller.supports_edge() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self { poller })
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.poller))
    }

    pub(crate) fn add<'a, S>(&self, socket: &'a S, key: usize) -> io::Result<()>
    where
        &'a S: AsRawSource,
    {
        // SAFETY: a source must be deleted from the poller before it is dropped. Only a `Shard` adds sources, and it owns
        // them and the poller: it calls `closing` where it takes a connection from its slab, where it drops its
        // listeners, and for all that is left in its own `Drop`.
        unsafe { self.poller.add_with_mode(socket, Event::all(key), PollMode::Edge) }
    }

    /// Reports connections that wait to be accepted from a socket that several pollers have.
    pub(crate) fn add_listener<'a, S>(&self, socket: &'a S, key: usize) -> io::Result<()>
    where
        &'a S: AsRawSource,
    {
        self.add(socket, key)
    }

    /// CloseOnDrop the reports of a socket that is about to be dropped.
    pub(crate) fn closing(&self, socket: impl AsSource) {
        // It fails only where the socket is not registered, which is what is asked for.
        let _ = self.poller.delete(socket);
    }

    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let Events { events, ready } = events;
        events.clear();
        self.poller.wait(events, timeout.map(|timeout| timeout.min(LONGEST)))?;
        ready.clear();
        // Whether the peer is gone is not told on every system, so each is read to its end.
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
        // It fails only where the system refuses to write to the poller's own descriptor.
        let _ = self.0.notify();
    }
}
