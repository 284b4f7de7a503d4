//! Edge-triggered epoll, and the event loop of a load.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::args::Traffic;
use super::client::{Buffers, Client};
use super::error::Error;
use super::handshake::Opener;
use super::meter::Meter;
use super::ring::Ring;
use super::sys;

/// The maximum number of events per wait.
const BATCH: usize = 512;
/// The longest wait for events. The clock is read after each wait.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// A load that the event loop drives.
pub(super) trait Load {
    /// Handles an event of a socket.
    fn serve(&mut self, event: Ready, io: &mut Io) -> Result<(), Error>;

    /// Continues after a batch of events, or after a wait without events.
    fn after_batch(&mut self, _io: &mut Io) -> Result<(), Error> {
        Ok(())
    }

    /// Whether all messages came back and no more will be sent.
    fn is_done(&self) -> bool;

    /// Describes the missing messages, for an error.
    fn missing(&self) -> String;
}

/// The parts of a load that all its connections share.
pub(super) struct Io {
    /// The messages.
    pub(super) ring: Ring,
    /// The counts.
    pub(super) meter: Meter,
    /// The sockets.
    pub(super) poll: Poll,
    /// Memory to read into.
    pub(super) buffers: Buffers,
}

impl Io {
    /// Prepares messages and opens connections. Returns also the accepted extension parameters.
    /// `deliveries` is the number of messages that each sent message causes.
    pub(super) fn open(
        args: &Traffic,
        path: &str,
        connections: usize,
        deliveries: usize,
    ) -> Result<(Self, Vec<Client>, String), Error> {
        let common = &args.common;
        let offer = args.deflate.offer(common.draft)?;
        let ring = Ring::new(common.draft, &args.message, offer.as_ref())?;
        sys::need_sockets(connections)?;
        let (poll, opener) = (Poll::new()?, Opener::new(common, path, offer)?);
        let (mut clients, mut agreed) = (Vec::with_capacity(connections), String::new());
        for number in 0..connections {
            let client;
            (client, agreed) = opener.open(number, None, &ring)?;
            client.socket().set_nonblocking(true).map_err(|e| Error::io("O_NONBLOCK", e))?;
            poll.add(client.socket(), number)?;
            clients.push(client);
        }
        let meter = Meter::start(common, &args.end, deliveries as u64)?;
        let buffers = Buffers::new(ring.size());
        Ok((Self { ring, meter, poll, buffers }, clients, agreed))
    }

    /// Drives a load until it is done, and ends the measured period. Fails after `stall` seconds
    /// without a completed message. Other input, such as pings, does not count.
    pub(super) fn drive(&mut self, load: &mut impl Load, stall: f64) -> Result<(), Error> {
        let (mut silence, mut turn, mut completed) = (Duration::ZERO, Instant::now(), 0);
        while !load.is_done() {
            let ready = self.poll.wait(TICK)?;
            for index in 0..ready {
                let event = self.poll.ready(index);
                load.serve(event, self)?;
            }
            self.meter.turn()?;
            load.after_batch(self)?;
            // A turn adds at most one tick. So the load does not fail if this process was paused.
            silence += turn.elapsed().min(TICK);
            turn = Instant::now();
            if self.meter.completed() != completed {
                (silence, completed) = (Duration::ZERO, self.meter.completed());
            }
            if silence.as_secs_f64() >= stall && !load.is_done() {
                return Err(Error::Stalled(stall, load.missing()));
            }
        }
        self.meter.finish()
    }
}

/// An epoll instance and its most recent events.
pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// An event of a socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    /// The number from the socket's registration.
    pub(super) key: usize,
    /// Whether the socket is readable.
    pub(super) readable: bool,
    /// Whether the socket is writable.
    pub(super) writable: bool,
    /// Whether the server has ended its side: read until the end.
    pub(super) hangup: bool,
}

impl Poll {
    /// Creates an epoll instance.
    pub(super) fn new() -> Result<Self, Error> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|e| Error::io("epoll_create", e))?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    /// Watches a non-blocking socket in both directions until it is closed.
    pub(super) fn add(&self, socket: &TcpStream, key: usize) -> Result<(), Error> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(key as u64), flags)
            .map_err(|e| Error::io("epoll_ctl", e))
    }

    /// Waits for events, at most for this time. Returns their number.
    pub(super) fn wait(&mut self, timeout: Duration) -> Result<usize, Error> {
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

    /// An event of the most recent wait.
    pub(super) fn ready(&self, index: usize) -> Ready {
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
