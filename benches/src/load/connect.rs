//! `connect`: connects, shakes hands, echoes one message and closes, with a few connections at a
//! time.
//!
//! The client sends Close and waits until the server answers and ends the TCP connection. RFC 6455
//! §7.1.1: the server should end it first. After a second without an end the client hangs up, and
//! the report notes it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use clws_handshake::client::Pending;
use clws_proto::Input;

use super::args::{Common, ConnectArgs, MessageArgs};
use super::client::{Buffers, Client, Pool};
use super::drive::{Io, Load, Poll, Ready};
use super::error::Error;
use super::handshake::{self, Opener};
use super::meter::Meter;
use super::report::Report;
use super::ring::Ring;
use super::sys;

/// The maximum number of connections of one load. More would exhaust the ports of the machine.
const MAX_TOTAL: u64 = 100_000;
/// The time that a server has to end a connection after Close, in nanoseconds.
const LINGER: u64 = 1_000_000_000;

/// One connection from connecting to its end.
enum Session {
    Connecting(Opening),
    ShakingHands(Opening),
    Echo(Client),
    Closing {
        client: Client,
        since: u64,
    },
    /// No connection: the load is over.
    Empty,
}

struct Opening {
    socket: TcpStream,
    pending: Pending,
    input: Vec<u8>,
    started: u64,
}

struct Connect<'a> {
    common: &'a Common,
    opener: Opener<'a>,
    sessions: Vec<Session>,
    begun: u64,
    unclosed: u64,
    /// The time of the last look at connections that the server should have ended.
    checked: u64,
}

/// Runs the load.
pub(super) fn run(args: &ConnectArgs) -> Result<Report, Error> {
    let common = &args.common;
    if args.end.messages.is_some_and(|messages| messages > MAX_TOTAL) {
        return Err(Error::Usage(format!("--messages of connect must be at most {MAX_TOTAL}")));
    }
    let message = MessageArgs { size: args.size, text: false, binary: false, fragments: 1, verify: true };
    let ring = Ring::new(common.draft, &message, None)?;
    sys::need_sockets(args.connections)?;
    let (meter, buffers) = (Meter::start(common, &args.end, 1)?, Buffers::new(args.size));
    let mut io = Io { ring, meter, poll: Poll::new()?, buffers };
    let opener = Opener::new(common, "/echo", None)?;
    let mut load = Connect { common, opener, sessions: Vec::new(), begun: 0, unclosed: 0, checked: 0 };
    for slot in 0..args.connections {
        let session = load.begin(slot, &io)?;
        load.sessions.push(session);
    }
    io.drive(&mut load, common.stall)?;
    let report = io.meter.report("connect", common, &io.ring);
    let note = match load.unclosed {
        0 => String::new(),
        n => format!("the server did not end {n} connections within a second of Close"),
    };
    Ok(Report { connections: args.connections, in_flight: 1, note, ..report })
}

