//! A stopping server answers undecided handshakes with 503. Later decisions have no effect.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::common;
use crate::common::bomb::{Bomb, assert_no_panic};
use crate::common::wire::{Wire, dial, request, soon};
use crate::common::{Running, within};
use clws_server::{
    Accept, Client, Close, Config, Decision, Event, Opening, Origins, Reject, Resource, Server, mailbox,
};
use futures::StreamExt;

in_both_modes!(
    an_undecided_handshake_gets_503,
    undecided_handshakes_of_all_versions_get_503,
    undecided_handshakes_in_a_mailbox_get_503,
    a_late_decision_has_no_effect,
    a_late_decision_may_panic_when_its_data_is_dropped,
    a_decision_can_be_dropped_late,
);

/// Leaves its decisions to the test.
#[derive(Clone, Default)]
struct Undecided {
    decisions: Arc<Mutex<Vec<Decision>>>,
    connected: Arc<AtomicUsize>,
}

impl Resource for Undecided {
    fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
        let (accept, decision) = Accept::later();
        self.decisions.lock().unwrap().push(decision);
        Ok(accept)
    }

    fn connected(&self, _: &Client) -> Result<(), Close> {
        self.connected.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Sends a request, which waits for a decision.
fn send_request(server: &Running) -> Wire {
    let mut wire = Wire { socket: dial(&server.addresses[0]) };
    wire.raw(request("/").as_bytes());
    wire
}

#[track_caller]
fn assert_gets_503(wire: &mut Wire) {
    let head = wire.head().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert!(head.contains("\r\nretry-after: "), "{head}");
}

fn start(config: Config) -> (Running, Undecided) {
    let resource = Undecided::default();
    (Running::start(config, Arc::new(resource.clone())), resource)
}

/// Stops a server while a client waits for a decision. Returns that decision.
fn stop(config: Config) -> (Running, Undecided, Decision) {
    let (server, resource) = start(config);
    let mut wire = send_request(&server);
    soon("a decision is pending", || !resource.decisions.lock().unwrap().is_empty());
    let decision = resource.decisions.lock().unwrap().pop().unwrap();
    assert!(decision.is_waiting());
    server.handle.stop();
    assert_gets_503(&mut wire);
    assert!(!decision.is_waiting());
    (server, resource, decision)
}

fn an_undecided_handshake_gets_503(config: Config) {
    let (server, _, decision) = stop(config);
    server.wait().unwrap();
    assert!(!decision.is_waiting());
}

fn undecided_handshakes_of_all_versions_get_503(config: Config) {
    let (server, resource) = start(config);
    let waiting = common::ALL_VERSIONS.map(|version| {
        let (stream, url) = (server.tcp(), format!("ws://{}/", server.address()));
        std::thread::spawn(move || {
            let request = clws_handshake::client::ClientRequest::new(version, &url);
            common::Peer::open(stream, version, request.origin("http://here.example")).err()
        })
    });
    soon("all decisions are pending", || {
        resource.decisions.lock().unwrap().len() == common::ALL_VERSIONS.len()
    });
    server.handle.stop();
    for waiting in waiting {
        assert_eq!(waiting.join().unwrap(), Some(503));
    }
    server.wait().unwrap();
    assert!(resource.decisions.lock().unwrap().iter().all(|decision| !decision.is_waiting()));
}

fn undecided_handshakes_in_a_mailbox_get_503(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (resource, mut events) = mailbox::<()>();
    server.resources().register("/", Origins::any(), resource.openings()).unwrap();
    let server = Running::run(server);
    let mut waiting = [send_request(&server), send_request(&server)];
    let Some(Event::Opening(_, decision)) = within(events.next()) else { panic!() };
    soon("both clients wait", || server.handle.clients() == 2);
    common::wire::wait_a_moment();
    server.handle.stop();
    waiting.iter_mut().for_each(assert_gets_503);
    assert!(!decision.is_waiting());
    decision.accept(Accept::new());
    drop(waiting);
    server.wait().unwrap();
}

fn a_late_decision_has_no_effect(config: Config) {
    let (server, resource, decision) = stop(config);
    decision.accept(Accept::new().data(7u8));
    server.wait().unwrap();
    assert_eq!(resource.connected.load(Ordering::Relaxed), 0);
    assert_eq!(server.handle.clients(), 0);
}

fn a_late_decision_may_panic_when_its_data_is_dropped(config: Config) {
    let (server, _, decision) = stop(config);
    assert_no_panic(|| decision.accept(Accept::new().data(Bomb)));
    server.wait().unwrap();
}

fn a_decision_can_be_dropped_late(config: Config) {
    let (server, _, decision) = stop(config);
    drop(decision);
    server.wait().unwrap();
}
