//! The recorder of a server: it begins recordings within the limits, and has the queue of the
//! thread that writes them.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::thread;

use crate::capture::error::CaptureError;
use crate::capture::event::{Event, EventContent, Start};
use crate::capture::queue::{Queue, Writing};
use crate::capture::settings::{Capture, Rule};
use crate::capture::tap::Tap;
use crate::capture::writer::Writer;
use crate::config::address::{Peer, Remote};
use crate::guard::{DebugOn, Nowhere, discard, guard_other};
use crate::lock::{Lock, rank};
use crate::signal::{Signal, SignalWait};
use crate::sync::{atomic::AtomicUsize, atomic::Ordering};
use crate::time::now;

/// Bytes of a file for its header, and for the packets that begin and end a connection.
const FRAME_SIZE: usize = 1536;

pub(crate) struct Recorder {
    rule: Option<Rule>,
    debug: DebugOn,
    max_recordings: usize,
    max_file_size: usize,
    /// The number of recordings. The last one has this number.
    started: AtomicUsize,
    /// Recordings that the application wants of its clients, by the numbers of the clients.
    requests: Lock<HashMap<u64, Request>, { rank::RECORDER }>,
    /// The length of `requests`.
    waiting: AtomicUsize,
    queue: Arc<Queue>,
}

/// A recording that the application wants.
#[derive(Debug)]
pub(crate) struct Request {
    /// Bytes of the handshake, which were read already, or are rebuilt.
    pub(crate) received: Vec<u8>,
    pub(crate) sent: Vec<u8>,
    /// The handshake is over: the recording begins between two messages.
    pub(crate) is_late: bool,
}

/// Numbers about the recordings of a server:
/// [`ServerHandle::capture_stats`](crate::ServerHandle::capture_stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptureStats {
    /// Recordings that have begun.
    pub recordings: usize,
    /// The most bytes that all their files take.
    pub size: usize,
    /// Bytes of connections that are missing, because the queue was full.
    pub missing: usize,
    /// Whether writing has failed, for instance because the disk is full. The error was logged.
    /// Nothing is recorded since.
    pub has_failed: bool,
}

/// The port in the packets of a client whose proxy does not report it.
const UNKNOWN_PORT: u16 = 50_000;

