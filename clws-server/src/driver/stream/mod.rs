//! The driver of one connection over any asynchronous stream: a TLS stream, one that another HTTP server upgraded, a pipe
//! in a test; and of every connection where sockets cannot be polled by edges.

mod guarded;
pub(crate) mod memory;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use clws_handshake::Reject;
use futures::io::{AsyncRead, AsyncWrite};

use crate::admission::ConnectionPermit;
use crate::config::address::Peer;
use crate::connection::share::{Share, WriteShare};
use crate::connection::{Connection, Context, Next};
use crate::driver::state::DriverState;
use crate::driver::stream::guarded::GuardedStream;
use crate::driver::stream::memory::Memory;
use crate::guard::Watch;
use crate::runtime;
use crate::sync::broken;
use crate::task_waker::TaskWaker;
use crate::time::{deadline_after, now};
use crate::wake::WakeTargetRef;

/// Octets of the read_buffers buffer that the streams of one thread share.
const SCRATCH: usize = 64 * 1024;

/// Steps of one poll, whatever its share of time: a stream that is always ready does not keep its thread.
const STEPS: usize = 16;

thread_local! {
    static SCRATCHES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Serves one stream to its end. `permit` is the result of [`DriverState::admit`] or [`DriverState::admit_stream`] for this stream.
pub(crate) fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Peer,
    state: Arc<DriverState>,
    permit: Option<ConnectionPermit>,
) -> impl Future<Output = ()> {
    let stream = GuardedStream::new(stream, state.config().debug_on());
    let seated = permit.map(|permit| Seated(Arc::clone(&state), permit));
    async move {
        let Some(seated) = seated else { return refuse_at_once(stream).await };
        let waker = Arc::new(TaskWaker::default());
        let context = state.connection_context(WakeTargetRef::Stream(&waker));
        let connection = match seated.1 {
            ConnectionPermit::Client | ConnectionPermit::Stream => Connection::new(peer, &context),
            ConnectionPermit::Refused => Connection::refused(&Reject::unavailable(None), &context),
        };
        let mut driver = Driver {
            stream,
            connection,
            readable: true,
            shutting: false,
            closed: false,
            over: false,
            greedy: false,
            timer: None,
            due: false,
            stop: Some(state.stopped()),
            patience: None,
            memory: Memory::new(&state, &waker),
        };
        poll_fn(|cx| {
            broken!(RegistersTooLate, {
                let polled = driver.poll(cx, &state, &waker);
                waker.register(cx.waker());
                return polled;
            });
            waker.register(cx.waker());
            driver.poll(cx, &state, &waker)
        })
        .await;
    }
}

/// Tells a new connection 503 without waiting for anything.
async fn refuse_at_once<S: AsyncRead + AsyncWrite + Unpin>(mut stream: GuardedStream<S>) {
    let response = Reject::unavailable(None).response();
    poll_fn(|cx| {
        // The answer to a request that was not read may be lost with the connection.
        let _ = stream.poll_read(cx, &mut [0; 4096]);
        let _ = stream.poll_write(cx, &[IoSlice::new(&response)]);
        let _ = stream.poll_close(cx);
        Poll::Ready(())
    })
    .await;
}

struct Seated(Arc<DriverState>, ConnectionPermit);

impl Drop for Seated {
    fn drop(&mut self) {
        self.0.release(self.1);
    }
}

struct Driver<S, Stop> {
    stream: GuardedStream<S>,
    connection: Connection,
    /// The stream has not ended.
    readable: bool,
    /// Our side is being ended, or has been.
    shutting: bool,
    /// Our side has ended.
    closed: bool,
    /// The connection is over. What it wrote may still sit in the stream's own buffer.
    over: bool,
    /// The client has used up its last share.
    greedy: bool,
    timer: Option<runtime::Timer>,
    /// The timer's time has come, and the connection was not told yet.
    due: bool,
    stop: Option<Stop>,
    /// When a stop is over.
    patience: Option<runtime::Timer>,
    memory: Memory,
}

