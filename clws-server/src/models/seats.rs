//! Connections that a shard is given when it may have ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use shuttle::thread;

use super::world::{Then, connection, run_shard};
use super::{Fault, Model};
use crate::home::Command;
use crate::server::Shared;
use crate::{Config, Peer, ServerHandle};

/// A shard that stops answers the connection, or never has it: either way its seat is free again.
fn a_seat_is_given_back() {
    let shared = Arc::new(Shared::new(Config::default()));
    let (remote, shard) = run_shard(&shared);
    let handle = ServerHandle::of(Arc::clone(&shared));
    let stops = {
        let handle = handle.clone();
        thread::spawn(move || handle.stop())
    };
    let (socket, peer) = connection(&[], Then::Ends);
    let seat = shared.admit().unwrap();
    remote.load.fetch_add(1, Ordering::Relaxed);
    if remote.send(Command::Adopt(socket, Peer::Unix, seat)).is_err() {
        remote.load.fetch_sub(1, Ordering::Relaxed);
        shared.leave(seat); // as a shard does that accepts for another one
    }
    stops.join().unwrap();
    shard.join().unwrap();
    assert_eq!(handle.clients(), 0, "a seat is leaked");
    drop(peer);
}

const MODEL: Model = Model("a connection for a shard that ends", a_seat_is_given_back);

#[test]
fn holds() {
    MODEL.holds(2000);
}

#[test]
fn fails_when_the_queue_stays_open() {
    MODEL.fails(Fault::EndsWithoutClosing, "a seat is leaked");
}
