//! Connections that are handed to a shard that may have ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use shuttle::thread;

use crate::config::Config;
use crate::config::address::Peer;
use crate::driver::state::DriverState;
use crate::models::harness::{AfterTexts, connection, run_shard};
use crate::models::{Fault, Model};
use crate::server::handle::ServerHandle;
use crate::wake::ShardCommand;

/// A shard that stops either answers the connection or never takes it. Either way its permit is
/// released.
fn a_permit_is_released() {
    let shared = DriverState::new(Config::default());
    let (shard_handle, shard) = run_shard(&shared);
    let handle = ServerHandle::new(Arc::clone(&shared));
    let stops = {
        let handle = handle.clone();
        thread::spawn(move || handle.stop())
    };
    let (socket, peer) = connection(&[], AfterTexts::End);
    let admitted = shared.admit(Peer::Unix).unwrap();
    let permit = admitted.permit;
    shard_handle.load.fetch_add(1, Ordering::Relaxed);
    if shard_handle.send(ShardCommand::AddConnection(socket, Peer::Unix, admitted)).is_err() {
        shard_handle.load.fetch_sub(1, Ordering::Relaxed);
        shared.release(permit); // as a shard that accepts for another shard does
    }
    stops.join().unwrap();
    shard.join().unwrap();
    assert_eq!(handle.clients(), 0, "a permit is leaked");
    drop(peer);
}

const MODEL: Model = Model("a connection for a shard that stops", a_permit_is_released);

#[test]
fn holds() {
    MODEL.holds(2000);
}

#[test]
fn fails_when_the_queue_stays_open() {
    MODEL.fails(Fault::EndsWithoutClosing, "a permit is leaked");
}