impl Recorder {
    /// Creates the directory, and starts the thread that writes.
    pub(crate) fn start(capture: Capture, debug: DebugOn) -> io::Result<Arc<Self>> {
        let Capture { directory, rule, max_recordings, max_file_size, max_total_size, max_queued } = capture;
        let failed = |error: io::Error| {
            let text = format!("cannot record into {}: {error}", directory.display());
            io::Error::new(error.kind(), text)
        };
        std::fs::create_dir_all(&directory).map_err(failed)?;
        let (events, receiver) = mpsc::channel();
        let writing = Arc::<Writing>::default();
        let writer = Writer::new(directory.clone(), Arc::clone(&writing));
        thread::Builder::new()
            .name("clws-capture".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(failed)?;
        Ok(Arc::new(Self {
            rule,
            debug,
            max_recordings,
            max_file_size,
            started: AtomicUsize::new(0),
            requests: Lock::new(HashMap::new()),
            waiting: AtomicUsize::new(0),
            queue: Arc::new(Queue::new(events, writing, max_total_size, max_queued)),
        }))
    }

    /// Begins a recording if the rule chooses the peer.
    pub(crate) fn begin_for(
        self: &Arc<Self>,
        peer: Peer,
        server: impl FnOnce() -> Option<SocketAddr>,
    ) -> Option<Tap> {
        let rule = self.rule.as_ref()?;
        if guard_other(self.debug, "the rule for recordings", &Nowhere, || rule(&peer)) != Some(true) {
            return None;
        }
        self.begin(peer, server(), String::new())
    }

    /// Begins a recording, unless a limit is reached.
    fn begin(self: &Arc<Self>, peer: Peer, server: Option<SocketAddr>, note: String) -> Option<Tap> {
        let left = self.max_file_size.checked_sub(FRAME_SIZE)?;
        if self.queue.has_failed() || !self.queue.has_total(FRAME_SIZE) {
            return None;
        }
        let next = |started| (started < self.max_recordings).then_some(started + 1);
        let id = self.started.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()? + 1;
        if !self.queue.take_total(FRAME_SIZE) {
            return None;
        }
        let (client, server) = addresses(peer, server, id);
        let start = EventContent::Start(Start { client, server, note });
        self.queue.send(Event { id, at: now(), missing: [0; 2], content: start });
        Some(Tap::new(Arc::clone(&self.queue), id, left))
    }

    /// Records that the application wants a recording of that client.
    pub(crate) fn request(&self, client: u64, request: Request) -> Result<(), CaptureError> {
        let is_full = !self.queue.has_total(FRAME_SIZE) || self.queue.has_failed();
        let started = self.started.load(Ordering::Relaxed);
        let mut requests = self.requests.lock();
        let has_more = requests.contains_key(&client) || started + requests.len() < self.max_recordings;
        if is_full || !has_more {
            return Err(CaptureError::Limit);
        }
        requests.entry(client).or_insert(request);
        self.waiting.store(requests.len(), Ordering::Release);
        Ok(())
    }

    /// Adds the bytes of the handshake to a request.
    pub(crate) fn add_handshake(&self, client: u64, received: &[u8], sent: &[u8]) {
        if let Some(request) = self.requests.lock().get_mut(&client) {
            (request.received, request.sent) = (received.to_vec(), sent.to_vec());
        }
    }

    /// Forgets the request for a client whose connection has ended.
    pub(crate) fn forget(&self, client: u64) {
        drop(self.take_request(client));
    }

    /// Whether the application wants any recording that has not begun.
    #[inline]
    pub(crate) fn has_requests(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Whether the application wants a recording of that client, and whether it must wait until the
    /// connection is between two frames.
    pub(crate) fn is_late(&self, client: u64) -> Option<bool> {
        self.requests.lock().get(&client).map(|request| request.is_late)
    }

    /// Takes the request for a client.
    pub(crate) fn take_request(&self, client: u64) -> Option<Request> {
        let mut requests = self.requests.lock();
        let request = requests.remove(&client);
        self.waiting.store(requests.len(), Ordering::Release);
        request
    }

    /// Begins a recording that the application wants. `remote` is the client, if a trusted proxy
    /// reports it.
    pub(crate) fn begin_request(
        self: &Arc<Self>,
        request: &Request,
        peer: Peer,
        remote: Option<Remote>,
        server: Option<SocketAddr>,
    ) -> Option<Tap> {
        let mut note = String::new();
        if request.is_late {
            note += "The recording begins later than the connection: the server has rebuilt the handshake. ";
        }
        let mut client = peer;
        if let Some(remote) = remote {
            note += &format!("The client {remote} came through the proxy {peer}.");
            let port = remote.port.or(peer.tcp().map(|address| address.port())).unwrap_or(UNKNOWN_PORT);
            client = remote.ip.map_or(peer, |ip| Peer::Tcp(SocketAddr::new(ip, port)));
        }
        let mut tap = self.begin(client, server, note)?;
        tap.read(&request.received);
        tap.written(&[IoSlice::new(&request.sent)], request.sent.len());
        Some(tap)
    }

    pub(crate) fn stats(&self) -> CaptureStats {
        CaptureStats {
            recordings: self.started.load(Ordering::Relaxed),
            size: self.queue.total(),
            missing: self.queue.missing(),
            has_failed: self.queue.has_failed(),
        }
    }

    /// Waits until everything that was recorded so far is in the files.
    pub(crate) fn flush(&self) -> SignalWait {
        let signal = Arc::new(Signal::default());
        let content = EventContent::Flush(Arc::clone(&signal));
        self.queue.send(Event { id: 0, at: now(), missing: [0; 2], content });
        signal.wait()
    }
}

/// The addresses in the packets of a recording. A client without an address gets a port of
/// 127.0.0.1 by its number. A server without an address gets the port 80, where Wireshark expects
/// HTTP.
fn addresses(peer: Peer, server: Option<SocketAddr>, id: usize) -> (SocketAddr, SocketAddr) {
    let port = u16::try_from(id % 10_000).unwrap_or(0) + 50_000;
    let client = match peer {
        Peer::Tcp(address) => address,
        Peer::Unix | Peer::Stream => (Ipv4Addr::LOCALHOST, port).into(),
    };
    let loopback: IpAddr =
        if client.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let server = server.filter(|server| server.is_ipv4() == client.is_ipv4() && *server != client);
    (client, server.unwrap_or_else(|| (loopback, 80).into()))
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(rule) = self.rule.take() {
            discard(self.debug, &Nowhere, rule);
        }
    }
}
