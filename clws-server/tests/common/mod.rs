//! What the scenarios share: a server on a thread, a blocking client of any version, a resource that tells what it sees.
#![allow(
    dead_code,
    unused_macros,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code; each scenario uses a part"
)]

pub mod alone;
pub mod bomb;
pub mod flood;
pub mod gate;
pub mod memory;
pub mod receivers;
pub mod wire;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clws_handshake::client::{AnswerError, ClientRequest};
use clws_handshake::{HandshakeLimits, Status};
use clws_proto::{Event, Limits, Receiver, Role, Sender};
use clws_server::{
    Client, Close, Config, Disconnect, Listen, Origins, Payload, Resource, Server, ServerHandle, Text,
    Version,
};

/// No wait of these tests is longer; whoever reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Every version. Tests of groups count on this order.
pub const ALL: [Version; 5] =
    [Version::Hybi00, Version::Hybi07, Version::Hybi08, Version::Rfc6455, Version::Hixie75];

/// Those with binary messages, pings and close codes.
pub const HYBI: [Version; 3] = [Version::Hybi07, Version::Hybi08, Version::Rfc6455];

/// Makes two tests of each function that takes a config: one for shards, one for a task per client.
macro_rules! in_both_modes {
    ($($name:ident),* $(,)?) => {
        mod shards {
            $(#[test] fn $name() { super::$name(crate::common::config()); })*
        }
        mod tasks {
            $(#[test] fn $name() { super::$name(crate::common::config().task_per_client(true)); })*
        }
    };
}

/// The same, each test in a process of its own: a deadlock or an abort there is a failed test here.
macro_rules! alone_in_both_modes {
    ($($name:ident),* $(,)?) => {
        mod shards {
            $(#[test] fn $name() {
                crate::common::alone::run(concat!("shards::", stringify!($name)), || {
                    super::$name(crate::common::config());
                });
            })*
        }
        mod tasks {
            $(#[test] fn $name() {
                crate::common::alone::run(concat!("tasks::", stringify!($name)), || {
                    super::$name(crate::common::config().task_per_client(true));
                });
            })*
        }
    };
}

/// Tests without a config, each in a process of its own.
macro_rules! alone {
    ($($name:ident),* $(,)?) => {
        mod alone {
            $(#[test] fn $name() {
                crate::common::alone::run(concat!("alone::", stringify!($name)), || super::$name());
            })*
        }
    };
}

/// Whatever waits for one of these time-outs waits too long.
pub fn config() -> Config {
    let never = 10 * PATIENCE;
    let config = Config::default().protocol_76_00_support(true).protocol_75_support(true).shards(2);
    // So many that the descriptors of any machine suffice: otherwise the server logs a warning.
    config.max_clients(2_000).handshake_timeout(never).close_timeout(never)
}

/// A server that runs on a thread of its own until this is dropped.
pub struct Running {
    pub handle: ServerHandle,
    pub addresses: Vec<Listen>,
    ended: mpsc::Receiver<io::Result<()>>,
}

impl Running {
    /// Serves `resource` behind `/`; on a free port of the loopback if the config names no other address.
    pub fn start(mut config: Config, resource: Arc<dyn Resource>) -> Self {
        if config.listen.is_empty() {
            config = config.listen("127.0.0.1:0");
        }
        let server = Server::bind(config).unwrap();
        server.resources().register_shared("/", Origins::any(), resource).unwrap();
        Self::run(server)
    }

    pub fn run(server: Server) -> Self {
        let (handle, addresses) = (server.handle(), server.local_addrs().unwrap());
        let (done, ended) = mpsc::channel();
        thread::spawn(move || done.send(async_std::task::block_on(server.run())));
        Self { handle, addresses, ended }
    }

    pub fn address(&self) -> SocketAddr {
        match self.addresses[0] {
            Listen::Tcp(address) => address,
            ref other => panic!("{other}"),
        }
    }

    pub fn connect(&self, version: Version, target: &str) -> Peer {
        self.try_connect(version, target).unwrap_or_else(|status| panic!("refused with {status}"))
    }

    /// Connects, or tells the status of the answer.
    pub fn try_connect(&self, version: Version, target: &str) -> Result<Peer, u16> {
        let url = format!("ws://{}{target}", self.address());
        let request = ClientRequest::new(version, &url).origin("http://here.example");
        Peer::open(self.tcp(), version, request)
    }

    pub fn tcp(&self) -> TcpStream {
        tcp(self.address())
    }

    /// Stops it, and waits until it has.
    pub fn stop(&self) -> io::Result<()> {
        self.handle.stop();
        self.wait()
    }

    pub fn wait(&self) -> io::Result<()> {
        self.ended.recv_timeout(PATIENCE).expect("the server ends")
    }

