//! The poller of Linux.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

use crate::net::poll::readiness::Readiness;

/// The most sockets that one wait reports: enough to share the system call, few enough to be fair.
const BATCH: usize = 256;

/// Whether [`Readiness::hangup`] says that the peer has ended its side, and not only that it may have.
pub(crate) const KNOWS_HANGUP: bool = true;

/// The key of the waker.
const WAKE: u64 = u64::MAX;

/// The longest wait. Before Linux 5.11 a timeout is in milliseconds of 32 bits. The caller waits
/// again after an early end.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    waker: Waker,
}

/// The reports of one wait. They stay on the thread that waits.
pub(crate) struct Events(Vec<epoll::Event>);

/// Ends the wait of a [`Poller`], from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        // Edge-triggered, so each write is reported and the descriptor is never read.
        epoll::add(&epoll, &waker, EventData::new_u64(WAKE), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { epoll, waker: Waker(waker) })
    }

    /// A poller for listening sockets only.
    pub(crate) fn for_listeners() -> io::Result<Self> {
        Self::new()
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Reports edges of a socket under a key, until the socket is dropped.
    pub(crate) fn add(&self, socket: &impl AsFd, key: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(key as u64), flags)?)
    }

    /// Reports waiting connections of a listening socket that several pollers share. The system
    /// wakes only one of the pollers that sleep, and none whose thread is busy.
    pub(crate) fn add_listener(&self, socket: &impl AsFd, key: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::EXCLUSIVE | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(key as u64), flags)?)
    }

    /// Ends the reports of a listening socket. Closing the descriptor is not enough: if another
    /// process shares the socket, this poller would still take wake-ups that the other one needs.
    pub(crate) fn remove_listener(&self, socket: &impl AsFd) {
        // Fails only if the socket was not added.
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Ends the reports of a socket that is about to be dropped. On Linux, closing does that.
    #[expect(clippy::unused_self, reason = "other systems need the call")]
    pub(crate) fn closing(&self, _socket: &impl AsFd) {}

    /// Waits for edges, for the waker, or for the timeout.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout.min(MAX_WAIT)).ok());
        events.0.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut events.0), timeout.as_ref()) {
            Ok(_) => Ok(()),
            Err(Errno::INTR) => {
                events.0.clear();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Events {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(BATCH))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The report with an index; `None` if it is that of the waker.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<Readiness> {
        let event = self.0.get(index)?;
        let key = event.data.u64();
        if key == WAKE {
            return None;
        }
        let flags = event.flags;
        let hangup = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        Some(Readiness {
            key: usize::try_from(key).ok()?,
            readable: hangup || flags.contains(EventFlags::IN),
            writable: hangup || flags.contains(EventFlags::OUT),
            hangup,
            broken: flags.intersects(EventFlags::HUP | EventFlags::ERR),
        })
    }
}

impl Waker {
    pub(crate) fn wake(&self) {
        // It fails only if the counter is full. Then the poller has an unseen wake-up already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}
