//! Clients that write or read as fast as they can, and checks that other clients are served
//! meanwhile.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clws_server::{Client, Payload, Resource, Text};

use super::eventually;
use super::wire::{SHORT_TIMEOUT, Wire};

/// The number of unhandled bytes before the test asks other clients.
const BACKLOG: usize = 100_000;

/// A client that writes or reads until it is dropped, and then resets its connection.
pub struct Flood {
    wire: Option<Wire>,
    bytes: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Writes the same bytes again and again.
    pub fn writing(wire: Wire, bytes: Vec<u8>) -> Self {
        Self::paced(wire, bytes, Duration::ZERO)
    }

    /// Writes the same bytes again and again, with a pause between writes.
    pub fn paced(wire: Wire, bytes: Vec<u8>, pause: Duration) -> Self {
        let mut at = 0;
        Self::run(wire, move |wire| {
            if !pause.is_zero() {
                thread::sleep(pause);
            }
            let written = wire.socket.write(&bytes[at..])?;
            at = (at + written) % bytes.len();
            Ok(written)
        })
    }

    /// Reads everything.
    pub fn reading(wire: Wire) -> Self {
        let mut buffer = vec![0; 64 * 1024];
        Self::run(wire, move |wire| wire.socket.read(&mut buffer))
    }

    /// Calls `step` until it fails or transfers nothing.
    fn run(mut wire: Wire, mut step: impl FnMut(&mut Wire) -> io::Result<usize> + Send + 'static) -> Self {
        wire.socket.set_write_timeout(None).unwrap();
        wire.socket.set_read_timeout(None).unwrap();
        let kept = Wire { socket: wire.socket.try_clone().unwrap() };
        let bytes = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&bytes);
        let thread = thread::spawn(move || {
            while let Ok(moved @ 1..) = step(&mut wire) {
                counter.fetch_add(moved, Ordering::Relaxed);
            }
        });
        Self { wire: Some(kept), bytes, thread: Some(thread) }
    }

    /// The number of bytes written or read so far.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let Some(wire) = self.wire.take() else { return };
        let _ = wire.socket.shutdown(Shutdown::Both); // ends a blocked write or read
        let _ = self.thread.take().map(JoinHandle::join);
        wire.reset();
    }
}

/// The number of executor threads, which run async handlers and tasks of clients.
pub fn executor_threads() -> usize {
    let set = std::env::var("ASYNC_STD_THREAD_COUNT").ok().and_then(|count| count.parse().ok());
    set.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// The work of a handler for each message. Counts the messages.
#[derive(Clone)]
pub struct Work {
    each: Duration,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    done: AtomicUsize,
}

/// Ends the work when it is dropped. A server with much unhandled work can stop only after that.
pub struct EndWorkOnDrop(Work);

impl Work {
    pub fn of(each: Duration) -> (Self, EndWorkOnDrop) {
        let work = Self { each, shared: Arc::default() };
        (work.clone(), EndWorkOnDrop(work))
    }

    /// Works for one message.
    pub fn work(&self) {
        self.shared.done.fetch_add(1, Ordering::Relaxed);
        if self.is_over() {
            return;
        }
        if self.each >= Duration::from_millis(1) {
            return thread::sleep(self.each);
        }
        let end = Instant::now() + self.each;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    }

    pub fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Relaxed)
    }

    /// The number of messages so far.
    pub fn done(&self) -> usize {
        self.shared.done.load(Ordering::Relaxed)
    }
}

impl Drop for EndWorkOnDrop {
    fn drop(&mut self) {
        self.0.shared.over.store(true, Ordering::Relaxed);
    }
}

/// A resource that works for each message, without an answer.
impl Resource for Work {
    fn text(&self, _: &Client, _: Text<'_>) {
        self.work();
    }

    fn binary(&self, _: &Client, _: Payload<'_>) {
        self.work();
    }
}

/// Echoes messages.
pub struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send_text(&text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send_binary(&payload);
    }
}

/// Waits until the floods of messages of `size` bytes are ahead of the handler.
#[track_caller]
pub fn wait_for_backlog(floods: &[Flood], size: usize, work: &Work) {
    eventually("the flood has begun", || work.done() > 0 && backlog(floods, size, work) > BACKLOG);
}

/// Checks that other clients get echoes while the flood continues. A flood never ends by itself, so
/// a client that has to wait for its end gets no echo.
#[track_caller]
pub fn assert_answered_during(neighbours: &mut [Wire], floods: &[Flood], size: usize, work: &Work) {
    for _ in 0..3 {
        for neighbour in &mut *neighbours {
            neighbour.assert_answered_within(SHORT_TIMEOUT);
            let left = backlog(floods, size, work);
            assert!(left > 0, "the flood ended too early for this check");
        }
    }
}

/// The number of bytes that were sent, but not handled.
fn backlog(floods: &[Flood], size: usize, work: &Work) -> usize {
    let done = work.done() * size; // read first, because handled bytes were sent before
    floods.iter().map(Flood::bytes).sum::<usize>().saturating_sub(done)
}
