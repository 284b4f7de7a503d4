//! `connect`: connects, shakes hands, echoes one message and closes, with a few connections at a
//! time.
//!
//! The client sends Close and waits until the server answers and ends the TCP connection. RFC 6455
//! §7.1.1: the server should end it first. After a second without an end the client hangs up, and
//! the report notes it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::args::{ConnectArgs, MessageArgs};
use super::error::Error;
use super::frames::{self, Ring};
use super::opening;
use super::poll::{Poll, Ready};
use super::reader::{Expect, Reader};
use super::report::Report;
use super::sys;
use super::window::{Counts, Turn, Window};

/// The maximum number of concurrent connections.
const MAX_CONCURRENT: usize = 1024;
/// The maximum number of connections of one load. More would exhaust the ports of the machine.
const MAX_TOTAL: u64 = 100_000;
/// The longest wait for events. The clock is read after each wait.
const TICK: Duration = Duration::from_millis(50);
/// The time that a server has to end a connection after Close, in nanoseconds.
const LINGER: u64 = 1_000_000_000;

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Head(Vec<u8>),
    Echo,
    Closing { since: u64 },
}

/// One connection from connecting to its end.
struct Session {
    socket: TcpStream,
    stage: Stage,
    reader: Reader,
    started: u64,
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

/// Runs the load.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: &ConnectArgs) -> Result<Report, Error> {
    let common = &args.common;
    if args.connections == 0 || args.connections > MAX_CONCURRENT {
        return Err(Error::Usage(format!(
            "--connections must be between 1 and {MAX_CONCURRENT} for connect"
        )));
    }
    let message = MessageArgs { size: args.size, text: false, binary: false, fragments: 1, verify: true };
    let ring = Ring::new(common.draft, &message, None)?;
    if ring.message(0).len() > 4096 {
        return Err(Error::Usage("--size must be at most 4000 for connect".into()));
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
    let mut sessions = Vec::with_capacity(args.connections);
    for slot in 0..args.connections {
        sessions.push(load.begin(slot)?);
    }
    let mut silence = Duration::ZERO;
    while sessions.iter().any(Option::is_some) {
        let ready = load.poll.wait(TICK)?;
        silence = if ready == 0 { silence + TICK } else { Duration::ZERO };
        if silence.as_secs_f64() >= common.stall {
            let detail = sessions
                .iter()
                .flatten()
                .next()
                .map_or(String::new(), |session| format!("{:?}", session.stage));
            return Err(Error::Stalled {
                seconds: common.stall,
                detail: format!("a connection is in stage {detail}"),
            });
        }
        for index in 0..ready {
            let event = load.poll.ready(index);
            load.step(&mut sessions, event)?;
        }
        if ready == 0 || load.begun.is_multiple_of(256) {
            load.hang_up(&mut sessions)?;
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
            format!("the server did not end {} connections within a second of Close", load.unclosed);
    }
    Ok(report)
}

impl Load<'_> {
    /// Starts a connection in this slot, unless the load is over.
    fn begin(&mut self, slot: usize) -> Result<Option<Session>, Error> {
        if self.window.is_over() || self.begun >= MAX_TOTAL {
            return Ok(None);
        }
        let common = &self.args.common;
        self.begun += 1;
        let started = self.window.now();
        let socket = opening::socket(common.target, None)?;
        socket.set_nonblocking(true).map_err(|e| Error::io("O_NONBLOCK", e))?;
        match socket.connect(&common.target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(Error::io(format!("connecting to {}", common.target), error)),
        }
        let socket = TcpStream::from(socket);
        self.poll.add(&socket, slot)?;
        Ok(Some(Session {
            socket,
            stage: Stage::Connecting,
            reader: Reader::new(common.draft, None),
            started,
        }))
    }

    fn step(&mut self, sessions: &mut [Option<Session>], event: Ready) -> Result<(), Error> {
        let Some(session) = &mut sessions[event.key] else { return Ok(()) };
        if self.advance(session, event)? {
            let counted = !self.window.is_over();
            self.counts.messages += u64::from(counted);
            sessions[event.key] = self.begin(event.key)?;
        }
        Ok(())
    }

    /// Drives a connection as far as its socket allows. Returns whether it is done.
    fn advance(&mut self, session: &mut Session, event: Ready) -> Result<bool, Error> {
        let draft = self.args.common.draft;
        if session.stage == Stage::Connecting {
            if let Some(error) = session.socket.take_error().map_err(|e| Error::io("SO_ERROR", e))? {
                return Err(Error::io(format!("connecting to {}", self.args.common.target), error));
            }
            if !event.writable {
                return Ok(false);
            }
            self.counts.bytes_out += send(&session.socket, &self.request)?;
            session.stage = Stage::Head(Vec::new());
        }
        let mut more = event.readable;
        while more {
            let closing = matches!(session.stage, Stage::Closing { .. });
            let bytes = match (&session.socket).read(&mut self.buffer) {
                Ok(0) if closing => return Ok(true),
                // After the close frame, a reset is a valid end.
                Err(error) if closing && error.kind() == ErrorKind::ConnectionReset => return Ok(true),
                Ok(0) => {
                    return Err(Error::Closed { connection: event.key, code: session.reader.close_code() });
                }
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Error::io("reading", error)),
            };
            self.counts.bytes_in += bytes as u64;
            let mut input = 0;
            if let Stage::Head(head) = &mut session.stage {
                let had = head.len();
                head.extend_from_slice(&self.buffer[..bytes]);
                let Some(end) = opening::answer(draft, head)? else { continue };
                input = end - had;
                if !self.window.is_over() {
                    self.counts.latency.saturating_record(self.window.now() - session.started);
                }
                let ring = self.expect.ring;
                self.counts.bytes_out += send(&session.socket, ring.message(0))?;
                session.stage = Stage::Echo;
            }
            let rest = &self.buffer[input..bytes];
            let messages = session
                .reader
                .feed(rest, self.expect)
                .map_err(|source| Error::Frame { connection: event.key, source })?;
            if session.stage == Stage::Echo && session.reader.is_closed() {
                return Err(Error::Closed { connection: event.key, code: session.reader.close_code() });
            }
            if messages > 0 && session.stage == Stage::Echo {
                self.counts.bytes_out += send(&session.socket, frames::close(draft))?;
                session.stage = Stage::Closing { since: self.window.now() };
            }
            more = event.hangup || bytes == self.buffer.len();
        }
        Ok(false)
    }

    /// Ends connections that the server did not end in time.
    fn hang_up(&mut self, sessions: &mut [Option<Session>]) -> Result<(), Error> {
        let now = self.window.now();
        let late =
            |session: &Session| matches!(session.stage, Stage::Closing { since } if now - since > LINGER);
        for (slot, place) in sessions.iter_mut().enumerate() {
            if place.as_ref().is_some_and(late) {
                self.unclosed += 1;
                self.counts.messages += u64::from(!self.window.is_over());
                *place = self.begin(slot)?;
            }
        }
        Ok(())
    }
}

/// Writes a small request or frame, which an empty socket buffer accepts whole.
fn send(mut socket: &TcpStream, bytes: &[u8]) -> Result<u64, Error> {
    match socket.write(bytes) {
        Ok(n) if n == bytes.len() => Ok(n as u64),
        Ok(_) => Err(Error::io("writing", io::Error::from(ErrorKind::WriteZero))),
        Err(error) => Err(Error::io("writing", error)),
    }
}
