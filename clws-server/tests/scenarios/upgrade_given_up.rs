//! Clients that come through another HTTP server, and are given up before their stream comes.

use std::future::IntoFuture;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use clws_server::{Accept, Drain, HandshakeOutcome, Opening, Reject, Resource, ServerHandle};
use futures::executor::block_on;

use crate::common::bomb::{Bomb, assert_no_panic};
use crate::common::{Probe, Received, TIMEOUT, config, eventually};
use crate::upgrade::{Picky, connect, refusal, request, server, undecided, upgrade};

#[test]
fn a_full_server_refuses_and_a_dropped_upgrade_makes_room() {
    let (probe, recorder) = Probe::new();
    let (_server, handle) = server(config().max_clients(1), probe);
    let get = request("/").body(()).unwrap();
    let (_, first) = upgrade(&handle, &get).unwrap();
    assert_eq!(handle.clients(), 1);
    let full = refusal(&handle, &get);
    assert_eq!(full.status(), 503);
    assert_eq!(full.headers()["retry-after"], "5");
    drop(first);
    assert_eq!(handle.clients(), 0);
    // A future that serves a stream, and is dropped before it is polled.
    let (_, second) = upgrade(&handle, &get).unwrap();
    drop(second.serve(futures::io::Cursor::new(Vec::new())));
    assert_eq!(handle.clients(), 0);
    let (_, third) = upgrade(&handle, &get).unwrap();
    connect(third).assert_echo("hello");
    recorder.connected();
    assert_eq!(handle.stats().handshakes_with(HandshakeOutcome::Full), 1);
    assert_eq!(handle.stats().handshakes_with(HandshakeOutcome::Abandoned), 2);
}

#[test]
fn a_stream_that_never_comes_has_a_deadline() {
    let (probe, recorder) = Probe::new();
    let (_server, handle) = server(config().handshake_timeout(Duration::from_millis(20)), probe);
    let (_, late) = upgrade(&handle, &request("/").body(()).unwrap()).unwrap();
    eventually("the deadline", || handle.clients() == 0);
    // Its stream ends without a frame, and the resource was not told of it.
    assert_eq!(connect(late).next(), Received::End);
    assert_eq!(recorder.count(|_| true), 0);
}

/// Accepts with data that panics when it is dropped.
struct WithBomb;

impl Resource for WithBomb {
    fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
        Ok(Accept::new().data(Bomb))
    }
}

#[test]
fn the_data_of_a_client_may_panic_when_it_is_given_up() {
    let give_up = |handle: &ServerHandle| upgrade(handle, &request("/").body(()).unwrap()).unwrap().1;
    let (_server, handle) = server(config(), Arc::new(WithBomb));
    let accepted = give_up(&handle);
    assert_no_panic(|| drop(accepted));
    let accepted = give_up(&handle);
    assert_no_panic(|| drop(accepted.serve(futures::io::Cursor::new(Vec::new()))));
    assert_eq!(handle.clients(), 0);
    let (_server, handle) = server(config().handshake_timeout(Duration::from_millis(20)), Arc::new(WithBomb));
    let _late = give_up(&handle);
    eventually("the deadline", || handle.clients() == 0);
}

#[test]
fn a_decision_may_come_before_or_after_its_future_is_dropped() {
    let (_server, handle, decisions) = undecided(config().max_clients(1));
    for is_decided in [true, false] {
        let mut asked = handle.upgrade(&request("/").body(()).unwrap()).into_future();
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let decision = decisions.recv().unwrap();
        let accept = Accept::new().data(Bomb);
        if is_decided {
            decision.accept(accept);
            assert_no_panic(|| drop(asked));
        } else {
            assert_no_panic(|| drop(asked));
            assert_no_panic(|| decision.accept(accept));
        }
        assert_eq!(handle.clients(), 0);
    }
}

#[test]
fn a_stream_that_comes_after_a_drain_gets_a_close_frame() {
    let (server, handle) = server(config(), Arc::new(Picky));
    let (_, accepted) = upgrade(&handle, &request("/").body(()).unwrap()).unwrap();
    let running = thread::spawn(move || block_on(server.run()));
    handle.drain(Drain::new().within(10 * TIMEOUT));
    // The 101 may be on its way to the client.
    let mut peer = connect(accepted);
    assert!(matches!(peer.next(), Received::Close(Some((1001, _)))));
    peer.finish();
    running.join().unwrap().unwrap();
}
