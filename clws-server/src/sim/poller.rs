//! The poller of shards in tests: the system's, a simulated one, or one for models of threads.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::net::acceptor::Acceptor;
use crate::net::poll::readiness::Readiness;
use crate::net::poll::system;
use crate::net::socket::Socket;
use crate::sim::edges::Source;
use crate::sim::{try_with, with};
#[cfg(shuttle)]
use crate::sync::Bell;

/// A poller of any kind.
#[derive(Debug)]
pub(crate) enum Poller {
    System(system::Poller),
    Sim(u32),
    /// The system's poller never waits here, and only the waker ends a wait. All input is there
    /// before, and time stands still.
    #[cfg(shuttle)]
    Model(system::Poller, Bell),
}

/// The events of one wait.
pub(crate) enum Events {
    System(system::Events),
    Sim(Vec<Option<Readiness>>),
}

/// Ends the wait of a poller.
#[derive(Clone, Debug)]
pub(crate) enum Waker {
    System(system::Waker),
    Sim(u32),
    #[cfg(shuttle)]
    Model(Bell),
}

/// A source for any kind of poller.
pub(crate) trait Pollable: AsFd + AsRawFd {
    /// The simulated source, if it is one.
    fn sim(&self) -> Option<Source>;
}

impl Pollable for Socket {
    fn sim(&self) -> Option<Source> {
        if let Self::Sim(socket) = self { Some(Source::Conn(socket.0)) } else { None }
    }
}

impl Pollable for Acceptor {
    fn sim(&self) -> Option<Source> {
        if let Self::Sim(listener) = self { Some(Source::Port(listener.0)) } else { None }
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        system::Poller::new().map(Self::System)
    }

    pub(crate) fn for_listeners() -> io::Result<Self> {
        system::Poller::for_listeners().map(Self::System)
    }

    pub(crate) fn waker(&self) -> Waker {
        match self {
            Self::System(poller) => Waker::System(poller.waker()),
            Self::Sim(poller) => Waker::Sim(*poller),
            #[cfg(shuttle)]
            Self::Model(_, bell) => Waker::Model(bell.clone()),
        }
    }

    pub(crate) fn add(&self, pollable: &impl Pollable, key: usize) -> io::Result<()> {
        match (self, pollable.sim()) {
            (Self::System(poller), _) => poller.add(pollable, key),
            (Self::Sim(poller), Some(source)) => {
                with(|state| state.watch(*poller, source, key));
                Ok(())
            }
            (Self::Sim(_), None) => Err(io::ErrorKind::Unsupported.into()),
            #[cfg(shuttle)]
            (Self::Model(poller, _), _) => poller.add(pollable, key),
        }
    }

    pub(crate) fn add_listener(&self, pollable: &impl Pollable, key: usize) -> io::Result<()> {
        match self {
            Self::System(poller) => poller.add_listener(pollable, key),
            Self::Sim(_) => self.add(pollable, key),
            #[cfg(shuttle)]
            Self::Model(poller, _) => poller.add_listener(pollable, key),
        }
    }

    pub(crate) fn remove_listener(&self, pollable: &impl Pollable) {
        if let Self::System(poller) = self {
            poller.remove_listener(pollable);
        }
    }

    pub(crate) fn closing(&self, pollable: &impl Pollable) {
        if let Self::System(poller) = self {
            poller.closing(pollable);
        }
    }

    /// A simulated poller does not wait: the harness runs a shard when its timeout has elapsed.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match (self, events) {
            (Self::System(poller), Events::System(events)) => poller.wait(events, timeout),
            (Self::Sim(poller), Events::Sim(events)) => {
                with(|state| state.poll(*poller, events));
                Ok(())
            }
            #[cfg(shuttle)]
            (Self::Model(poller, bell), Events::System(events)) => {
                poller.wait(events, Some(Duration::ZERO))?;
                if events.len() == 0 && timeout != Some(Duration::ZERO) {
                    bell.wait();
                } else {
                    bell.clear();
                }
                Ok(())
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Events {
    pub(crate) fn new() -> Self {
        Self::System(system::Events::new())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::System(events) => events.len(),
            Self::Sim(events) => events.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Readiness> {
        match self {
            Self::System(events) => events.get(index),
            Self::Sim(events) => events.get(index).copied().flatten(),
        }
    }
}

impl Waker {
    pub(crate) fn wake(&self) {
        match self {
            Self::System(waker) => waker.wake(),
            Self::Sim(poller) => try_with(|state| state.pollers[*poller as usize].woken = true),
            #[cfg(shuttle)]
            Self::Model(bell) => bell.ring(),
        }
    }
}
