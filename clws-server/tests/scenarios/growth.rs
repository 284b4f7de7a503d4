//! The server reads a slow client no faster than its mailbox is read, so the number of unhandled
//! bytes is bounded.
//!
//! The client uses a Unix socket, whose system buffer does not grow.
#![cfg(unix)]

use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::Running;
use crate::common::gate::Gate;
use crate::common::wire::{BINARY, SHORT_TIMEOUT, Wire, frame};
use clws_server::{Client, Config, Event, Mailbox, Origins, Resource, Server, Text, mailbox};
use futures::{FutureExt, StreamExt};

in_both_modes_in_own_process!(the_number_of_unhandled_bytes_is_bounded);

/// The limit of the mailbox.
const LIMIT: usize = 1024;

/// More than the sum of the system's buffers, one read and the mailbox.
const BOUND: usize = 512 * 1024;

/// The smallest number of rounds. In each round the client sends [`PIECE`] bytes, and the test
/// empties the mailbox.
const TURNS: usize = 200;
const PIECE: usize = 16_000;

/// Blocks its shard with a gate. Each round uses a new gate.
#[derive(Clone, Default)]
struct Busy(Arc<Mutex<Gate>>);

impl Resource for Busy {
    fn text(&self, client: &Client, text: Text<'_>) {
        let gate = self.0.lock().unwrap().clone();
        gate.pass();
        let _ = client.send_text(&text);
    }
}

/// Takes all available messages from the mailbox. Returns the number of their bytes.
fn take(events: &mut Mailbox<()>) -> usize {
    let mut handled = 0;
    while let Some(Some(event)) = events.next().now_or_never() {
        if let Event::Binary(_, payload) = event {
            handled += payload.len() + 6;
        }
    }
    handled
}

fn the_number_of_unhandled_bytes_is_bounded(config: Config) {
    let mode = if config.task_per_client { "tasks" } else { "shards" };
    let path = std::env::temp_dir().join(format!("clws-growth-{}-{mode}", std::process::id()));
    // A disconnected client's queued messages delay its end by at most the close timeout.
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
    let (mut written, mut handled, mut turn) = (0, 0, 0);
    let end = Instant::now() + SHORT_TIMEOUT;
    // A busy machine delays the server, so it may take more rounds until many bytes are handled.
    while turn < TURNS || handled <= TURNS * LIMIT / 4 {
        assert!(Instant::now() < end, "only {handled} bytes are handled after {turn} turns");
        turn += 1;
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
        let unhandled = written - handled;
        assert!(
            unhandled < BOUND,
            "{unhandled} bytes are unhandled after {turn} turns, {handled} are handled"
        );
    }
}
