//! Wakers of the application that panic or use the library when the library calls them.

use std::future::Future;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crate::common;
use crate::common::bomb::assert_no_panic;
use crate::common::wire::{SHORT_TIMEOUT, TEXT, Wire, dial, request, soon};
use crate::common::{Running, within};
use async_std::net::TcpStream;
use clws_server::{
    Accept, Client, Close, CloseCode, Config, Decision, Event, Group, Listen, Mailbox, Opening, Origins,
    Peer, Reject, Resource, Server, ServerHandle, SharedMessage, Text, mailbox,
};
use futures::StreamExt;

in_both_modes_in_own_process!(
    may_panic_when_its_client_is_sent_to,
    may_panic_when_its_group_is_sent_to,
    may_panic_when_its_handshake_is_decided_on,
    may_panic_when_the_server_stops,
    may_panic_when_its_mailbox_gets_a_message,
    may_use_the_client_that_it_is_called_for,
    may_use_the_mailbox_that_it_is_called_for,
    may_serve_a_stream_when_the_server_stops,
);

/// A waker that calls a function once it is armed.
struct CallingWaker {
    armed: AtomicBool,
    call: Mutex<Box<dyn FnMut() + Send>>,
}

impl CallingWaker {
    fn new(call: impl FnMut() + Send + 'static) -> Arc<Self> {
        Arc::new(Self { armed: AtomicBool::new(false), call: Mutex::new(Box::new(call)) })
    }

    fn panics() -> Arc<Self> {
        Self::new(|| panic!("in a waker"))
    }

    fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }
}

impl Wake for CallingWaker {
    fn wake(self: Arc<Self>) {
        if !self.armed.load(Ordering::SeqCst) {
            return;
        }
        // A recursive call does nothing.
        let call = self.call.try_lock();
        if let Ok(mut call) = call {
            call();
        }
    }
}

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future that serves a stream. The test polls it with its own waker.
struct Polled {
    future: Serving,
    waker: Arc<CallingWaker>,
    wire: Wire,
}

impl Polled {
    /// Starts to serve a stream. The handshake is not done yet.
    fn new(handle: &ServerHandle, target: &str, waker: Arc<CallingWaker>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut wire = Wire { socket: dial(&Listen::Tcp(listener.local_addr().unwrap())) };
        let stream = TcpStream::from(listener.accept().unwrap().0);
        let future = Box::pin(handle.serve_stream(stream, Peer::Stream));
        wire.raw(request(target).as_bytes());
        Self { future, waker, wire }
    }

    fn poll(&mut self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.waker));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Polls until the condition holds, and once more, so that the future waits.
    fn poll_until(&mut self, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + SHORT_TIMEOUT;
        while !condition() {
            assert!(self.poll().is_pending());
            assert!(Instant::now() < end, "not in time");
            std::thread::yield_now();
        }
        assert!(self.poll().is_pending());
    }
}

/// A room that sends each text to all members. It decides on some openings later.
#[derive(Clone, Default)]
struct Room {
    members: Group,
    clients: Arc<Mutex<Vec<Client>>>,
    decisions: Arc<Mutex<Vec<Decision>>>,
}

impl Resource for Room {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        if opening.query_string() != Some("later") {
            return Ok(Accept::new());
        }
        let (accept, decision) = Accept::later();
        self.decisions.lock().unwrap().push(decision);
        Ok(accept)
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.members.join(client);
        self.clients.lock().unwrap().push(client.clone());
        Ok(())
    }

    fn text(&self, _: &Client, text: Text<'_>) {
        let _ = self.members.send(SharedMessage::text(text.as_str()));
    }
}

fn start(config: Config) -> (Running, Room) {
    let (server, room) = (Server::bind(config.listen("127.0.0.1:0")).unwrap(), Room::default());
    server.resources().register("/", Origins::any(), room.clone()).unwrap();
    (Running::run(server), room)
}

