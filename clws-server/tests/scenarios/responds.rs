//! `ServerHandle::responds`, for watchdogs.

use crate::common;
use crate::common::gate::Gate;
use crate::common::{Probe, Running, within};
use clws_server::Version;
use futures::FutureExt;

#[test]
fn ends_unless_a_handler_blocks_a_thread() {
    let gate = Gate::default();
    let passed = gate.clone();
    let (probe, recorder) = Probe::with(move |_, _| passed.pass());
    let server = Running::start(common::config().shards(2), probe);
    for _ in 0..3 {
        within(server.handle.responds());
    }
    let mut peer = server.connect(Version::Rfc6455, "/");
    recorder.connected();
    peer.text("block");
    gate.wait_for(1);
    let mut responds = Box::pin(server.handle.responds());
    assert_eq!(responds.as_mut().now_or_never(), None);
    // A future that was dropped disturbs nobody.
    drop(server.handle.responds());
    gate.open();
    within(responds);
    drop(peer);
    server.stop().unwrap();
    within(server.handle.responds());
}

#[test]
fn ends_at_once_without_threads() {
    let (probe, _) = Probe::new();
    let server = Running::start(common::config().task_per_client(true), probe);
    server.connect(Version::Rfc6455, "/").assert_echo("served by a task");
    assert_eq!(server.handle.responds().now_or_never(), Some(()));
}
