//! The rules of a connection's life, without sockets and with a clock that the test turns.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use clws_handshake::Caps;
use clws_handshake::client::ClientRequest;
use clws_proto::Limits;
use futures::task::AtomicWaker;

use super::*;
use crate::{Accept, Config, Origins, Payload, Refuse, Resource, Text};

const SECOND: Duration = Duration::from_secs(1);

/// What the peer of a session sees, octet by octet, and what its resource is told.
struct World {
    shared: Arc<Shared>,
    now: Instant,
    session: Session,
    resource: Arc<Diary>,
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
struct Diary {
    lines: Mutex<Vec<String>>,
    client: Mutex<Option<Client>>,
}

impl Diary {
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

impl Resource for Diary {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        match opening.query_string() {
            Some("forbidden") => Err(Reject::forbidden("not you")),
            Some("panic-accept") => panic!("in accept"),
            Some("not-offered") => Ok(Accept::new().subprotocol("chat")),
            _ => Ok(Accept::new()),
        }
    }

    fn connected(&self, client: &Client) -> Result<(), Refuse> {
        self.line("connected");
        *self.client.lock().unwrap() = Some(client.clone());
        match client.query_string() {
            Some("refuse") => Err(Refuse::new(CloseCode::new(4000), "go")),
            Some("refuse-badly") => Err(Refuse::new(CloseCode::NO_STATUS, "")),
            Some("refuse-at-length") => Err(Refuse::new(CloseCode::POLICY, "x".repeat(124))),
            Some("panic-connected") => panic!("in connected"),
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
            "close" => client.close(CloseCode::NORMAL, "enough").unwrap(),
            "abort" => client.abort(),
            text => drop(client.send_text(text)),
        }
    }

    fn binary(&self, _: &Client, payload: Payload<'_>) {
        self.line(format!("binary {}", payload.len()));
    }

    fn pong(&self, _: &Client, payload: Payload<'_>) {
        self.line(format!("pong {}", payload.len()));
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        assert!(!client.is_open());
        assert_eq!(client.send_text("too late"), Err(crate::SendError::Closed));
        self.line(format!("disconnected {} {:?}: {}", end.code, end.reason, end.cause));
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

impl World {
    fn new(config: Config) -> Self {
        let shared = Arc::new(Shared::new(config.protocol_76_00_support(true)));
        let resource = Arc::new(Diary::default());
        shared.resources.register_shared("/", Origins::any(), resource.clone()).unwrap();
        let panics = Origins::closure(|_| panic!("in the origin rule"));
        shared.resources.register_shared("/origin-panics", panics, resource.clone()).unwrap();
        let now = Instant::now();
        let session = Session::new(Peer::Stream, &context(&shared, now));
        let client = clws_proto::Receiver::new(Version::Rfc6455, Role::Client, Limits::default());
        let mut world = Self {
            shared,
            now,
            session,
            resource,
            out: Vec::new(),
            room: usize::MAX,
            deadline: None,
            shut: false,
            dropped: false,
            client,
        };
        world.settle();
        world
    }

    /// Past the opening handshake.
    fn open(version: Version, target: &str) -> Self {
        let mut world = Self::new(Config::default());
        world.send(&request(version, target));
        world.expect_101();
        world.client = clws_proto::Receiver::new(version, Role::Client, Limits::default());
        world
    }

    fn expect_101(&mut self) {
        let answer = String::from_utf8_lossy(&self.out).into_owned();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let head = answer.find("\r\n\r\n").unwrap() + 4;
        let digest = if answer.contains("Location") { 16 } else { 0 };
        self.out.drain(..head + digest);
    }

    fn send(&mut self, octets: &[u8]) {
        let context = context(&self.shared, self.now);
        self.session.receive(&mut octets.to_vec(), &context);
        self.settle();
    }

    fn end_of_input(&mut self) {
        let context = context(&self.shared, self.now);
        self.session.end_of_input(&context);
        self.settle();
    }

    /// Turns the clock.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.deadline.is_some_and(|at| at <= self.now) {
            self.deadline = None;
            let context = context(&self.shared, self.now);
            self.session.timed_out(&context);
        }
        self.settle();
    }

