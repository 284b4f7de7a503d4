//! Log events and their levels. The counterpart of CLWS's `*log-level*` is the level of `tracing`.
//!
//! This test runs in its own process, because the subscriber is global to the process.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use crate::common;
use crate::common::{Received, Running};
use clws_server::{Client, Close, CloseCode, Group, Resource, Text, Version};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

in_own_process!(logs_faults_of_clients_as_debug_and_of_the_application_as_errors);

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("clws_server")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Log {
    #[track_caller]
    fn expect(&self, level: Level, part: &str) {
        common::eventually(part, || {
            self.0.lock().unwrap().iter().any(|(at, line)| *at == level && line.contains(part))
        });
    }
}

/// Panics, or closes with a code that must not be sent.
#[derive(Default)]
struct Fragile(Group);

impl Resource for Fragile {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.0.join(client);
        if client.query_string().is_some() { Err(Close::new(2001.into(), "")) } else { Ok(()) }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        match &*text {
            "close" => client.close((CloseCode::new(1005), "why")),
            "close all" => self.0.close((CloseCode::new(1006), "why")),
            text => assert_ne!(text, "panic"),
        }
    }
}

fn logs_faults_of_clients_as_debug_and_of_the_application_as_errors() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let server = Running::start(common::config(), Arc::new(Fragile::default()));
    assert_eq!(server.try_connect(Version::Rfc6455, "/none").err(), Some(404));
    log.expect(Level::DEBUG, "status=404");
    server.connect(Version::Rfc6455, "/").close(4000, "bye");
    log.expect(Level::DEBUG, "code=4000");
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.raw(&[0xFF; 10]);
    assert!(matches!(peer.next(), Received::Close(Some((1002, _)))));
    log.expect(Level::DEBUG, "broke the protocol");
    assert!(
        log.0.lock().unwrap().iter().all(|(level, _)| *level >= Level::DEBUG),
        "a client's fault is logged above DEBUG"
    );
    server.connect(Version::Rfc6455, "/").text("panic");
    log.expect(Level::ERROR, "a handler panicked: assertion");

    let warnings = || log.0.lock().unwrap().iter().filter(|(level, _)| *level == Level::WARN).count();
    let mut peers = [(); 3].map(|()| server.connect(Version::Rfc6455, "/"));
    peers[0].text("close");
    assert_eq!(peers[0].next(), Received::Close(None));
    log.expect(Level::WARN, "close code 1005 must not be sent");
    peers[1].text("close all");
    assert_eq!([peers[1].next(), peers[2].next()], [Received::Close(None), Received::Close(None)]);
    log.expect(Level::WARN, "close code 1006 must not be sent");
    assert_eq!(server.connect(Version::Rfc6455, "/?refuse").next(), Received::Close(None));
    log.expect(Level::WARN, "close code 2001 must not be sent");
    assert_eq!(warnings(), 3, "one warning for each call");
}
