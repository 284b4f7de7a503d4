//! epoll, edge-triggered: a socket is registered once, and never again.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::error::Error;

/// Ready sockets taken at a time.
const BATCH: usize = 512;

/// An epoll instance and the events it last gave.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// A socket that something happened to.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The number it was registered with.
    pub key: usize,
    /// It can be read.
    pub readable: bool,
    /// It can be written.
    pub writable: bool,
    /// The server will send no more: read to the end.
    pub hangup: bool,
}

impl Poll {
    /// A new, empty one.
    ///
    /// # Errors
    /// What the system refused.
    pub fn new() -> Result<Self, Error> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|e| Error::io("epoll_create", e))?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    /// Watches a socket in both directions until it is closed.
    ///
    /// # Errors
    /// What the system refused.
    pub fn add(&self, socket: &TcpStream, key: usize) -> Result<(), Error> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(key as u64), flags)
            .map_err(|e| Error::io("epoll_ctl", e))
    }

    /// Waits until something happens, or this long; how much happened is the answer.
    ///
    /// # Errors
    /// What the system refused.
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
