//! `connect`: connect, shake hands, echo one message, close: over and over, a few at a time.
//!
//! The client sends Close and waits for the server to answer it and to end the connection (RFC 6455 §7.1.1: the server
//! closes first). A server that does not within a second is hung up on, and that is noted.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::args::{ConnectArgs, MessageArgs};
use super::error::Error;
use super::frames::{self, Ring};
use super::opening;
use super::poll::{Poll, Ready};
use super::reader::{Expect, Reader};
use super::report::{Counts, Report, Turn, Window};
use super::sys;

/// Most connections under way at a time.
const MAX_UNDER_WAY: usize = 1024;
/// Most connections in one load: more would use up the ports of a machine.
const MAX_TOTAL: u64 = 100_000;
/// How long one wait for events may take: the clock is looked at in between.
const TICK: Duration = Duration::from_millis(50);
/// How long a server may take to end a connection after Close, in nanoseconds.
const LINGER: u64 = 1_000_000_000;

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Head(Vec<u8>),
    Echo,
    Closing { since: u64 },
}

/// One connection, from its birth to its end.
struct Visit {
    socket: TcpStream,
    stage: Stage,
    reader: Reader,
    born: u64,
}

struct Load<'a> {
    args: &'a ConnectArgs,
    expect: Expect<'a>,
    request: Vec<u8>,
    poll: Poll,
    window: Window,
    counts: Counts,
    buffer: Vec<u8>,
    begun: u64,
    unclosed: u64,
}

/// Runs the load to its end.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: &ConnectArgs) -> Result<Report, Error> {
    let common = &args.common;
    if args.connections == 0 || args.connections > MAX_UNDER_WAY {
        return Err(Error::Usage(format!("--connections is between 1 and {MAX_UNDER_WAY} for connect")));
    }
    let message = MessageArgs { size: args.size, text: false, binary: false, fragments: 1, verify: true };
    let ring = Ring::new(common.draft, &message, None)?;
    if ring.message(0).len() > 4096 {
        return Err(Error::Usage("--size is at most 4000 for connect".into()));
    }
    sys::need_sockets(args.connections)?;
    let mut load = Load {
        args,
        expect: Expect { ring: &ring, verify: true },
        request: opening::request(common.draft, common.target, common.path_or("/echo"), None),
        poll: Poll::new()?,
        window: Window::new(common, &args.end)?,
        counts: Counts::new()?,
        buffer: vec![0; 16 << 10],
        begun: 0,
        unclosed: 0,
    };
    let mut visits = Vec::with_capacity(args.connections);
    for slot in 0..args.connections {
        visits.push(load.begin(slot)?);
    }
    let mut silence = Duration::ZERO;
    while visits.iter().any(Option::is_some) {
        let ready = load.poll.wait(TICK)?;
        silence = if ready == 0 { silence + TICK } else { Duration::ZERO };
        if silence.as_secs_f64() >= common.stall {
            let detail =
                visits.iter().flatten().next().map_or(String::new(), |visit| format!("{:?}", visit.stage));
            return Err(Error::Stalled {
                seconds: common.stall,
                detail: format!("a connection is at {detail}"),
            });
        }
        for index in 0..ready {
            let event = load.poll.ready(index);
            load.step(&mut visits, event)?;
        }
        if ready == 0 || load.begun.is_multiple_of(256) {
            load.hang_up(&mut visits)?;
        }
        if load.window.turn(load.counts.messages)? == Turn::Begin {
            load.counts.clear();
        }
    }
    let mut report = load.window.report("connect", common, &load.counts);
    report.connections = args.connections;
    report.size = args.size;
    report.in_flight = 1;
    if load.unclosed > 0 {
        report.note =
            format!("{} connections were not ended by the server within a second of Close", load.unclosed);
    }
    Ok(report)
}