    /// What a driver does after everything that happened.
    fn settle(&mut self) {
        let context = context(&self.shared, self.now);
        let (out, room) = (&mut self.out, &mut self.room);
        let all = self.session.flush(&mut |slices| {
            let octets = slices.iter().flat_map(|slice| slice.iter()).copied();
            let before = out.len();
            out.extend(octets.take(*room));
            let written = out.len() - before;
            *room -= written;
            if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
        });
        assert_eq!(all.unwrap(), self.session.queued() == 0);
        match self.session.next(&context) {
            Next::Wait => {}
            Next::ShutdownWrite => {
                assert!(!self.shut, "only once");
                self.shut = true;
            }
            Next::Drop => self.dropped = true,
        }
        if let Some(at) = self.session.new_deadline() {
            self.deadline = Some(at);
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
    fn diary(&self, lines: &[&str]) {
        assert_eq!(self.resource.take(), lines);
    }
}

fn context(shared: &Arc<Shared>, now: Instant) -> Context<'_> {
    Context { shared, home: Home::Stream(Arc::new(AtomicWaker::new())), now }
}

fn request(version: Version, target: &str) -> Vec<u8> {
    let url = format!("ws://server{target}");
    let request = ClientRequest::new(version, &url).with_origin("http://here");
    request.build(&mut |octets: &mut [u8]| octets.fill(0x5A)).unwrap().0
}

/// Frames as a client of that version writes them.
fn frames(version: Version, write: impl FnOnce(&mut Sender)) -> Vec<u8> {
    let mut sender = Sender::client(version, || [1, 2, 3, 4]);
    write(&mut sender);
    let mut octets = Vec::new();
    while sender.queued() > 0 {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = sender.io_slices(&mut slices);
        let before = octets.len();
        slices[..filled].iter().for_each(|slice| octets.extend_from_slice(slice));
        sender.consume(octets.len() - before);
    }
    octets
}

fn text(text: &str) -> Vec<u8> {
    frames(Version::Rfc6455, |sender| sender.text(text, None).unwrap())
}

fn close(code: CloseCode, reason: &str) -> Vec<u8> {
    frames(Version::Rfc6455, |sender| sender.close(code, reason).unwrap())
}

const ALL: [Version; 4] = [Version::Hybi00, Version::Hybi07, Version::Hybi08, Version::Rfc6455];

mod opening {
    use super::*;

    #[test]
    fn comes_octet_by_octet_in_every_version() {
        for version in ALL {
            let mut world = World::new(Config::default());
            for octet in request(version, "/?greet") {
                assert!(world.out.is_empty());
                world.send(&[octet]);
            }
            world.expect_101();
            world.client = clws_proto::Receiver::new(version, Role::Client, Limits::default());
            assert_eq!(world.got(), [Got::Text("hello".into())], "{version}");
            world.diary(&["connected"]);
            assert_eq!(world.resource.client().websocket_version(), version);
        }
    }

    #[test]
    fn draft_0_key_octets_may_come_late() {
        let request = request(Version::Hybi00, "/");
        let mut world = World::new(Config::default());
        world.send(&request[..request.len() - 8]);
        world.send(&request[request.len() - 8..request.len() - 1]);
        assert!(world.out.is_empty());
        world.diary(&[]);
        // The last of them, and a message right behind.
        world.send(&[&request[request.len() - 1..], b"\0hi\xFF"].concat());
        world.expect_101();
        world.diary(&["connected", "text hi"]);
        assert_eq!(world.out, b"\0hi\xFF");
    }

    #[test]
    fn messages_behind_the_request_are_not_lost() {
        for (cut, version) in [(0, Version::Rfc6455), (40, Version::Rfc6455), (0, Version::Hybi00)] {
            let early = frames(version, |sender| {
                sender.text("one", None).unwrap();
                sender.text("two", None).unwrap();
            });
            let all = [request(version, "/"), early].concat();
            let mut world = World::new(Config::default());
            world.send(&all[..cut]);
            world.send(&all[cut..all.len() - 2]);
            world.send(&all[all.len() - 2..]);
            world.diary(&["connected", "text one", "text two"]);
        }
    }

