//! Wakers of the application's own, which the library calls. One panics, another uses the library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::future::Future;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use async_std::net::TcpStream;
use clws_server::{
    Accept, Client, Close, CloseCode, Config, Decision, Event, Group, Listen, Opening, Origins, Peer, Reject,
    Resource, Server, ServerHandle, SharedMessage, Text, mailbox,
};
use common::bomb::quietly;
use common::wire::{SHORT, TEXT, Wire, dial, request, soon};
use common::{Running, within};
use futures::StreamExt;

alone_in_both_modes!(
    panics_when_its_client_is_sent_to,
    panics_when_its_group_is_sent_to,
    panics_when_its_handshake_is_decided_on,
    panics_when_the_server_stops,
    panics_when_its_mailbox_gets_a_message,
    uses_the_client_that_it_is_woken_for,
    uses_the_mailbox_that_it_is_woken_for,
    serves_a_stream_when_the_server_stops,
);

/// A waker that calls a function, as soon as it is armed.
struct Calls {
    armed: AtomicBool,
    call: Mutex<Box<dyn FnMut() + Send>>,
}

impl Calls {
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

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        if !self.armed.load(Ordering::SeqCst) {
            return;
        }
        // One that is called by itself does nothing.
        let call = self.call.try_lock();
        if let Ok(mut call) = call {
            call();
        }
    }
}

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future of a stream, polled by hand with a waker of the test's.
struct Polled {
    future: Serving,
    waker: Arc<Calls>,
    wire: Wire,
}

