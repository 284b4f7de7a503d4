//! Log events and their levels. The counterpart of CLWS's `*log-level*` is the level of `tracing`.
//!
//! This test runs in its own process, because the subscriber is global to the process.

use std::sync::Arc;

use crate::common;
use crate::common::log::Log;
use crate::common::{Received, Running};
use clws_server::{Accept, Client, Close, CloseCode, Group, Opening, Reject, Resource, Text, Version};
use tracing::Level;

in_own_process!(logs_faults_of_clients_as_debug_and_of_the_application_as_errors);

/// Panics, or closes with a code that must not be sent.
#[derive(Default)]
struct Fragile(Group);

impl Resource for Fragile {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        Ok(if opening.query_string() == Some("later") { Accept::later().0 } else { Accept::new() })
    }

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
    let log = Log::start();
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
        log.lines().iter().all(|(level, _)| *level >= Level::DEBUG),
        "a client's fault is logged above DEBUG"
    );
    server.connect(Version::Rfc6455, "/").text("panic");
    // The subscriber has no spans, so warnings and errors name the client themselves.
    let of_client = ["id=", "peer=127.0.0.1:", "resource=/ ", "version=13 "];
    log.expect_all(Level::ERROR, &[&["a handler panicked: assertion"], &of_client[..]].concat());
    assert_eq!(server.try_connect(Version::Rfc6455, "/?later").err(), Some(500));
    log.expect_all(Level::ERROR, &[&["dropped without an answer"], &of_client[1..]].concat());

    let warnings = || log.lines().iter().filter(|(level, _)| *level == Level::WARN).count();
    let mut peers = [(); 3].map(|()| server.connect(Version::Rfc6455, "/"));
    peers[0].text("close");
    assert_eq!(peers[0].next(), Received::Close(None));
    log.expect_all(Level::WARN, &[&["close code 1005 must not be sent"], &of_client[..]].concat());
    peers[1].text("close all");
    assert_eq!([peers[1].next(), peers[2].next()], [Received::Close(None), Received::Close(None)]);
    log.expect(Level::WARN, "close code 1006 must not be sent");
    assert_eq!(server.connect(Version::Rfc6455, "/?refuse").next(), Received::Close(None));
    log.expect(Level::WARN, "close code 2001 must not be sent");
    assert_eq!(warnings(), 3, "one warning for each call");
}
