//! The rules of a connection's life, without sockets and with a clock that the test turns.

mod beside;
mod closing;
mod deciding;
mod expecting;
mod failures;
mod hixie_75;
mod memory;
mod opening;
mod pausing;
mod reading;
mod stopping;
mod the_end_of_input;

use std::num::NonZeroUsize;
use std::sync::{LazyLock, Mutex};

use crate::task_waker::TaskWaker;
use clws_handshake::client::ClientRequest;
use clws_handshake::{HandshakeLimits, Version};
use clws_proto::{Event, Limits, Role, Sender};

use super::*;
use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::config::Config;
use crate::config::address::Peer;
use crate::connection::context::Context;
use crate::connection::share::Share;
use crate::driver::drive::{self, Io, Read, Settled};
use crate::driver::state::DriverState;
use crate::resource::Resource;
use crate::resource::accept::Accept;
use crate::resource::decision::Decision;
use crate::resource::opening::Opening;
use crate::time::{now, virtual_clock};
use crate::wake::WakeTargetRef;
use crate::{Origins, Payload, Text};
use clws_handshake::Reject;
use clws_proto::{CloseCode, Input};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// What the peer of a connection sees, octet by octet, and what its resource is told.
struct Harness {
    shared: Arc<DriverState>,
    now: Instant,
    connection: Connection,
    resource: Arc<Recorder>,
    /// What came out and was not looked at.
    out: Vec<u8>,
    /// So much more goes out before the socket is full.
    room: usize,
    deadline: Option<Instant>,
    shut: bool,
    dropped: bool,
    client: clws_proto::Receiver,
}

/// Writes down what it is told, and does what it is told to.
#[derive(Default)]
struct Recorder {
    lines: Mutex<Vec<String>>,
    client: Mutex<Option<Client>>,
    decision: Mutex<Option<Decision>>,
}

impl Recorder {
    fn line(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }

    fn client(&self) -> Client {
        self.client.lock().unwrap().clone().unwrap()
    }
}

impl Resource for Recorder {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        match opening.query_string() {
            Some("forbidden") => Err(Reject::forbidden("not you")),
            Some("panic-accept") => panic!("in accept"),
            Some("later") => {
                let (accept, decision) = Accept::later();
                *self.decision.lock().unwrap() = Some(decision);
                Ok(accept)
            }
            Some("not-offered") => Ok(Accept::new().subprotocol("chat")),
            _ => Ok(Accept::new()),
        }
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.line("connected");
        *self.client.lock().unwrap() = Some(client.clone());
        match client.query_string() {
            Some("refuse") => Err(Close::new(CloseCode::new(4000), "go")),
            Some("refuse-badly") => Err(Close::new(CloseCode::NO_STATUS, "")),
            Some("refuse-at-length") => Err(Close::new(CloseCode::POLICY, "x".repeat(124))),
            Some("panic-connected") => panic!("in connected"),
            Some("pause") => {
                client.pause();
                Ok(())
            }
            Some("greet") => {
                client.send_text("hello").unwrap();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.line(format!("text {text}"));
        match text.as_str() {
            "panic" => panic!("in text"),
            "close" => client.close((CloseCode::NORMAL, "enough")),
            "abort" => client.abort(),
            "pause" => {
                client.pause();
                client.send_text("pause").unwrap();
            }
            text => drop(client.send_text(text)),
        }
    }

    fn binary(&self, _: &Client, payload: Payload<'_>) {
        self.line(format!("binary {}", payload.len()));
    }

    fn pong(&self, _: &Client, payload: Payload<'_>) {
        self.line(format!("pong {}", payload.len()));
    }

    fn drained(&self, _: &Client) {
        self.line("drained");
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        assert!(!client.is_open());
        assert_eq!(client.send_text("too late"), Err(crate::client::outcome::SendError::Closed));
        let undelivered = match end.undelivered {
            0 => String::new(),
            count => format!(", {count} undelivered"),
        };
        self.line(format!("disconnected {} {:?}: {}{undelivered}", end.code, end.reason, end.cause));
        if client.query_string() == Some("panic-disconnected") {
            panic!("in disconnected");
        }
    }
}

/// What the client's side reads.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Text(String),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl Harness {
    fn new(config: Config) -> Self {
        let shared = DriverState::new(config.protocol_76_00_support(true).protocol_75_support(true));
        let resource = Arc::new(Recorder::default());
        shared.resources.register_shared("/", Origins::any(), resource.clone()).unwrap();
        let panics = Origins::closure(|_| panic!("in the origin rule"));
        shared.resources.register_shared("/origin-panics", panics, resource.clone()).unwrap();
        let now = Instant::now();
        virtual_clock::set(Some(now));
        let connection = Connection::new(Peer::Stream, &context(&shared));
        let client = clws_proto::Receiver::new(Version::Rfc6455, Role::Client, Limits::default());
        let mut harness = Self {
            shared,
            now,
            connection,
            resource,
            out: Vec::new(),
            room: usize::MAX,
            deadline: None,
            shut: false,
            dropped: false,
            client,
        };
        harness.drive();
        harness
    }

    /// Past the opening handshake.
    fn open(version: Version, target: &str) -> Self {
        Self::with(Config::default(), version, target)
    }

