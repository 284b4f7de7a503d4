//! The driver of one session over any asynchronous stream: a TLS stream, one that another HTTP server upgraded, a pipe
//! in a test; and of every connection where sockets cannot be polled by edges.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use clws_handshake::Reject;
use futures::io::{AsyncRead, AsyncWrite};
use futures::task::AtomicWaker;

use crate::Peer;
use crate::home::Home;
use crate::rt;
use crate::server::Shared;
use crate::session::{Context, Next, Session};

/// Octets of the scratch buffer that the streams of one thread share.
const SCRATCH: usize = 64 * 1024;

/// Steps before other tasks of the executor get their turn.
const STEPS: usize = 16;

thread_local! {
    static SCRATCHES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Serves one stream to its end.
pub(crate) async fn drive(stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer, shared: Arc<Shared>) {
    let waker = Arc::new(AtomicWaker::new());
    let clients = shared.clients.fetch_add(1, Ordering::Relaxed);
    let _counted = Counted(&shared);
    let context = Context { shared: &shared, home: Home::Stream(Arc::clone(&waker)), now: Instant::now() };
    let session = if clients >= shared.config.max_clients {
        Session::refused(&Reject::unavailable(None), &context)
    } else {
        Session::new(peer, &context)
    };
    let mut driver = Driver {
        stream,
        session,
        readable: true,
        write_pending: false,
        shutting: false,
        timer: None,
        stop: Some(shared.stopped()),
    };
    poll_fn(|cx| {
        waker.register(cx.waker());
        driver.poll(cx, &shared, &waker)
    })
    .await;
}

struct Counted<'a>(&'a Shared);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Driver<S, Stop> {
    stream: S,
    session: Session,
    /// The stream has not ended.
    readable: bool,
    write_pending: bool,
    /// Our side is being ended.
    shutting: bool,
    timer: Option<rt::Timer>,
    stop: Option<Stop>,
}

impl<S: AsyncRead + AsyncWrite + Unpin, Stop: Future + Unpin> Driver<S, Stop> {
    fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
        shared: &Arc<Shared>,
        waker: &Arc<AtomicWaker>,
    ) -> Poll<()> {
        for _ in 0..STEPS {
            let home = Home::Stream(Arc::clone(waker));
            let context = Context { shared, home, now: Instant::now() };
            let mut progress = false;

            if let Some(stop) = &mut self.stop
                && Pin::new(stop).poll(cx).is_ready()
            {
                self.stop = None;
                self.session.stop();
            }
            if let Some(timer) = &mut self.timer
                && timer.as_mut().poll(cx).is_ready()
            {
                self.timer = None;
                self.session.timed_out(&context);
                progress = true;
            }
            let paused = self.write_pending && self.session.queued() > shared.config.write_high_water;
            if self.readable && !paused {
                progress |= self.read(cx, &context);
            }
            self.write(cx, &context);

            match self.session.next(&context) {
                Next::Wait => {}
                Next::ShutdownWrite => self.shutting = true,
                Next::Drop => {
                    // What is written may still sit in the stream's own buffer.
                    return match self.session.queued() {
                        0 => Pin::new(&mut self.stream).poll_close(cx).map(drop),
                        _ => Poll::Ready(()),
                    };
                }
            }
            if self.shutting && Pin::new(&mut self.stream).poll_close(cx).is_ready() {
                self.shutting = false;
            }
            if let Some(at) = self.session.new_deadline() {
                self.timer = Some(rt::timer(at));
                progress = true;
            }
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn read(&mut self, cx: &mut std::task::Context<'_>, context: &Context<'_>) -> bool {
        let mut scratch = SCRATCHES.take();
        scratch.resize(SCRATCH, 0);
        let progress = match Pin::new(&mut self.stream).poll_read(cx, &mut scratch) {
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => {
                self.readable = false;
                self.session.end_of_input(context);
                true
            }
            Poll::Ready(Ok(count)) => {
                self.session.receive(scratch.get_mut(..count).unwrap_or_default(), context);
                true
            }
            Poll::Ready(Err(error)) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.readable = false;
                    self.session.lost(error, context);
                }
                true
            }
        };
        // A handler that ran another stream meanwhile has taken an empty one, and left its own here.
        SCRATCHES.set(scratch);
        progress
    }

    fn write(&mut self, cx: &mut std::task::Context<'_>, context: &Context<'_>) {
        let stream = &mut self.stream;
        let mut pending = false;
        loop {
            let flushed = self.session.flush(&mut |slices| match Pin::new(&mut *stream)
                .poll_write_vectored(cx, slices)
            {
                Poll::Ready(result) => result,
                Poll::Pending => {
                    pending = true;
                    Err(io::ErrorKind::WouldBlock.into())
                }
            });
            match flushed {
                // A short write is not yet the stream's word that it will wake us.
                Ok(false) if !pending => {}
                Ok(all) => {
                    self.write_pending = !all;
                    break;
                }
                Err(error) => {
                    self.session.lost(error, context);
                    return;
                }
            }
        }
        if let Poll::Ready(Err(error)) = Pin::new(stream).poll_flush(cx) {
            self.session.lost(error, context);
        }
    }
}