    #[test]
    fn holds_nothing_until_something_comes_and_never_more_than_the_cap() {
        let mut world = World::new(Config::default().max_header_size(1000));
        let Stage::Handshake(handshake) = &world.session.stage else { panic!() };
        assert_eq!(handshake.received.capacity(), 0);
        world.send(b"GET / HTTP/1.1\r\n");
        for _ in 0..110 {
            world.send(b"a: 345678\r");
            let Stage::Handshake(handshake) = &world.session.stage else { break };
            assert!(handshake.received.capacity() <= 2000);
        }
        assert_eq!(world.refusal(), 431);
    }

    #[test]
    fn that_takes_too_long_gets_408() {
        let mut world = World::new(Config::default().handshake_timeout(3 * SECOND).close_timeout(2 * SECOND));
        world.send(b"GET / HT");
        world.pass(SECOND);
        world.send(b"TP/1.1\r\n");
        world.pass(SECOND * 2 - Duration::from_nanos(1));
        assert!(world.out.is_empty());
        world.pass(Duration::from_nanos(1));
        assert_eq!(world.refusal(), 408);
        assert!(world.shut && !world.dropped);
        // It goes on sending, and is heard no more.
        world.send(b"Host: server\r\n\r\n");
        assert!(world.out.is_empty());
        world.pass(SECOND * 2);
        assert!(world.dropped);
        world.diary(&[]);
    }

    #[test]
    fn that_is_done_has_no_deadline() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.pass(SECOND * 1_000_000);
        world.send(&text("still there"));
        assert_eq!(world.got(), [Got::Text("still there".into())]);
    }

    #[test]
    fn a_time_out_without_end_is_no_panic() {
        let config = Config::default().handshake_timeout(Duration::MAX).close_timeout(Duration::MAX);
        let mut world = World::new(config);
        world.pass(SECOND * 60 * 60 * 24);
        world.send(&request(Version::Rfc6455, "/"));
        world.expect_101();
        world.send(&text("close"));
        world.pass(SECOND * 60 * 60 * 24);
        assert!(!world.dropped);
    }

    #[test]
    fn that_fails_is_answered_and_read_to_its_end() {
        for (octets, status) in [
            (request(Version::Rfc6455, "/none"), 404),
            (request(Version::Rfc6455, "/?forbidden"), 403),
            (request(Version::Rfc6455, "/?panic-accept"), 500),
            (request(Version::Rfc6455, "/?not-offered"), 500),
            (request(Version::Rfc6455, "/origin-panics"), 500),
            (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 405),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 426),
            (b"\x16\x03\x01\x02\x00".to_vec(), 400),
        ] {
            let mut world = World::new(Config::default());
            world.room = 10;
            world.send(&octets);
            assert!(!world.shut, "there is more to write");
            world.room = usize::MAX;
            world.settle();
            assert_eq!(world.refusal(), status);
            // Our side ends; the socket stays until the peer has ended its own, or the answer may be lost.
            assert!(world.shut && !world.dropped);
            world.send(&[0; 100]);
            assert!(!world.dropped && world.out.is_empty());
            world.end_of_input();
            assert!(world.dropped);
            world.diary(&[]);
        }
    }

    #[test]
    fn of_a_client_over_the_number_is_refused_unread() {
        let mut world = World::new(Config::default());
        world.session = Session::refused(&Reject::unavailable(None), &context(&world.shared, world.now));
        world.settle();
        assert_eq!(world.refusal(), 503);
        assert!(world.shut && !world.dropped);
        world.send(&request(Version::Rfc6455, "/"));
        world.diary(&[]);
        world.end_of_input();
        assert!(world.dropped);
    }

    #[test]
    fn refused_right_after_it_is_a_close_frame_and_no_other_call() {
        for (target, close) in [
            ("/?refuse", Some((4000, "go".to_owned()))),
            ("/?refuse-badly", None),
            ("/?refuse-at-length", None),
            ("/?panic-connected", Some((1011, String::new()))),
        ] {
            let mut world = World::open(Version::Rfc6455, target);
            assert_eq!(world.got(), [Got::Close(close)], "{target}");
            assert!(!world.resource.client().is_open());
            world.send(&text("ignored"));
            world.send(&super::close(CloseCode::NORMAL, ""));
            assert!(world.dropped);
            world.diary(&["connected"]);
        }
    }
}

mod closing {
    use super::*;

