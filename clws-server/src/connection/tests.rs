//! Tests of a connection's life, without sockets and with a clock that the test advances.

mod closing;
mod decisions;
mod displaced;
mod draining;
mod end_of_input;
mod expect_continue;
mod failures;
mod hixie_75;
mod keep_alive;
mod keepalive;
mod many_frames;
mod memory;
mod opening;
mod pausing;
mod plain_http;
mod rates;
mod silence;
mod slow_policies;
mod stats;
mod stopping;
mod write_timeout;

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
use crate::resource::accept::Accept;
use crate::resource::decision::Decision;
use crate::resource::opening::Opening;
use crate::resource::{CloseTime, Resource};
use crate::stats::counters::Counters;
use crate::stats::kinds::HandshakeOutcome;
use crate::time::{now, virtual_clock};
use crate::wake::WakeTargetRef;
use clws_handshake::Origins;
use clws_handshake::Reject;
use clws_proto::{CloseCode, Input};
use clws_proto::{Payload, Text};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A connection, its peer and its resource. The peer exchanges bytes with the connection.
struct Harness {
    shared: Arc<DriverState>,
    now: Instant,
    connection: Connection,
    resource: Arc<Recorder>,
    /// Output that the test has not taken yet.
    out: Vec<u8>,
    /// The space that is left in the socket.
    space: usize,
    /// Whether writes fail.
    is_reset: bool,
    deadline: Option<Instant>,
    shut: bool,
    dropped: bool,
    client: clws_proto::Receiver,
}

/// Records its calls. The query string and the texts are commands for it.
#[derive(Default)]
struct Recorder {
    calls: Mutex<Vec<String>>,
    client: Mutex<Option<Client>>,
    decision: Mutex<Option<Decision>>,
}

impl Recorder {
    fn record(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
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
        self.record("connected");
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
        self.record(format!("text {text}"));
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
        self.record(format!("binary {}", payload.len()));
    }

    fn pong(&self, _: &Client, payload: Payload<'_>) {
        self.record(format!("pong {}", payload.len()));
    }

    fn drained(&self, _: &Client) {
        self.record("drained");
    }

    fn draining(&self, client: &Client) -> CloseTime {
        self.record("draining");
        if client.query_string() == Some("panic-draining") {
            panic!("in draining");
        }
        client.send_text("last words").unwrap();
        CloseTime::Now
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        assert!(!client.is_open());
        assert_eq!(client.send_text("too late"), Err(crate::client::outcome::SendError::Closed));
        let undelivered = match end.undelivered {
            0 => String::new(),
            count => format!(", {count} undelivered"),
        };
        self.record(format!("disconnected {} {:?}: {}{undelivered}", end.code, end.reason, end.cause));
        if client.query_string() == Some("panic-disconnected") {
            panic!("in disconnected");
        }
    }
}

/// A received item on the client's side.
#[derive(Debug, PartialEq, Eq)]
enum Received {
    Text(String),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl Harness {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        virtual_clock::set(Some(now));
        let shared = DriverState::new(config.protocol_76_00_support(true).protocol_75_support(true));
        let resource = Arc::new(Recorder::default());
        shared.resources.register_shared("/", Origins::any(), resource.clone()).unwrap();
        let panics = Origins::closure(|_| panic!("in the origin rule"));
        shared.resources.register_shared("/origin-panics", panics, resource.clone()).unwrap();
        let connection = Connection::new(Peer::Stream, &context(&shared));
        let client = clws_proto::Receiver::new(Version::Rfc6455, Role::Client, Limits::default());
        let mut harness = Self {
            shared,
            now,
            connection,
            resource,
            out: Vec::new(),
            space: usize::MAX,
            is_reset: false,
            deadline: None,
            shut: false,
            dropped: false,
            client,
        };
        harness.drive();
        harness
    }

    /// Completes the opening handshake.
    fn open(version: Version, target: &str) -> Self {
        Self::with(Config::default(), version, target)
    }

    fn with(config: Config, version: Version, target: &str) -> Self {
        let mut harness = Self::new(config);
        harness.send(&request(version, target));
        harness.take_101();
        harness.client = clws_proto::Receiver::new(version, Role::Client, Limits::default());
        harness
    }

