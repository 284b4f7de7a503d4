//! Edge-triggered epoll. Each socket is registered once.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::error::Error;

/// The maximum number of events per wait.
const BATCH: usize = 512;

/// An epoll instance and its most recent events.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// A socket with an event.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The number from its registration.
    pub key: usize,
    /// Whether it is readable.
    pub readable: bool,
    /// Whether it is writable.
    pub writable: bool,
    /// Whether the server has ended its side: read until the end.
    pub hangup: bool,
}

impl Poll {
    /// Creates an epoll instance.
    ///
    /// # Errors
    /// System errors.
    pub fn new() -> Result<Self, Error> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|e| Error::io("epoll_create", e))?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    /// Watches a socket in both directions until it is closed.
    ///
    /// # Errors
    /// System errors.
    pub fn add(&self, socket: &TcpStream, key: usize) -> Result<(), Error> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(key as u64), flags)
            .map_err(|e| Error::io("epoll_ctl", e))
    }

    /// Waits for events up to this timeout. Returns the number of events.
    ///
    /// # Errors
    /// System errors.
    pub fn wait(&mut self, timeout: Duration) -> Result<usize, Error> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(Error::io("epoll_wait", error)),
        }
    }

    /// Event number `index` of the last [`wait`](Self::wait).
    #[must_use]
    pub fn ready(&self, index: usize) -> Ready {
        let Event { flags, data, .. } = self.events[index];
        let hangup = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        Ready {
            key: usize::try_from(data.u64()).unwrap_or(usize::MAX),
            readable: hangup || flags.contains(EventFlags::IN),
            writable: flags.contains(EventFlags::OUT),
            hangup,
        }
    }
}