    /// Waits until it counts that many clients.
    #[track_caller]
    pub fn wait_for_clients(&self, number: usize) {
        eventually("the number of clients", || self.handle.clients() == number);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        // One that hangs is a failure, but not a second panic. A test that has failed already does not wait for it.
        let patience = if thread::panicking() { Duration::from_millis(500) } else { PATIENCE };
        let ended = self.ended.recv_timeout(patience);
        if !thread::panicking() && matches!(ended, Err(mpsc::RecvTimeoutError::Timeout)) {
            panic!("the server does not end");
        }
    }
}

pub fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

#[cfg(unix)]
pub fn unix(path: &std::path::Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits for a future that is ready soon.
#[track_caller]
pub fn within<T>(future: impl Future<Output = T>) -> T {
    async_std::task::block_on(async_std::future::timeout(wire::SHORT, future)).expect("not in time")
}

/// Waits for something that comes true soon.
#[track_caller]
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "{what}: not in time");
        thread::sleep(Duration::from_millis(2));
    }
}

/// What comes from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// In hixie-75 this stands for the end of the server's side, and comes before `End`.
    Close(Option<(u16, String)>),
    /// The server has ended its side.
    End,
    /// The connection was reset.
    Reset,
}

pub fn text(text: &str) -> Got {
    Got::Text(text.to_owned())
}

pub trait Stream: Read + Write + Send {
    /// Ends our side, as a client of hixie-75 closes.
    fn end(&mut self) {
        panic!("a stream that cannot be ended");
    }
}