    fn with(config: Config, version: Version, target: &str) -> Self {
        let mut harness = Self::new(config);
        harness.send(&request(version, target));
        harness.expect_101();
        harness.client = clws_proto::Receiver::new(version, Role::Client, Limits::default());
        harness
    }

    fn expect_101(&mut self) {
        let answer = String::from_utf8_lossy(&self.out).into_owned();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let head = answer.find("\r\n\r\n").unwrap() + 4;
        let digest = if answer.contains("Sec-WebSocket-Location") { 16 } else { 0 };
        self.out.drain(..head + digest);
    }

    fn send(&mut self, octets: &[u8]) {
        let context = context(&self.shared);
        self.connection.handle_input(Input::Lent(&mut octets.to_vec()), &mut Share::new(now), &context);
        self.drive();
    }

    fn end_of_input(&mut self) {
        let context = context(&self.shared);
        self.connection.end_of_input(&context);
        self.drive();
    }

    /// Turns the clock.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        virtual_clock::set(Some(self.now));
        if self.deadline.is_some_and(|at| at <= self.now) {
            self.deadline = None;
            let context = context(&self.shared);
            self.connection.handle_timeout(&context);
        }
        self.drive();
    }

    /// Does what a driver does after each event.
    fn drive(&mut self) {
        let context = context(&self.shared);
        loop {
            let (out, room) = (&mut self.out, &mut self.room);
            let mut io = TestIo { out, room, shut: &mut self.shut };
            let settled = drive::settle(&mut self.connection, &mut io, &context);
            match settled {
                Settled::Wait(Some(at)) => self.deadline = Some(at),
                Settled::Wait(None) => {}
                Settled::Drop => self.dropped = true,
            }
            if !self.connection.can_continue() {
                break;
            }
            drive::receive(&mut self.connection, &mut io, &mut Share::new(now), &context);
        }
    }

    /// What the client read since it looked last.
    fn got(&mut self) -> Vec<Got> {
        let mut got = Vec::new();
        let mut events = self.client.receive(&mut self.out);
        while let Some(event) = events.next().unwrap() {
            got.push(match event {
                Event::Text(text) => Got::Text(text.into_string()),
                Event::Pong(payload) => Got::Pong(payload.into_vec()),
                Event::Close(frame) => {
                    Got::Close(frame.map(|frame| (frame.code.value(), frame.reason.to_owned())))
                }
                event => panic!("{event:?}"),
            });
        }
        drop(events);
        self.out.clear();
        got
    }

    /// The status of the answer that came in place of a connection.
    fn refusal(&mut self) -> u16 {
        let answer = String::from_utf8(std::mem::take(&mut self.out)).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[track_caller]
    fn recorder(&self, lines: &[&str]) {
        assert_eq!(self.resource.take(), lines);
    }
}

/// A socket that takes as many bytes as there is room, and has no input.
struct TestIo<'a> {
    out: &'a mut Vec<u8>,
    room: &'a mut usize,
    shut: &'a mut bool,
}

impl Io for TestIo<'_> {
    fn may_read(&mut self, _: &Connection) -> bool {
        false
    }

    fn read(&mut self, _: &mut Connection, _: &Context<'_>) -> Read<'_> {
        Read::Nothing
    }

    fn handled(&mut self, _: &Connection) {}

    fn transmit(&mut self, connection: &mut Connection) -> io::Result<()> {
        let all = connection.transmit(&mut |slices| {
            let bytes = slices.iter().flat_map(|slice| slice.iter()).copied();
            let before = self.out.len();
            self.out.extend(bytes.take(*self.room));
            let written = self.out.len() - before;
            *self.room -= written;
            if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
        })?;
        assert_eq!(all, connection.queued() == 0);
        Ok(())
    }

    fn write_failed(&mut self) {}

    fn shutdown_write(&mut self) {
        assert!(!std::mem::replace(self.shut, true), "only once");
    }

    fn is_broken(&mut self, _: &Connection) -> bool {
        false
    }
}

fn context(shared: &Arc<DriverState>) -> Context<'_> {
    static WAKER: LazyLock<Arc<TaskWaker>> = LazyLock::new(Arc::default);
    shared.connection_context(WakeTargetRef::Stream(&WAKER))
}

fn request(version: Version, target: &str) -> Vec<u8> {
    let url = format!("ws://server{target}");
    let request = ClientRequest::new(version, &url).origin("http://here");
    request.build(&mut |octets: &mut [u8]| octets.fill(0x5A)).unwrap().0
}

/// Frames as a client of that version writes them.
fn frames(version: Version, write: impl FnOnce(&mut Sender)) -> Vec<u8> {
    let mut sender = Sender::client(version, || [1, 2, 3, 4]);
    write(&mut sender);
    let mut octets = Vec::new();
    sender.write_to(&mut octets).unwrap();
    octets
}

fn text(text: &str) -> Vec<u8> {
    frames(Version::Rfc6455, |sender| sender.text(text, None).unwrap())
}

fn close(code: CloseCode, reason: &str) -> Vec<u8> {
    frames(Version::Rfc6455, |sender| sender.close(code, reason).unwrap())
}

/// The shard's slab has one of these for each connection.
#[test]
#[cfg(target_pointer_width = "64")]
fn sizes() {
    assert!(size_of::<Connection>() <= 72, "{}", size_of::<Connection>());
}
