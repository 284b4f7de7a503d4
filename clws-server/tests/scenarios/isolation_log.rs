//! A `tracing` subscriber that panics, or that uses the clients, affects nothing else.
//!
//! This test runs in its own process, because the subscriber is global to the process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::common;
use crate::common::{Received, Running};
use clws_server::{
    Accept, Bytes, Client, Close, Opening, Origins, Reject, Resource, Server, Text, Version, WebSocket,
    async_handler,
};
use tracing::{Event, Metadata, Subscriber, span};

in_own_process!(a_panicking_subscriber_affects_nothing_else);

/// The clients that the subscriber sends to.
static CLIENTS: Mutex<Vec<Client>> = Mutex::new(Vec::new());

static EVENTS: AtomicUsize = AtomicUsize::new(0);

fn clients() -> MutexGuard<'static, Vec<Client>> {
    CLIENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Panics;

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("clws_server")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        EVENTS.fetch_add(1, Ordering::SeqCst);
        let clients = clients().clone();
        for client in clients {
            let _ = (client.buffered_amount(), client.send_text("logged"));
        }
        panic!("in the subscriber");
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Fragile;

impl Resource for Fragile {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        match opening.query_string() {
            Some("no") => Err(Reject::forbidden("no")),
            Some("bad") => Ok(Accept::new().subprotocol("not offered")),
            Some("dropped") => Ok(Accept::later().0),
            _ => Ok(Accept::new().data(Bomb)),
        }
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        clients().push(client.clone());
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        assert_ne!(&*text, "panic");
        if &*text == "bytes" {
            client.send(Bytes::from_owner(Owner(vec![7; 50_000], Bomb))).unwrap();
        }
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in a drop");
        }
    }
}

struct Owner(Vec<u8>, Bomb);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn a_panicking_subscriber_affects_nothing_else() {
    tracing::subscriber::set_global_default(Panics).unwrap();
    for tasks in [false, true] {
        let config = common::config().shards(1).task_per_client(tasks);
        let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
        server.resources().register("/", Origins::any(), Fragile).unwrap();
        let (probe, _recorder) = common::Probe::new();
        server.resources().register_shared("/echo", Origins::any(), probe).unwrap();
        let handler = async_handler(async |mut socket: WebSocket| {
            socket.next().await;
            panic!("in a handler");
        });
        server.resources().register("/async", Origins::any(), handler).unwrap();
        let server = Running::run(server);
        let mut other = server.connect(Version::Rfc6455, "/echo");

        let before = EVENTS.load(Ordering::SeqCst);
        assert_eq!(server.try_connect(Version::Rfc6455, "/none").err(), Some(404));
        assert_eq!(server.try_connect(Version::Rfc6455, "/?no").err(), Some(403));
        assert_eq!(server.try_connect(Version::Rfc6455, "/?bad").err(), Some(500));
        assert_eq!(server.try_connect(Version::Rfc6455, "/?dropped").err(), Some(500));
        for message in ["panic", "bytes", "close"] {
            let mut peer = server.connect(Version::Rfc6455, "/");
            peer.text(message);
            let mut next =
                || std::iter::repeat_with(|| peer.next()).find(|got| *got != common::text("logged"));
            match message {
                "panic" => assert!(matches!(next(), Some(Received::Close(Some((1011, _)))))),
                "bytes" => assert!(matches!(next(), Some(Received::Binary(_)))),
                _ => peer.close(1000, ""),
            }
            drop(peer);
            server.wait_for_clients(1);
            let disconnected = std::mem::take(&mut *clients());
            drop(disconnected); // the lock is released, because dropping the data logs
            other.assert_echo("undisturbed");
        }
        let mut peer = server.connect(Version::Rfc6455, "/async");
        peer.text("now");
        assert_eq!(peer.next(), Received::Close(Some((1011, String::new()))));
        peer.finish();
        other.assert_echo("undisturbed");
        assert!(EVENTS.load(Ordering::SeqCst) >= before + 10);
    }
}