    fn take_101(&mut self) {
        let answer = String::from_utf8_lossy(&self.out).into_owned();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let head = answer.find("\r\n\r\n").unwrap() + 4;
        let digest = if answer.contains("Sec-WebSocket-Location") { 16 } else { 0 };
        self.out.drain(..head + digest);
    }

    fn send(&mut self, bytes: &[u8]) {
        let context = context(&self.shared);
        self.connection.handle_input(Input::Lent(&mut bytes.to_vec()), &mut Share::new(now), &context);
        self.drive();
    }

    fn end_of_input(&mut self) {
        let context = context(&self.shared);
        self.connection.end_of_input(&context);
        self.drive();
    }

    /// Advances the clock.
    fn advance(&mut self, time: Duration) {
        self.now += time;
        virtual_clock::set(Some(self.now));
        if self.deadline.is_some_and(|at| at <= self.now) {
            self.deadline = None;
            let context = context(&self.shared);
            self.connection.handle_timeout(&context);
        }
        self.drive();
    }

    /// Does the work of a driver after each event.
    fn drive(&mut self) {
        let context = context(&self.shared);
        loop {
            let (out, space) = (&mut self.out, &mut self.space);
            let mut io = TestIo { out, space, is_reset: self.is_reset, shut: &mut self.shut };
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

    /// Takes the items that the client has received.
    fn received(&mut self) -> Vec<Received> {
        let mut received = Vec::new();
        let mut events = self.client.receive(&mut self.out);
        while let Some(event) = events.next().unwrap() {
            received.push(match event {
                Event::Text(text) => Received::Text(text.into_string()),
                Event::Pong(payload) => Received::Pong(payload.into_vec()),
                Event::Close(frame) => {
                    Received::Close(frame.map(|frame| (frame.code.value(), frame.reason.to_owned())))
                }
                event => panic!("{event:?}"),
            });
        }
        drop(events);
        self.out.clear();
        received
    }

    /// Takes the status of an answer that refuses the connection.
    fn take_refusal_status(&mut self) -> u16 {
        let answer = String::from_utf8(std::mem::take(&mut self.out)).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[track_caller]
    fn expect_calls(&self, calls: &[&str]) {
        assert_eq!(self.resource.take(), calls);
    }
}

/// A socket that takes as many bytes as there is space, and has no input.
struct TestIo<'a> {
    out: &'a mut Vec<u8>,
    space: &'a mut usize,
    is_reset: bool,
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

    fn transmit(&mut self, connection: &mut Connection, counters: &Counters) -> io::Result<()> {
        let mut sent = 0;
        let all = connection.transmit(&mut |slices| {
            if self.is_reset {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let bytes = slices.iter().flat_map(|slice| slice.iter()).copied();
            let before = self.out.len();
            self.out.extend(bytes.take(*self.space));
            let written = self.out.len() - before;
            *self.space -= written;
            sent += written;
            if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
        });
        counters.note_written(sent);
        let all = all?;
        assert_eq!(all, connection.queued() == 0);
        Ok(())
    }

    fn write_failed(&mut self) {}

    fn shutdown_write(&mut self) {
        assert!(!std::mem::replace(self.shut, true), "shut down twice");
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
    request.build(&mut |bytes: &mut [u8]| bytes.fill(0x5A)).unwrap().0
}

/// The bytes of frames from a client.
fn frames(version: Version, write: impl FnOnce(&mut Sender)) -> Vec<u8> {
    let mut sender = Sender::client(version, || [1, 2, 3, 4]);
    write(&mut sender);
    let mut bytes = Vec::new();
    sender.write_to(&mut bytes).unwrap();
    bytes
}

fn text(text: &str) -> Vec<u8> {
    frames(Version::Rfc6455, |sender| sender.text(text, None).unwrap())
}

fn close(code: CloseCode, reason: &str) -> Vec<u8> {
    frames(Version::Rfc6455, |sender| sender.close(code, reason).unwrap())
}

/// The shard's slab holds one of these per connection.
#[test]
#[cfg(target_pointer_width = "64")]
fn sizes() {
    assert!(size_of::<Connection>() <= 72, "{}", size_of::<Connection>());
}
