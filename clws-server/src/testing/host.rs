//! The running part of a test server: its connections and their threads.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::address::Peer;
use crate::server::Server;
use crate::signal::{GivesOnDrop, Signal};
use crate::sync::Mutex;
use crate::testing::error::TestError;
use crate::testing::pipe::Pipe;
use crate::testing::wait::wait;
use crate::time::{deadline_after, now};

/// What a client waits for in [`finish`], for errors.
pub(super) const UNFINISHED: &str = "the server to finish with the client: has a handler returned?";

/// A server whose connections are pipes, each served on a separate thread.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) server: Server,
    pub(super) hang_limit: Duration,
    pub(super) pipe_capacity: usize,
    /// Ends all connections.
    cut: Arc<Signal>,
    threads: Mutex<Vec<(Arc<Signal>, JoinHandle<()>)>>,
}

impl Host {
    pub(super) fn new(server: Server, hang_limit: Duration, pipe_capacity: usize) -> Self {
        Self { server, hang_limit, pipe_capacity, cut: Arc::default(), threads: Mutex::default() }
    }

    /// Serves a new connection of that peer. Returns the client's end, and a signal that the server
    /// has finished with it.
    pub(super) fn open(&self, peer: Peer) -> Result<(Pipe, Arc<Signal>), TestError> {
        let (client_end, server_end) = Pipe::pair(self.pipe_capacity);
        let served = Arc::new(Signal::default());
        let gives = GivesOnDrop(Arc::clone(&served));
        let mut cut = self.cut.wait();
        let serving = self.server.handle().serve_stream(server_end, peer);
        let runtime = self.server.runtime().clone();
        let serve = move || {
            let _gives = gives; // dropped after the future
            let mut serving = pin!(serving);
            wait(Duration::MAX, |cx| match Pin::new(&mut cut).poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => serving.as_mut().poll(cx),
            });
        };
        let thread = thread::Builder::new()
            .name("clws-test-client".to_owned())
            .spawn(move || runtime.enter(serve))
            .map_err(TestError::Thread)?;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|(_, thread)| !thread.is_finished());
        threads.push((Arc::clone(&served), thread));
        Ok((client_end, served))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.handle().stop();
        self.cut.give();
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        let end = deadline_after(now(), self.hang_limit);
        let mut left_behind = 0;
        for (served, thread) in threads.drain(..) {
            let mut served = served.wait();
            let time_left = end.saturating_duration_since(now());
            match wait(time_left, |cx| Pin::new(&mut served).poll(cx)) {
                // A panic of the server was logged, and ended the client's connection.
                Some(()) => drop(thread.join()),
                None => left_behind += 1,
            }
        }
        if left_behind > 0 {
            // The output of a test shows this, also without a subscriber of `tracing`.
            eprintln!(
                "handlers of {left_behind} test clients have not returned in {:?}: their threads are left behind",
                self.hang_limit
            );
        }
    }
}

/// Ends the client's side, drops what still comes, and waits until the server has finished with the
/// connection. Returns whether that happens within the limit.
pub(super) fn finish(stream: &mut Pipe, served: &Arc<Signal>, limit: Duration) -> bool {
    let mut served = served.wait();
    let mut input_ended = false;
    let finished = wait(limit, |cx| {
        // The server waits for the end of this side, and until its own data is read.
        stream.end(cx);
        while !input_ended {
            match stream.poll_read(cx, &mut [0; 4096]) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => input_ended = true,
                Poll::Pending => break,
            }
        }
        Pin::new(&mut served).poll(cx)
    });
    finished.is_some()
}