impl Load<'_> {
    /// Starts a connection in this slot, unless the load is over.
    fn begin(&mut self, slot: usize) -> Result<Option<Visit>, Error> {
        if self.window.is_over() || self.begun >= MAX_TOTAL {
            return Ok(None);
        }
        let common = &self.args.common;
        self.begun += 1;
        let born = self.window.now();
        let socket = opening::socket(common.target, None)?;
        socket.set_nonblocking(true).map_err(|e| Error::io("O_NONBLOCK", e))?;
        match socket.connect(&common.target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(Error::io(format!("connecting to {}", common.target), error)),
        }
        let socket = TcpStream::from(socket);
        self.poll.add(&socket, slot)?;
        Ok(Some(Visit { socket, stage: Stage::Connecting, reader: Reader::new(common.draft, None), born }))
    }

    fn step(&mut self, visits: &mut [Option<Visit>], event: Ready) -> Result<(), Error> {
        let Some(visit) = &mut visits[event.key] else { return Ok(()) };
        if self.advance(visit, event)? {
            let counted = !self.window.is_over();
            self.counts.messages += u64::from(counted);
            visits[event.key] = self.begin(event.key)?;
        }
        Ok(())
    }

    /// Goes as far with a connection as its socket allows; tells whether it is done.
    fn advance(&mut self, visit: &mut Visit, event: Ready) -> Result<bool, Error> {
        let draft = self.args.common.draft;
        if visit.stage == Stage::Connecting {
            if let Some(error) = visit.socket.take_error().map_err(|e| Error::io("SO_ERROR", e))? {
                return Err(Error::io(format!("connecting to {}", self.args.common.target), error));
            }
            if !event.writable {
                return Ok(false);
            }
            self.counts.octets_out += send(&visit.socket, &self.request)?;
            visit.stage = Stage::Head(Vec::new());
        }
        let mut more = event.readable;
        while more {
            let closing = matches!(visit.stage, Stage::Closing { .. });
            let octets = match (&visit.socket).read(&mut self.buffer) {
                Ok(0) if closing => return Ok(true),
                // Behind the last frame a reset is as good an end.
                Err(error) if closing && error.kind() == ErrorKind::ConnectionReset => return Ok(true),
                Ok(0) => {
                    return Err(Error::Closed { connection: event.key, code: visit.reader.close_code() });
                }
                Ok(octets) => octets,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Error::io("reading", error)),
            };
            self.counts.octets_in += octets as u64;
            let mut input = 0;
            if let Stage::Head(head) = &mut visit.stage {
                let had = head.len();
                head.extend_from_slice(&self.buffer[..octets]);
                let Some(end) = opening::answer(draft, head)? else { continue };
                input = end - had;
                if !self.window.is_over() {
                    self.counts.latency.saturating_record(self.window.now() - visit.born);
                }
                let ring = self.expect.ring;
                self.counts.octets_out += send(&visit.socket, ring.message(0))?;
                visit.stage = Stage::Echo;
            }
            let came = &self.buffer[input..octets];
            let messages = visit
                .reader
                .feed(came, self.expect)
                .map_err(|source| Error::Frame { connection: event.key, source })?;
            if visit.stage == Stage::Echo && visit.reader.is_closed() {
                return Err(Error::Closed { connection: event.key, code: visit.reader.close_code() });
            }
            if messages > 0 && visit.stage == Stage::Echo {
                self.counts.octets_out += send(&visit.socket, frames::close(draft))?;
                visit.stage = Stage::Closing { since: self.window.now() };
            }
            more = event.hangup || octets == self.buffer.len();
        }
        Ok(false)
    }

    /// Ends connections that the server does not.
    fn hang_up(&mut self, visits: &mut [Option<Visit>]) -> Result<(), Error> {
        let now = self.window.now();
        let late = |visit: &Visit| matches!(visit.stage, Stage::Closing { since } if now - since > LINGER);
        for (slot, place) in visits.iter_mut().enumerate() {
            if place.as_ref().is_some_and(late) {
                self.unclosed += 1;
                self.counts.messages += u64::from(!self.window.is_over());
                *place = self.begin(slot)?;
            }
        }
        Ok(())
    }
}

/// Writes something small, which a socket with nothing queued takes whole.
fn send(mut socket: &TcpStream, octets: &[u8]) -> Result<u64, Error> {
    match socket.write(octets) {
        Ok(n) if n == octets.len() => Ok(n as u64),
        Ok(_) => Err(Error::io("writing", io::Error::from(ErrorKind::WriteZero))),
        Err(error) => Err(Error::io("writing", error)),
    }
}
