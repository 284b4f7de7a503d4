//! `connect`: connects, shakes hands, echoes one message and closes, with a few connections at a
//! time.
//!
//! The client sends Close and waits until the server answers and ends the TCP connection. RFC 6455
//! §7.1.1: the server should end it first. After a second without an end the client hangs up, and
//! the report notes it.
//!
//! With TLS, each connection has a full TLS handshake, or with `--resume` a resumed one.

use std::io::ErrorKind;
use std::net::TcpStream;

use clws_handshake::client::Pending;
use clws_proto::Input;

use super::args::{Common, ConnectArgs, MessageArgs};
use super::client::{Buffers, Client, Pool};
use super::drive::{Io, Load, Poll, Ready};
use super::error::Error;
use super::handshake::{self, Opener};
use super::link::Link;
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
    Connecting {
        socket: TcpStream,
        started: u64,
    },
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
    link: Link,
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
    /// The number of connections with a handshake, the number of these that resumed a TLS session,
    /// and the properties of TLS.
    established: u64,
    resumed: u64,
    tls: String,
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
    let opener = Opener::resuming(common, "/echo", None, if args.resume { args.connections } else { 0 })?;
    let mut load = Connect {
        common,
        opener,
        sessions: Vec::new(),
        begun: 0,
        unclosed: 0,
        established: 0,
        resumed: 0,
        tls: String::new(),
        checked: 0,
    };
    for slot in 0..args.connections {
        let session = load.begin(slot, &io)?;
        load.sessions.push(session);
    }
    io.drive(&mut load, common.stall)?;
    let report = io.meter.report("connect", common, &io.ring);
    let (all, resumed) = (load.established, load.resumed);
    // The first connection of each slot has no session to resume. Some servers send no new ticket
    // on a connection that was resumed with an earlier one.
    if args.resume && resumed < all.saturating_sub(args.connections as u64) / 2 {
        return Err(Error::Handshake(format!("the server resumed only {resumed} of {all} TLS sessions")));
    }
    let mut notes = Vec::new();
    if common.tls.tls {
        notes.push(format!("{}, {resumed} of {all} sessions resumed", load.tls));
    }
    if load.unclosed > 0 {
        notes.push(format!("the server did not end {} connections within a second of Close", load.unclosed));
    }
    #[expect(clippy::cast_precision_loss, reason = "display only")]
    let share = common.tls.tls.then(|| resumed as f64 / all.max(1) as f64);
    let note = notes.join("; ");
    Ok(Report { connections: args.connections, in_flight: 1, resumed: share, note, ..report })
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
            Session::Connecting { .. } => Some("connect"),
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
        Ok(Session::Connecting { socket, started })
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
            Session::Connecting { socket, started } => {
                let target = self.common.target;
                if let Some(error) = socket.take_error().map_err(|e| Error::io("SO_ERROR", e))? {
                    return Err(Error::io(format!("connecting to {target}"), error));
                }
                if !event.writable {
                    return Ok(Some(Session::Connecting { socket, started }));
                }
                let (link, size) = self.opener.request(socket, event.key)?;
                io.meter.sent(size);
                let pending = self.opener.pending.clone();
                Session::ShakingHands(Opening { link, pending, input: Vec::new(), started })
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
    fn shake_hands(&mut self, mut opening: Opening, event: Ready, io: &mut Io) -> Result<Session, Error> {
        let mut part = [0; 1024];
        loop {
            match opening.link.read(&mut part) {
                Ok(read) if read.ended => return Err(Error::Closed(event.key, None)),
                Ok(read) => {
                    opening.input.extend_from_slice(&part[..read.bytes]);
                    io.meter.received(read.bytes, 0);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Session::ShakingHands(opening));
                }
                Err(error) => return Err(Error::io("reading the handshake response", error)),
            }
            if let Some(established) = handshake::check(&mut opening.pending, &opening.input)? {
                io.meter.latency(io.meter.now() - opening.started, 1);
                self.established += 1;
                self.resumed += u64::from(opening.link.is_resumed());
                if self.tls.is_empty() {
                    self.tls = opening.link.tls();
                }
                let early = established.consumed;
                let mut client = self.opener.client(opening.link, event.key, &established);
                client.decode(Input::Lent(&mut opening.input[early..]), &io.ring, &Pool::default())?;
                io.meter.sent(client.send(1, &io.ring)?);
                return Ok(Session::Echo(client));
            }
        }
    }
}