impl Polled {
    /// The handshake is not done yet.
    fn new(handle: &ServerHandle, target: &str, waker: Arc<Calls>) -> Self {
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

    /// Polls until something is true, and once more, so that the future waits.
    fn poll_until(&mut self, mut is: impl FnMut() -> bool) {
        let end = Instant::now() + SHORT;
        while !is() {
            assert!(self.poll().is_pending());
            assert!(Instant::now() < end, "not in time");
            std::thread::yield_now();
        }
        assert!(self.poll().is_pending());
    }
}

/// A room that sends each text to all of its members, and has some that are decided on later.
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

/// A client over a stream whose waker is the test's.
fn join(server: &Running, room: &Room, waker: Arc<Calls>) -> (Polled, Client) {
    let mut polled = Polled::new(&server.handle, "/", waker);
    let before = room.members.len();
    polled.poll_until(|| room.members.len() > before);
    assert!(polled.wire.head().starts_with("HTTP/1.1 101 "));
    let client = room.clients.lock().unwrap().pop().unwrap();
    (polled, client)
}

fn panics_when_its_client_is_sent_to(config: Config) {
    let (server, room) = start(config);
    let (mut polled, client) = join(&server, &room, Calls::panics());
    polled.waker.arm();
    assert!(quietly(|| client.send_text("one")).is_ok());
    assert!(quietly(|| client.ping(b"two")).is_ok());
    quietly(|| client.close((CloseCode::new(4000), "three")));
    assert!(polled.poll().is_pending());
    assert_eq!(polled.wire.next(), Some((TEXT, b"one".to_vec())));
    assert_eq!(polled.wire.close_code(), Some(4000));
    quietly(|| client.abort());
    assert_eq!(polled.poll(), Poll::Ready(()));
}

/// It costs neither the sender nor the other members.
fn panics_when_its_group_is_sent_to(config: Config) {
    let (server, room) = start(config);
    let (mut polled, _client) = join(&server, &room, Calls::panics());
    polled.waker.arm();
    let mut others: Vec<_> = (0..4).map(|_| Wire::connect(&server, "/")).collect();
    soon("all are in", || room.members.len() == 5);
    for _ in 0..3 {
        others[0].text("to all");
        for other in &mut others {
            assert_eq!(other.next(), Some((TEXT, b"to all".to_vec())));
        }
    }
    let _ = quietly(|| room.members.send_text("from elsewhere"));
    for other in &mut others {
        assert_eq!(other.next(), Some((TEXT, b"from elsewhere".to_vec())));
    }
    assert!(polled.poll().is_pending());
    assert_eq!(polled.wire.next(), Some((TEXT, b"to all".to_vec())));
}

fn panics_when_its_handshake_is_decided_on(config: Config) {
    let (server, room) = start(config);
    let mut polled = Polled::new(&server.handle, "/?later", Calls::panics());
    polled.poll_until(|| !room.decisions.lock().unwrap().is_empty());
    polled.waker.arm();
    let decision = room.decisions.lock().unwrap().pop().unwrap();
    quietly(|| decision.accept(Accept::new()));
    assert!(polled.poll().is_pending());
    assert!(polled.wire.head().starts_with("HTTP/1.1 101 "));
}

/// The others are stopped all the same.
fn panics_when_the_server_stops(config: Config) {
    let (server, room) = start(config);
    let (mut polled, _client) = join(&server, &room, Calls::panics());
    let mut others: Vec<_> = (0..4).map(|_| Wire::connect(&server, "/")).collect();
    soon("all are in", || room.members.len() == 5);
    polled.waker.arm();
    quietly(|| server.handle.stop());
    for other in &mut others {
        assert_eq!(other.close_code(), Some(1001));
    }
    others.into_iter().for_each(Wire::finish);
    assert!(polled.poll().is_pending());
    assert_eq!(polled.wire.close_code(), Some(1001));
    drop(polled);
    server.wait().unwrap();
}

/// It is not the fault of the client whose message came.
fn panics_when_its_mailbox_gets_a_message(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), resource.clone()).unwrap();
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    assert!(matches!(within(events.next()), Some(Event::Connected(_))));
    let waker = Calls::panics();
    waker.arm();
    let waker = Waker::from(waker);
    for number in 0..3 {
        assert!(events.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        wire.send_and_wait_until_read(&common::wire::frame(TEXT, number.to_string().as_bytes()));
        let next = within(events.next());
        assert!(matches!(&next, Some(Event::Text(_, text)) if *text == number.to_string()), "{next:?}");
    }
    assert!(events.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    quietly(|| resource.send(())).unwrap();
    assert!(matches!(within(events.next()), Some(Event::Message(()))));
    assert!(events.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    quietly(|| resource.close());
    // It closes its clients when it is asked next.
    assert!(events.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(wire.close_code(), Some(1001));
    wire.finish();
    assert!(matches!(within(events.next()), Some(Event::Disconnected(..))));
}

fn uses_the_client_that_it_is_woken_for(config: Config) {
    let (server, room) = start(config);
    let (used, members) = (Arc::new(Mutex::new(None::<Client>)), room.members.clone());
    let theirs = Arc::clone(&used);
    let waker = Calls::new(move || {
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

fn uses_the_mailbox_that_it_is_woken_for(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), resource.clone()).unwrap();
    let server = Running::run(server);
    let mut wire = Wire::connect(&server, "/");
    let Some(Event::Connected(client)) = within(events.next()) else { panic!() };
    let theirs = resource.clone();
    let waker = Calls::new(move || {
        let _ = (theirs.is_closed(), client.buffered_amount(), client.send_text("from the waker"));
        let _ = theirs.send(());
    });
    waker.arm();
    let waker = Waker::from(waker);
    assert!(events.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    wire.text("hello");
    assert_eq!(wire.next(), Some((TEXT, b"from the waker".to_vec())));
    // A waker may be woken for what was taken already, so the two can come in any order.
    let mut seen = [within(events.next()), within(events.next())];
    seen.sort_by_key(|event| matches!(event, Some(Event::Message(()))));
    assert!(matches!(seen, [Some(Event::Text(..)), Some(Event::Message(()))]), "{seen:?}");
    resource.close();
    let _ = events.poll_next_unpin(&mut Context::from_waker(&waker));
    assert_eq!(wire.close_code(), Some(1001));
}

/// An executor that runs a task where it is woken.
fn serves_a_stream_when_the_server_stops(config: Config) {
    let (server, room) = start(config);
    let mut second = Polled::new(&server.handle, "/", Calls::new(|| {}));
    let waker = Calls::new(move || {
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