impl Load for Connect<'_> {
    fn serve(&mut self, event: Ready, io: &mut Io) -> Result<(), Error> {
        let session = std::mem::replace(&mut self.sessions[event.key], Session::Empty);
        match self.advance(session, event, io)? {
            Some(session) => self.sessions[event.key] = session,
            None => self.end(event.key, io)?,
        }
        Ok(())
    }

    /// Ends connections that the server did not end in time.
    fn after_batch(&mut self, io: &mut Io) -> Result<(), Error> {
        let now = io.meter.now();
        if now - self.checked < LINGER / 10 {
            return Ok(());
        }
        self.checked = now;
        for slot in 0..self.sessions.len() {
            if matches!(self.sessions[slot], Session::Closing { since, .. } if now.saturating_sub(since) > LINGER)
            {
                self.unclosed += 1;
                self.end(slot, io)?;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.sessions.iter().all(|session| matches!(session, Session::Empty))
    }

    fn missing(&self) -> String {
        let stage = self.sessions.iter().find_map(|session| match session {
            Session::Connecting(_) => Some("connect"),
            Session::ShakingHands(_) => Some("receive the handshake response"),
            Session::Echo(_) => Some("receive its message"),
            Session::Closing { .. } => Some("close"),
            Session::Empty => None,
        });
        format!("a connection waits to {}", stage.unwrap_or_default())
    }
}

impl Connect<'_> {
    /// Starts a connection in this slot, unless the load is over.
    fn begin(&mut self, slot: usize, io: &Io) -> Result<Session, Error> {
        if io.meter.is_over() || self.begun >= MAX_TOTAL {
            return Ok(Session::Empty);
        }
        self.begun += 1;
        let started = io.meter.now();
        let socket = self.opener.socket(None)?;
        socket.set_nonblocking(true).map_err(|e| Error::io("O_NONBLOCK", e))?;
        match socket.connect(&self.common.target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(Error::io(format!("connecting to {}", self.common.target), error)),
        }
        let socket = TcpStream::from(socket);
        io.poll.add(&socket, slot)?;
        Ok(Session::Connecting(Opening {
            socket,
            pending: self.opener.pending.clone(),
            input: Vec::new(),
            started,
        }))
    }

    /// Counts a connection and starts the next one in its slot.
    fn end(&mut self, slot: usize, io: &mut Io) -> Result<(), Error> {
        io.meter.count(1);
        self.sessions[slot] = self.begin(slot, io)?;
        Ok(())
    }

    /// Drives a connection as far as its socket allows. Returns `None` at its end.
    fn advance(&mut self, session: Session, event: Ready, io: &mut Io) -> Result<Option<Session>, Error> {
        Ok(Some(match session {
            Session::Connecting(opening) => {
                let target = self.common.target;
                if let Some(error) = opening.socket.take_error().map_err(|e| Error::io("SO_ERROR", e))? {
                    return Err(Error::io(format!("connecting to {target}"), error));
                }
                if !event.writable {
                    return Ok(Some(Session::Connecting(opening)));
                }
                // An empty socket buffer accepts the request whole.
                (&opening.socket)
                    .write_all(&self.opener.request)
                    .map_err(|e| Error::io("sending the opening handshake", e))?;
                io.meter.sent(self.opener.request.len());
                Session::ShakingHands(opening)
            }
            Session::ShakingHands(opening) => self.shake_hands(opening, event, io)?,
            Session::Echo(mut client) => {
                client.receive(event, io)?;
                if client.received() == 0 {
                    return Ok(Some(Session::Echo(client)));
                }
                io.meter.sent(client.close(&io.ring)?);
                Session::Closing { client, since: io.meter.now() }
            }
            Session::Closing { mut client, since } => {
                if client.receive(event, io)?.ended {
                    return Ok(None);
                }
                Session::Closing { client, since }
            }
            Session::Empty => Session::Empty,
        }))
    }

    /// Reads the response, and then sends the message.
    fn shake_hands(&self, mut opening: Opening, event: Ready, io: &mut Io) -> Result<Session, Error> {
        let mut part = [0; 1024];
        loop {
            match (&opening.socket).read(&mut part) {
                Ok(0) => return Err(Error::Closed(event.key, None)),
                Ok(n) => {
                    opening.input.extend_from_slice(&part[..n]);
                    io.meter.received(n, 0);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Session::ShakingHands(opening));
                }
                Err(error) => return Err(Error::io("reading the handshake response", error)),
            }
            if let Some(established) = handshake::check(&mut opening.pending, &opening.input)? {
                io.meter.latency(io.meter.now() - opening.started, 1);
                let early = established.consumed;
                let mut client = self.opener.client(opening.socket, event.key, &established);
                client.decode(Input::Lent(&mut opening.input[early..]), &io.ring, &Pool::default())?;
                io.meter.sent(client.send(1, &io.ring)?);
                return Ok(Session::Echo(client));
            }
        }
    }
}