/// A client over a stream that is polled with `waker`.
fn join(server: &Running, room: &Room, waker: Arc<CallingWaker>) -> (Polled, Client) {
    let mut polled = Polled::new(&server.handle, "/", waker);
    let before = room.members.len();
    polled.poll_until(|| room.members.len() > before);
    assert!(polled.wire.head().starts_with("HTTP/1.1 101 "));
    let client = room.clients.lock().unwrap().pop().unwrap();
    (polled, client)
}

fn may_panic_when_its_client_is_sent_to(config: Config) {
    let (server, room) = start(config);
    let (mut polled, client) = join(&server, &room, CallingWaker::panics());
    polled.waker.arm();
    assert!(assert_no_panic(|| client.send_text("one")).is_ok());
    assert!(assert_no_panic(|| client.ping(b"two")).is_ok());
    assert_no_panic(|| client.close((CloseCode::new(4000), "three")));
    assert!(polled.poll().is_pending());
    assert_eq!(polled.wire.next(), Some((TEXT, b"one".to_vec())));
    assert_eq!(polled.wire.close_code(), Some(4000));
    assert_no_panic(|| client.abort());
    assert_eq!(polled.poll(), Poll::Ready(()));
}

/// The panic affects neither the sender nor the other members.
fn may_panic_when_its_group_is_sent_to(config: Config) {
    let (server, room) = start(config);
    let (mut polled, _client) = join(&server, &room, CallingWaker::panics());
    polled.waker.arm();
    let mut others: Vec<_> = (0..4).map(|_| Wire::connect(&server, "/")).collect();
    soon("all members have joined", || room.members.len() == 5);
    for _ in 0..3 {
        others[0].text("to all");
        for other in &mut others {
            assert_eq!(other.next(), Some((TEXT, b"to all".to_vec())));
        }
    }
    let _ = assert_no_panic(|| room.members.send_text("from elsewhere"));
    for other in &mut others {
        assert_eq!(other.next(), Some((TEXT, b"from elsewhere".to_vec())));
    }
    assert!(polled.poll().is_pending());
    assert_eq!(polled.wire.next(), Some((TEXT, b"to all".to_vec())));
}

fn may_panic_when_its_handshake_is_decided_on(config: Config) {
    let (server, room) = start(config);
    let mut polled = Polled::new(&server.handle, "/?later", CallingWaker::panics());
    polled.poll_until(|| !room.decisions.lock().unwrap().is_empty());
    polled.waker.arm();
    let decision = room.decisions.lock().unwrap().pop().unwrap();
    assert_no_panic(|| decision.accept(Accept::new()));
    assert!(polled.poll().is_pending());
    assert!(polled.wire.head().starts_with("HTTP/1.1 101 "));
}

/// The other clients are stopped nevertheless.
fn may_panic_when_the_server_stops(config: Config) {
    let (server, room) = start(config);
    let (mut polled, _client) = join(&server, &room, CallingWaker::panics());
    let mut others: Vec<_> = (0..4).map(|_| Wire::connect(&server, "/")).collect();
    soon("all members have joined", || room.members.len() == 5);
    polled.waker.arm();
    assert_no_panic(|| server.handle.stop());
    for other in &mut others {
        assert_eq!(other.close_code(), Some(1001));
    }
    others.into_iter().for_each(Wire::finish);
    assert!(polled.poll().is_pending());
    assert_eq!(polled.wire.close_code(), Some(1001));
    drop(polled);
    server.wait().unwrap();
}

/// Polls an empty mailbox, so that it waits with `waker`.
///
/// A mailbox that was polled a while ago first yields: it wakes its task at once, and does nothing
/// else. So it is polled twice, and a waker that panics is not called here.
fn wait_with(events: &mut Mailbox<()>, waker: &Waker) {
    for waker in [Waker::noop(), waker] {
        assert!(events.poll_next_unpin(&mut Context::from_waker(waker)).is_pending());
    }
}

