//! A client that trickles is read no faster than its mailbox is handled, so the bytes between the two are bounded.
//!
//! The client comes through a Unix socket, because the system's buffers of those do not grow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![cfg(unix)]

#[macro_use]
mod common;

use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clws_server::{Client, Config, Event, Mailbox, Origins, Resource, Server, Text, mailbox};
use common::Running;
use common::gate::Gate;
use common::wire::{BINARY, Wire, frame};
use futures::{FutureExt, StreamExt};

in_both_modes!(the_bytes_between_a_client_and_its_mailbox_are_bounded);

/// The limit of the mailbox.
const LIMIT: usize = 1024;

/// More than the sum of the system's buffers, of one read, and of the mailbox.
const BOUND: usize = 512 * 1024;

/// Turns of the shard. In each of them the client sends [`PIECE`] bytes, and the mailbox is emptied.
const TURNS: usize = 200;
const PIECE: usize = 16_000;

/// Blocks its shard by a gate that each turn replaces.
#[derive(Clone, Default)]
struct Busy(Arc<Mutex<Gate>>);

impl Resource for Busy {
    fn text(&self, client: &Client, text: Text<'_>) {
        let gate = self.0.lock().unwrap().clone();
        gate.pass();
        let _ = client.send_text(&text);
    }
}

/// The bytes of all messages that the mailbox has at the moment.
fn take(events: &mut Mailbox<()>) -> usize {
    let mut handled = 0;
    while let Some(Some(event)) = events.next().now_or_never() {
        if let Event::Binary(_, payload) = event {
            handled += payload.len() + 6;
        }
    }
    handled
}

fn the_bytes_between_a_client_and_its_mailbox_are_bounded(config: Config) {
    let mode = if config.task_per_client { "tasks" } else { "shards" };
    let path = std::env::temp_dir().join(format!("clws-growth-{}-{mode}", std::process::id()));
    // When the client is gone, its messages wait no longer than that.
    let config = config.shards(1).max_handler_read_backlog(LIMIT).close_timeout(Duration::from_millis(300));
    let server = Server::bind(config.listen(format!("unix:{}", path.display()))).unwrap();
    let ((resource, mut events), busy) = (mailbox::<()>(), Busy::default());
    server.resources().register("/", Origins::any(), resource).unwrap();
    server.resources().register("/busy", Origins::any(), busy.clone()).unwrap();
    let server = Running::run(server);
    let mut neighbour = Wire::connect(&server, "/busy");
    let mut client = Wire::connect(&server, "/");
    client.socket.set_nonblocking(true).unwrap();

    let bytes = frame(BINARY, &[7; 94]).repeat(PIECE / 100);
    let (mut written, mut handled) = (0, 0);
    for turn in 0..TURNS {
        let gate = Gate::default();
        *busy.0.lock().unwrap() = gate.clone();
        neighbour.text("turn");
        gate.wait_for(1);
        match client.socket.write(&bytes[written % bytes.len()..]) {
            Ok(count) => written += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        handled += take(&mut events);
        gate.open();
        assert!(neighbour.next().is_some());
        let between = written - handled;
        assert!(between < BOUND, "{between} bytes are not handled after {turn} turns, and {handled} are");
    }
    assert!(handled > TURNS * LIMIT / 4, "only {handled} bytes are handled");
}