impl Stream for TcpStream {
    fn end(&mut self) {
        let _ = self.shutdown(Shutdown::Write); // a server that has gone already is fine
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    fn end(&mut self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// A blocking client.
pub struct Peer {
    pub stream: Box<dyn Stream>,
    pub sender: Sender,
    pub receiver: Receiver,
    pub headers: Vec<(String, String)>,
    pub subprotocol: Option<String>,
    got: VecDeque<Got>,
    /// `Got::Close` stood for the end.
    closed: bool,
    ended: bool,
}

impl Peer {
    /// Does the opening handshake, or tells the status of the answer.
    pub fn open(
        mut stream: impl Stream + 'static,
        version: Version,
        request: ClientRequest<'_>,
    ) -> Result<Self, u16> {
        let mut seed = 1u8;
        let mut random = |octets: &mut [u8]| {
            for octet in octets {
                seed = seed.wrapping_mul(61).wrapping_add(13);
                *octet = seed;
            }
        };
        let (request, mut pending) = request.build(&mut random).unwrap();
        stream.write_all(&request).unwrap();
        let mut received = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "no answer but {:?}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&buffer[..count]);
            match pending.check(&received, &HandshakeLimits::default()) {
                Ok(Status::Partial) => {}
                Ok(Status::Complete(open)) => {
                    let limits = Limits::default()
                        .with_max_frame_size(usize::MAX)
                        .with_max_message_size(usize::MAX)
                        .with_max_fragments(u32::MAX);
                    let mut peer = Self {
                        stream: Box::new(stream),
                        sender: Sender::client(version, || [0xA5, 0x5A, 0x0F, 0xF0]),
                        receiver: Receiver::new(version, Role::Client, limits),
                        headers: open.headers.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
                        subprotocol: open.subprotocol.map(ToOwned::to_owned),
                        got: VecDeque::new(),
                        closed: false,
                        ended: false,
                    };
                    let consumed = open.consumed;
                    peer.take(&mut received[consumed..]);
                    return Ok(peer);
                }
                Err(AnswerError::Refused { status, .. }) => return Err(status),
                Err(error) => panic!("{error}: {:?}", String::from_utf8_lossy(&received)),
            }
        }
    }

    /// Behind an opening handshake that was done elsewhere.
    pub fn established(stream: impl Stream + 'static, sender: Sender, receiver: Receiver) -> Self {
        let (headers, got) = (Vec::new(), VecDeque::new());
        let (closed, ended) = (false, false);
        Self { stream: Box::new(stream), sender, receiver, headers, subprotocol: None, got, closed, ended }
    }

    pub fn text(&mut self, message: &str) {
        self.send(|sender| sender.text(message, None).unwrap());
    }

    pub fn binary(&mut self, message: &[u8]) {
        self.send(|sender| sender.binary(message, None).unwrap());
    }

    pub fn close(&mut self, code: u16, reason: &str) {
        self.send(|sender| sender.close(code.into(), reason).unwrap());
    }

    /// Queues frames and writes them.
    pub fn send(&mut self, queue: impl FnOnce(&mut Sender)) {
        queue(&mut self.sender);
        while self.sender.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = self.sender.io_slices(&mut slices);
            let written = self.stream.write_vectored(&slices[..filled]).unwrap();
            assert!(written > 0);
            self.sender.consume(written);
        }
        if self.sender.close_sent() && !self.sender.version().has_close_frame() {
            self.stream.end();
        }
    }

    /// Octets as they are, well-formed or not; a server that has gone already is fine.
    pub fn raw(&mut self, octets: &[u8]) {
        let _ = self.stream.write_all(octets);
    }

    /// What comes next.
    #[track_caller]
    pub fn next(&mut self) -> Got {
        loop {
            if let Some(got) = self.got.pop_front() {
                return got;
            }
            assert!(!self.ended, "there is nothing behind the end");
            let mut buffer = vec![0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) if !self.receiver.version().has_close_frame() && !self.closed => {
                    self.closed = true;
                    return Got::Close(None);
                }
                Ok(0) => {
                    self.ended = true;
                    return Got::End;
                }
                Ok(count) => self.take(&mut buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    self.ended = true;
                    return Got::Reset;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Whether one echo comes back.
    #[track_caller]
    pub fn assert_echo(&mut self, message: &str) {
        self.text(message);
        assert_eq!(self.next(), text(message));
    }

    /// Answers the close frame that came, and waits for the end.
    #[track_caller]
    pub fn finish(&mut self) {
        if !self.sender.close_sent() {
            self.send(|sender| sender.answer_close(None));
        }
        assert_eq!(self.next(), Got::End);
    }

    fn take(&mut self, octets: &mut [u8]) {
        let mut events = self.receiver.receive(octets);
        while let Some(event) = events.next().unwrap() {
            self.got.push_back(match event {
                Event::Text(text) => Got::Text(text.into_string()),
                Event::Binary(payload) => Got::Binary(payload.into_vec()),
                Event::Ping(payload) => Got::Ping(payload.into_vec()),
                Event::Pong(payload) => Got::Pong(payload.into_vec()),
                Event::Close(frame) => {
                    Got::Close(frame.map(|frame| (frame.code.value(), frame.reason.to_owned())))
                }
                event => panic!("{event:?}"),
            });
        }
    }
}

/// Reads to the end, or to the reset, whichever comes: what the server said, and whether it ended well.
pub fn read_to_end(stream: &mut impl Read) -> (Vec<u8>, bool) {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (all, true),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return (all, false),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a resource is told.
#[derive(Debug)]
pub enum Seen {
    Connected(Client),
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Gone { code: u16, reason: String, cause: String, client: Client },
}

type OnText = dyn Fn(&Client, &str) + Send + Sync;

/// Echoes, unless it is given another way with texts, and tells what it sees.
pub struct Probe {
    seen: mpsc::Sender<Seen>,
    on_text: Box<OnText>,
}

impl Probe {
    pub fn new() -> (Arc<Self>, Diary) {
        Self::with(|client, text| {
            let _ = client.send_text(text);
        })
    }

    pub fn with(on_text: impl Fn(&Client, &str) + Send + Sync + 'static) -> (Arc<Self>, Diary) {
        let (seen, diary) = mpsc::channel();
        (Arc::new(Self { seen, on_text: Box::new(on_text) }), Diary(diary))
    }

    fn see(&self, seen: Seen) {
        let _ = self.seen.send(seen); // nobody may be interested
    }
}

impl Resource for Probe {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.see(Seen::Connected(client.clone()));
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.see(Seen::Text(text.as_str().to_owned()));
        (self.on_text)(client, &text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        self.see(Seen::Binary(payload.to_vec()));
        let _ = client.send_binary(&payload);
    }

    fn pong(&self, _: &Client, payload: Payload<'_>) {
        self.see(Seen::Pong(payload.to_vec()));
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        let (code, reason, cause) = (end.code.value(), end.reason.clone(), end.cause.to_string());
        self.see(Seen::Gone { code, reason, cause, client: client.clone() });
    }
}

/// What a [`Probe`] has seen.
pub struct Diary(mpsc::Receiver<Seen>);

impl Diary {
    #[track_caller]
    pub fn next(&self) -> Seen {
        self.0.recv_timeout(PATIENCE).expect("the resource is told something")
    }

    /// Passes over all else: the next client that is there.
    #[track_caller]
    pub fn connected(&self) -> Client {
        loop {
            if let Seen::Connected(client) = self.next() {
                return client;
            }
        }
    }

    /// Passes over messages: code, reason and cause of the next client that is gone.
    #[track_caller]
    pub fn gone(&self) -> (u16, String, String) {
        loop {
            if let Seen::Gone { code, reason, cause, .. } = self.next() {
                return (code, reason, cause);
            }
        }
    }

    /// How often that came since it was looked at last.
    pub fn count(&self, is: impl Fn(&Seen) -> bool) -> usize {
        self.0.try_iter().filter(is).count()
    }
}