impl<S: AsyncRead + AsyncWrite + Unpin, Stop: Future + Unpin> Driver<S, Stop> {
    fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
        state: &Arc<DriverState>,
        waker: &Arc<TaskWaker>,
    ) -> Poll<()> {
        let config = state.config();
        let _watch = config.debug_on_server_errors.then(|| Watch::start(true));
        let context = state.connection_context(WakeTargetRef::Stream(waker));
        // One share for the whole poll: other tasks of the executor wait for it, as other clients of a shard do.
        let mut share = if self.greedy {
            Share::strict()
        } else if self.connection.is_compressed() {
            Share::started_now()
        } else {
            Share::new()
        };
        for _ in 0..STEPS {
            let mut progress = false;

            if self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
                if self.over {
                    return Poll::Ready(());
                }
                self.timer = None;
                self.due = true;
                progress = true;
            }
            if self.over {
                return if self.close(cx) { Poll::Ready(()) } else { Poll::Pending };
            }
            if let Some(stop) = &mut self.stop
                && Pin::new(stop).poll(cx).is_ready()
            {
                self.stop = None;
                self.connection.stop(&context);
                let over = deadline_after(now(), state.config().close_timeout.saturating_mul(2));
                self.patience = Some(runtime::timer(over));
            }
            if let Some(patience) = &mut self.patience
                && patience.as_mut().poll(cx).is_ready()
            {
                self.patience = None;
                self.connection.kill();
            }
            if self.memory.must_go() {
                self.connection.drop_for_memory(&context);
            }
            self.connection.resume(&mut share, &context);
            progress |= self.connection.may_go_on();
            self.connection.continue_events(&mut share, &context);
            let wanted_input = self.connection.wants_input();
            let mut has_read = false;
            if !self.readable || !wanted_input {
                self.memory.go_on();
            } else if !share.is_over() && (self.due || self.memory.may_read(&self.connection, cx)) {
                has_read = self.read(cx, &mut share, &context);
            }
            progress |= has_read;
            progress |= self.write(cx, &context);
            self.memory.note(&self.connection);
            // What has arrived by the deadline is read and delivered before it takes effect.
            let has_more = has_read || self.connection.may_go_on() || share.is_over();
            if self.due && !(has_more && self.connection.has_grace(&context)) {
                self.due = false;
                self.connection.timed_out(&context);
            }

            match self.connection.next(&context) {
                Next::Wait => {}
                Next::ShutdownWrite => self.shutting = true,
                Next::Drop => {
                    self.over = true;
                    self.memory.go_on();
                    self.timer = Some(runtime::timer(deadline_after(now(), state.config().close_timeout)));
                    progress = true;
                }
            }
            // The stream was not asked for input, so it will not wake us for any: go on with that.
            progress |= self.connection.may_go_on() || (!wanted_input && self.connection.wants_input());
            if self.shutting {
                self.close(cx);
            }
            if let Some(at) = self.connection.new_deadline() {
                self.timer = Some(runtime::timer(at));
                progress = true;
            }
            self.greedy = share.is_over();
            if !progress && !share.is_over() {
                return Poll::Pending;
            }
            if share.is_over() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// CloseOnDrop our side of the stream, once; whether that is done.
    fn close(&mut self, cx: &mut std::task::Context<'_>) -> bool {
        self.closed = self.closed || self.stream.poll_close(cx).is_ready();
        self.closed
    }

    fn read(&mut self, cx: &mut std::task::Context<'_>, share: &mut Share, context: &Context<'_>) -> bool {
        let mut read_buffers = SCRATCHES.try_with(Cell::take).unwrap_or_default(); // a thread that ends has none any more
        read_buffers.resize(SCRATCH, 0);
        let progress = match self.stream.poll_read(cx, &mut read_buffers) {
            // Nothing more comes where nothing can be written any more.
            Poll::Pending if self.connection.has_failed_to_write() => {
                self.readable = false;
                self.connection.end_of_input(context);
                true
            }
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => {
                self.readable = false;
                self.connection.end_of_input(context);
                true
            }
            Poll::Ready(Ok(count)) => {
                self.connection.receive(read_buffers.get_mut(..count).unwrap_or_default(), share, context);
                true
            }
            Poll::Ready(Err(error)) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.readable = false;
                    self.connection.read_failed(error, context);
                }
                true
            }
        };
        // A handler that ran another stream meanwhile has taken an empty one, and left its own here.
        let _ = SCRATCHES.try_with(|kept| kept.set(read_buffers));
        progress
    }

    /// Writes what there is to write; whether there was more than its share.
    fn write(&mut self, cx: &mut std::task::Context<'_>, context: &Context<'_>) -> bool {
        let stream = &mut self.stream;
        let (mut pending, mut share) = (false, WriteShare::new());
        loop {
            let flushed = self.connection.flush(&mut |slices| {
                share.write(|| match stream.poll_write(cx, slices) {
                    Poll::Ready(result) => result,
                    Poll::Pending => {
                        pending = true;
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                })
            });
            match flushed {
                // A short write is not yet the stream's word that it will wake us.
                Ok(false) if !pending && !share.was_cut() => {}
                Ok(_) => break,
                Err(error) => {
                    self.connection.write_failed(error, context);
                    return false;
                }
            }
        }
        if !self.shutting
            && let Poll::Ready(Err(error)) = stream.poll_flush(cx)
        {
            self.connection.write_failed(error, context);
        }
        share.was_cut()
    }
}
