//! Resources that decide on an opening handshake later.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common;
use crate::common::{ALL_VERSIONS, Peer, Running, text};
use clws_handshake::client::ClientRequest;
use clws_server::{Accept, Client, Config, Decision, Opening, Reject, Resource, Text, Version};

in_both_modes!(
    other_clients_are_served_before_the_decision,
    a_decision_must_come_within_the_handshake_timeout,
    a_late_decision_sees_the_request_and_sets_headers
);

/// Leaves its decisions to the test.
#[derive(Default)]
struct Undecided(Mutex<Vec<(Opening, Decision)>>);

impl Resource for Undecided {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        if opening.query_string() == Some("now") {
            return Ok(Accept::new());
        }
        let (accept, decision) = Accept::later();
        self.0.lock().unwrap().push((opening.clone(), decision));
        Ok(accept)
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let data = client.data::<u8>().copied().unwrap_or_default();
        client.send_text(&format!("{data} {text}")).unwrap();
    }
}

impl Undecided {
    fn next_undecided(&self) -> (Opening, Decision) {
        common::eventually("an opening waits for its decision", || !self.0.lock().unwrap().is_empty());
        self.0.lock().unwrap().remove(0)
    }
}

/// Connects on another thread, because connecting blocks until the decision.
fn connect(server: &Running, version: Version) -> JoinHandle<Result<Peer, u16>> {
    let (stream, url) = (server.tcp(), format!("ws://{}/?a=b", server.address()));
    std::thread::spawn(move || {
        let mut request = ClientRequest::new(version, &url)
            .origin("http://here.example")
            .subprotocol("chat")
            .header("Cookie", "id=7; lang=en");
        if !version.is_hixie() {
            request = request.subprotocol("echo"); // draft 0 offers only one
        }
        Peer::open(stream, version, request)
    })
}

fn other_clients_are_served_before_the_decision(config: Config) {
    let resource = Arc::new(Undecided::default());
    let server = Running::start(config.shards(1), resource.clone());
    for version in ALL_VERSIONS {
        let waiting = connect(&server, version);
        let (opening, decision) = resource.next_undecided();
        assert_eq!(opening.version(), version);
        let mut other = server.connect(version, "/?now");
        other.text("hello");
        assert_eq!(other.next(), text("0 hello"));
        std::thread::spawn(move || decision.accept(Accept::new().subprotocol("chat").data(7u8)));
        let mut peer = waiting.join().unwrap().unwrap_or_else(|status| panic!("{status}"));
        peer.text("accepted");
        assert_eq!(peer.next(), text("7 accepted"));
    }
}

fn a_decision_must_come_within_the_handshake_timeout(config: Config) {
    let resource = Arc::new(Undecided::default());
    let config = config.handshake_timeout(Duration::from_secs(1));
    let server = Running::start(config, resource.clone());
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503));
    let (_, decision) = resource.next_undecided();
    decision.accept(Accept::new()); // has no effect after the timeout
    server.wait_for_clients(0);
}

fn a_late_decision_sees_the_request_and_sets_headers(config: Config) {
    let resource = Arc::new(Undecided::default());
    let server = Running::start(config, resource.clone());
    for version in ALL_VERSIONS {
        let waiting = connect(&server, version);
        let (opening, decision) = resource.next_undecided();
        assert_eq!((opening.resource_name(), opening.query_string()), ("/", Some("a=b")));
        assert_eq!((opening.cookie("lang"), opening.cookie("Lang")), (Some("en"), None));
        assert_eq!(opening.headers().get("cookie"), Some("id=7; lang=en"));
        assert_eq!((opening.version(), opening.origin()), (version, Some("http://here.example")));
        assert!(opening.peer().to_string().starts_with("127.0.0.1:"));
        let offered: Vec<_> = opening.subprotocols().collect();
        let chosen = offered.last().copied().unwrap().to_owned();
        decision.accept(Accept::new().subprotocol(&*chosen).header("Set-Cookie", "seen=1"));
        let peer = waiting.join().unwrap().unwrap_or_else(|status| panic!("{status}"));
        assert_eq!(peer.subprotocol, Some(chosen));
        assert!(peer.headers.contains(&("Set-Cookie".to_owned(), "seen=1".to_owned())));
    }
}