    #[test]
    fn begun_by_the_client_is_answered_with_its_code() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.send(&[text("a"), close(CloseCode::new(4321), "bye"), text("b")].concat());
        assert_eq!(world.got(), [Got::Text("a".into()), Got::Close(Some((4321, String::new())))]);
        world.diary(&["connected", "text a", "disconnected 4321 \"bye\": closed"]);
        assert!(world.dropped);
    }

    #[test]
    fn without_a_code_is_1005() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.send(&frames(Version::Rfc6455, Sender::close_without_code));
        assert_eq!(world.got(), [Got::Close(None)]);
        world.diary(&["connected", "disconnected 1005 \"\": closed"]);
    }

    #[test]
    fn goes_out_before_the_socket_is_dropped() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.room = 0;
        world.send(&[text("a"), close(CloseCode::NORMAL, "")].concat());
        world.diary(&["connected", "text a", "disconnected 1000 \"\": closed"]);
        assert!(!world.dropped);
        world.room = 4;
        world.settle();
        assert!(!world.dropped);
        world.room = 3;
        world.settle();
        assert_eq!(world.got(), [Got::Text("a".into()), Got::Close(Some((1000, String::new())))]);
        assert!(world.dropped);
    }

    #[test]
    fn to_a_peer_that_does_not_read_is_given_up() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.room = 0;
        world.send(&close(CloseCode::NORMAL, ""));
        world.pass(world.shared.config.close_timeout);
        assert!(world.dropped);
        assert_eq!(world.session.queued(), 0);
        world.diary(&["connected", "disconnected 1000 \"\": closed"]);
    }

    #[test]
    fn begun_here_waits_for_the_answer() {
        for version in ALL {
            let mut world = World::open(version, "/");
            world.send(&frames(version, |sender| {
                sender.text("close", None).unwrap();
                sender.text("after", None).unwrap();
            }));
            let said = (!version.is_hixie()).then(|| (1000, "enough".to_owned()));
            assert_eq!(world.got(), [Got::Close(said)]);
            let client = world.resource.client();
            assert_eq!(client.send_text("x"), Err(crate::SendError::Closed));
            assert_eq!(client.close(CloseCode::NORMAL, ""), Err(crate::SendError::Closed));
            world.pass(SECOND);
            assert!(!world.dropped && !world.shut);
            world.send(&frames(version, |sender| {
                sender.text("still not heard", None).unwrap();
                sender.close(CloseCode::GOING_AWAY, "").unwrap();
            }));
            assert!(world.dropped && world.out.is_empty());
            let code = if version.is_hixie() { 1005 } else { 1001 };
            world.diary(&["connected", "text close", &format!("disconnected {code} \"\": closed")]);
        }
    }

    #[test]
    fn that_nobody_answers_times_out() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.send(&text("close"));
        // Pings and messages of a client that does not close do not delay it.
        world.pass(SECOND * 4);
        world.send(&frames(Version::Rfc6455, |sender| sender.ping(b"").unwrap()));
        assert_eq!(world.got(), [Got::Close(Some((1000, "enough".into())))], "and no pong");
        world.pass(SECOND);
        assert!(world.dropped);
        world.diary(&["connected", "text close", "disconnected 1006 \"\": did not answer a close frame"]);
    }

    #[test]
    fn behind_a_backlog_times_out_too() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.room = 0;
        world.send(&text("backlog"));
        world.resource.client().close(CloseCode::NORMAL, "").unwrap();
        world.settle();
        world.pass(SECOND * 5);
        assert!(world.dropped);
    }

    #[test]
    fn whoever_comes_before_the_deadline_is_told_of_it_again() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.send(&text("close"));
        let at = world.deadline.take().unwrap();
        // A timer that is early, or another connection's that had the same slot.
        let early = at - Duration::from_nanos(1);
        world.session.timed_out(&context(&world.shared, early));
        assert!(!world.dropped);
        assert_eq!(world.session.new_deadline(), Some(at));
        assert_eq!(world.session.new_deadline(), None);
        assert_eq!(world.session.told_deadline(), Some(at));
    }

    #[test]
    fn of_a_protocol_error_drains_what_the_peer_still_sends() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.send(&[&text("a")[..], &[0xF1, 0x80, 1, 2, 3, 4], &text("b")].concat());
        let got = world.got();
        assert_eq!(got[0], Got::Text("a".into()));
        assert!(matches!(&got[1], Got::Close(Some((1002, reason))) if !reason.is_empty()), "{got:?}");
        assert!(world.shut && !world.dropped);
        world.diary(&[
            "connected",
            "text a",
            "disconnected 1006 \"\": broke the protocol: a reserved bit is set",
        ]);
        world.send(&text("c"));
        world.diary(&[]);
        world.end_of_input();
        assert!(world.dropped);
    }

    #[test]
    fn of_a_protocol_error_ends_though_the_peer_does_not() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.send(&[0xFF; 9]);
        assert!(world.shut && !world.dropped);
        world.pass(SECOND * 5);
        assert!(world.dropped);
    }

    #[test]
    fn has_the_code_of_what_went_wrong() {
        let limits = Config::default().max_read_message_size(1000).max_read_frame_size(100).max_fragments(3);
        let fragments = |count: usize| {
            frames(Version::Rfc6455, |sender| {
                sender.binary(&vec![0; count * 10], NonZeroUsize::new(10)).unwrap();
            })
        };
        for (octets, code) in [
            (frames(Version::Rfc6455, |sender| sender.text(&"x".repeat(101), None).unwrap()), 1009),
            (fragments(4), 1008),
            (b"\x81\x82\0\0\0\0\xC3\x28".to_vec(), 1007),
            (b"\x81\x02hi".to_vec(), 1002),
            (b"\x88\x81\0\0\0\0\x03".to_vec(), 1002),
        ] {
            let mut world = World::new(limits.clone());
            world.send(&request(Version::Rfc6455, "/"));
            world.expect_101();
            world.send(&octets);
            assert!(matches!(&world.got()[..], [Got::Close(Some((got, _)))] if *got == code), "{code}");
        }
    }

    #[test]
    fn in_draft_0_may_be_the_end_of_the_stream() {
        let mut world = World::open(Version::Hybi00, "/");
        world.end_of_input();
        assert!(world.dropped);
        world.diary(&["connected", "disconnected 1005 \"\": closed"]);
        // But not amid a message.
        let mut world = World::open(Version::Hybi00, "/");
        world.send(b"\0half");
        world.end_of_input();
        world.diary(&["connected", "disconnected 1006 \"\": vanished"]);
    }
}

