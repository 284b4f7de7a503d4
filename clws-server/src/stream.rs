//! The driver of one session over any asynchronous stream: a TLS stream, one that another HTTP server upgraded, a pipe
//! in a test; and of every connection where sockets cannot be polled by edges.

mod memory;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use clws_handshake::Reject;
use futures::io::{AsyncRead, AsyncWrite};
use futures::task::AtomicWaker;

use self::memory::Memory;
pub(crate) use self::memory::Streams;
use crate::Peer;
use crate::guard::Watch;
use crate::home::Place;
use crate::rt;
use crate::server::{Seat, Shared};
use crate::session::{Context, Next, Session, later};
use crate::time::now;

/// Octets of the scratch buffer that the streams of one thread share.
const SCRATCH: usize = 64 * 1024;

/// Steps before other tasks of the executor get their turn.
const STEPS: usize = 16;

thread_local! {
    static SCRATCHES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Serves one stream to its end.
pub(crate) fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Peer,
    shared: Arc<Shared>,
) -> impl Future<Output = ()> {
    // Counted from now on, not from the first time that the future is polled: a server that ends waits for it.
    let seated = shared.admit().map(|seat| Seated(Arc::clone(&shared), seat));
    async move {
        let Some(seated) = seated else { return };
        let waker = Arc::new(AtomicWaker::new());
        let context = Context { shared: &shared, place: Place::Stream(&waker) };
        let session = match seated.1 {
            Seat::Client => Session::new(peer, &context),
            Seat::Refused => Session::refused(&Reject::unavailable(None), &context),
        };
        let mut driver = Driver {
            stream,
            session,
            readable: true,
            write_pending: false,
            shutting: false,
            closed: false,
            over: false,
            timer: None,
            stop: Some(shared.stopped()),
            patience: None,
            memory: Memory::new(&shared, &waker),
        };
        poll_fn(|cx| {
            waker.register(cx.waker());
            driver.poll(cx, &shared, &waker)
        })
        .await;
    }
}

struct Seated(Arc<Shared>, Seat);

impl Drop for Seated {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

struct Driver<S, Stop> {
    stream: S,
    session: Session,
    /// The stream has not ended.
    readable: bool,
    write_pending: bool,
    /// Our side is being ended, or has been.
    shutting: bool,
    /// Our side has ended.
    closed: bool,
    /// The session is over. What it wrote may still sit in the stream's own buffer.
    over: bool,
    timer: Option<rt::Timer>,
    stop: Option<Stop>,
    /// When a stop is over.
    patience: Option<rt::Timer>,
    memory: Memory,
}

impl<S: AsyncRead + AsyncWrite + Unpin, Stop: Future + Unpin> Driver<S, Stop> {
    fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
        shared: &Arc<Shared>,
        waker: &Arc<AtomicWaker>,
    ) -> Poll<()> {
        let config = &shared.config;
        let _watch = config.debug_on_server_errors.then(|| Watch::start(true));
        for _ in 0..STEPS {
            let context = Context { shared, place: Place::Stream(waker) };
            let mut progress = false;

            if let Some(timer) = &mut self.timer
                && timer.as_mut().poll(cx).is_ready()
            {
                if self.over {
                    return Poll::Ready(());
                }
                self.timer = None;
                self.session.timed_out(&context);
                progress = true;
            }
            if self.over {
                return if self.close(cx) { Poll::Ready(()) } else { Poll::Pending };
            }
            if let Some(stop) = &mut self.stop
                && Pin::new(stop).poll(cx).is_ready()
            {
                self.stop = None;
                self.session.stop();
                let over = later(now(), shared.config.close_timeout.saturating_mul(2));
                self.patience = Some(rt::timer(over));
            }
            if let Some(patience) = &mut self.patience
                && patience.as_mut().poll(cx).is_ready()
            {
                self.patience = None;
                self.session.kill();
            }
            if self.memory.must_go() {
                self.session.drop_for_memory(&context);
            }
            self.session.proceed(&context);
            let stalled = self.is_stalled(shared);
            if stalled || !self.readable {
                self.memory.go_on();
            } else if self.memory.may_read(&self.session, cx) {
                progress |= self.read(cx, &context);
            }
            self.write(cx, &context);
            self.memory.note(&self.session);
            // The stream was not asked for input, so it will not wake us for any: go on with that.
            progress |= stalled && !self.is_stalled(shared);

            match self.session.next(&context) {
                Next::Wait => {}
                Next::ShutdownWrite => self.shutting = true,
                Next::Drop => {
                    self.over = true;
                    self.memory.go_on();
                    self.timer = Some(rt::timer(later(now(), shared.config.close_timeout)));
                    progress = true;
                }
            }
            if self.shutting {
                self.close(cx);
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

    /// Whether it is not read from for now: the peer does not read, or the application has enough of its messages.
    fn is_stalled(&self, shared: &Shared) -> bool {
        !self.session.wants_input()
            || (self.write_pending && self.session.queued() > shared.config.high_water())
    }

    /// Ends our side of the stream, once; whether that is done.
    fn close(&mut self, cx: &mut std::task::Context<'_>) -> bool {
        self.closed = self.closed || Pin::new(&mut self.stream).poll_close(cx).is_ready();
        self.closed
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
        if !self.shutting
            && let Poll::Ready(Err(error)) = Pin::new(stream).poll_flush(cx)
        {
            self.session.lost(error, context);
        }
    }
}