/// The panic does not affect the client that sent the message.
fn may_panic_when_its_mailbox_gets_a_message(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), resource.clone()).unwrap();
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    assert!(matches!(within(events.next()), Some(Event::Connected(_))));
    let waker = CallingWaker::panics();
    waker.arm();
    let waker = Waker::from(waker);
    for number in 0..3 {
        wait_with(&mut events, &waker);
        wire.send_and_wait_until_read(&common::wire::frame(TEXT, number.to_string().as_bytes()));
        let next = within(events.next());
        assert!(matches!(&next, Some(Event::Text(_, text)) if *text == number.to_string()), "{next:?}");
    }
    wait_with(&mut events, &waker);
    assert_no_panic(|| resource.send(())).unwrap();
    assert!(matches!(within(events.next()), Some(Event::Message(()))));
    wait_with(&mut events, &waker);
    assert_no_panic(|| resource.close());
    // The mailbox closes its clients at the next poll.
    wait_with(&mut events, &waker);
    assert_eq!(wire.close_code(), Some(1001));
    wire.finish();
    assert!(matches!(within(events.next()), Some(Event::Disconnected(..))));
}

fn may_use_the_client_that_it_is_called_for(config: Config) {
    let (server, room) = start(config);
    let (used, members) = (Arc::new(Mutex::new(None::<Client>)), room.members.clone());
    let theirs = Arc::clone(&used);
    let waker = CallingWaker::new(move || {
        let client = theirs.lock().unwrap().clone().unwrap();
        let _ = (client.buffered_amount(), client.is_open(), members.len());
        let _ = client.send_text("from the waker");
        let _ = members.send_text("to all, from the waker");
    });
    let (mut polled, client) = join(&server, &room, waker);
    *used.lock().unwrap() = Some(client.clone());
    polled.waker.arm();
    client.send_text("one").unwrap();
    assert!(polled.poll().is_pending());
    assert_eq!(polled.wire.next(), Some((TEXT, b"one".to_vec())));
    let _ = room.members.send_text("two");
    client.close(CloseCode::new(4000));
    assert!(polled.poll().is_pending());
    assert_eq!(polled.wire.close_code(), Some(4000));
}

fn may_use_the_mailbox_that_it_is_called_for(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), resource.clone()).unwrap();
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    let Some(Event::Connected(client)) = within(events.next()) else { panic!() };
    let theirs = resource.clone();
    let waker = CallingWaker::new(move || {
        let _ = (theirs.is_closed(), client.buffered_amount(), client.send_text("from the waker"));
        let _ = theirs.send(());
    });
    waker.arm();
    let waker = Waker::from(waker);
    assert!(events.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    wire.text("hello");
    assert_eq!(wire.next(), Some((TEXT, b"from the waker".to_vec())));
    // A waker may be called for a message that was already taken, so both orders are valid.
    let mut seen = [within(events.next()), within(events.next())];
    seen.sort_by_key(|event| matches!(event, Some(Event::Message(()))));
    assert!(matches!(seen, [Some(Event::Text(..)), Some(Event::Message(()))]), "{seen:?}");
    resource.close();
    wait_with(&mut events, &waker);
    assert_eq!(wire.close_code(), Some(1001));
}

/// Simulates an executor that polls a task in its waker.
fn may_serve_a_stream_when_the_server_stops(config: Config) {
    let (server, room) = start(config);
    let mut second = Polled::new(&server.handle, "/", CallingWaker::new(|| {}));
    let waker = CallingWaker::new(move || {
        let _ = second.poll();
    });
    let (mut polled, _client) = join(&server, &room, waker);
    let mut other = Wire::connect(&server, "/");
    polled.waker.arm();
    server.handle.stop();
    assert_eq!(other.close_code(), Some(1001));
    other.finish();
    assert!(polled.poll().is_pending());
    assert_eq!(polled.wire.close_code(), Some(1001));
    drop(polled);
    server.wait().unwrap();
}