mod the_end_of_input {
    use super::*;

    #[test]
    fn before_or_amid_the_request_is_no_event() {
        for sent in [0, 1, 40] {
            let mut world = World::new(Config::default());
            world.send(&request(Version::Rfc6455, "/")[..sent]);
            world.end_of_input();
            assert!(world.dropped && world.out.is_empty());
            world.diary(&[]);
        }
    }

    #[test]
    fn of_an_open_connection_is_abnormal_and_lets_the_backlog_out() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.room = 0;
        world.send(&text("echo me"));
        world.end_of_input();
        world.diary(&["connected", "text echo me", "disconnected 1006 \"\": vanished"]);
        assert!(!world.dropped);
        world.room = usize::MAX;
        world.settle();
        assert_eq!(world.got(), [Got::Text("echo me".into())]);
        assert!(world.dropped);
    }

    #[test]
    fn in_place_of_the_close_frame_is_abnormal() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.send(&text("close"));
        world.end_of_input();
        assert!(world.dropped);
        world.diary(&["connected", "text close", "disconnected 1006 \"\": vanished"]);
    }

    #[test]
    fn before_the_last_octets_are_out_waits_for_them() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.room = 0;
        world.send(&[0xFF; 9]);
        world.end_of_input();
        assert!(!world.dropped);
        world.room = usize::MAX;
        world.settle();
        assert!(world.dropped);
        assert_eq!(world.got().len(), 1);
    }
}

mod failures {
    use super::*;

    #[test]
    fn of_the_socket_are_told_once() {
        let mut world = World::open(Version::Rfc6455, "/");
        let lost = || io::Error::from(io::ErrorKind::ConnectionReset);
        world.session.lost(lost(), &context(&world.shared, world.now));
        world.session.lost(lost(), &context(&world.shared, world.now));
        world.settle();
        assert!(world.dropped);
        let lines = world.resource.take();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].starts_with("disconnected 1006 \"\": failed"), "{lines:?}");
    }

    #[test]
    fn of_a_handler_close_that_client_with_1011() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.send(&[text("a"), text("panic"), text("b")].concat());
        assert_eq!(world.got(), [Got::Text("a".into()), Got::Close(Some((1011, String::new())))]);
        assert!(world.shut && !world.dropped);
        world.diary(&["connected", "text a", "text panic", "disconnected 1006 \"\": a handler panicked"]);
        world.end_of_input();
        assert!(world.dropped);
        world.diary(&[]);
    }

    #[test]
    fn of_the_last_handler_change_nothing() {
        let mut world = World::open(Version::Rfc6455, "/?panic-disconnected");
        world.send(&close(CloseCode::NORMAL, ""));
        assert_eq!(world.got(), [Got::Close(Some((1000, String::new())))]);
        assert!(world.dropped);
        let mut world = World::open(Version::Rfc6455, "/?panic-disconnected");
        world.session.kill();
        world.settle();
        assert!(world.dropped);
        world.diary(&["connected", "disconnected 1006 \"\": the server stopped"]);
    }

    #[test]
    fn a_client_that_is_aborted_goes_at_once() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.send(&[text("a"), text("abort"), text("b")].concat());
        assert!(world.dropped && world.out.is_empty(), "what was queued is lost");
        world.diary(&["connected", "text a", "text abort", "disconnected 1006 \"\": aborted"]);
    }

    #[test]
    fn a_session_that_is_dropped_tells_its_resource() {
        let world = World::open(Version::Rfc6455, "/");
        let client = world.resource.client();
        drop(world.session);
        assert_eq!(world.resource.take(), ["connected", "disconnected 1006 \"\": the server stopped"]);
        assert_eq!(client.send_text("x"), Err(crate::SendError::Closed));
    }
}

mod stopping {
    use super::*;

    #[test]
    fn closes_with_1001_and_waits() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.session.stop();
        world.settle();
        assert_eq!(world.got(), [Got::Close(Some((1001, String::new())))]);
        assert!(!world.dropped);
        world.send(&close(CloseCode::GOING_AWAY, ""));
        assert!(world.dropped);
        world.diary(&["connected", "disconnected 1001 \"\": closed"]);
    }

    #[test]
    fn drops_a_handshake_that_is_not_done() {
        let mut world = World::new(Config::default());
        world.send(b"GET / ");
        world.session.stop();
        world.settle();
        assert!(world.dropped);
    }

    #[test]
    fn leaves_who_is_closing_to_that() {
        let mut world = World::open(Version::Rfc6455, "/");
        world.send(&text("close"));
        world.session.stop();
        world.settle();
        assert_eq!(world.got(), [Got::Close(Some((1000, "enough".into())))]);
        world.session.kill();
        world.settle();
        assert!(world.dropped);
        world.diary(&["connected", "text close", "disconnected 1006 \"\": the server stopped"]);
    }
}

mod memory {
    use super::*;

    #[test]
    fn an_idle_client_holds_no_buffer() {
        let mut world = World::open(Version::Rfc6455, "/");
        for _ in 0..3 {
            world.send(&text(&"x".repeat(5000)));
            world.got();
            let Stage::Open(open) = &world.session.stage else { panic!() };
            assert_eq!(open.receiver.held(), 0);
            assert_eq!(open.client.held(), 0);
        }
    }

    #[test]
    fn a_client_that_is_gone_keeps_nothing_that_is_sent_to_it() {
        let mut world = World::open(Version::Rfc6455, "/");
        let client = world.resource.client();
        world.session.kill();
        for _ in 0..3 {
            assert!(client.send_text("x").is_err());
            assert_eq!(client.held(), 0);
        }
        world.settle();
    }

    #[test]
    fn caps_are_the_configs() {
        let config = Config::default().max_header_size(77).protocol_76_00_support(true);
        assert_eq!(config.caps(), Caps::default().with_max_head_bytes(77).with_hixie(true));
    }
}

/// The shard's slab has one of these for each connection.
#[test]
#[cfg(target_pointer_width = "64")]
fn sizes() {
    assert!(size_of::<Session>() <= 72, "{}", size_of::<Session>());
}
