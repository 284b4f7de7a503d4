//! The driver of one connection over any asynchronous stream: a TLS stream, a stream that another
//! HTTP server upgraded, a pipe in a test. Where sockets cannot be polled by edges, it serves them
//! too.

mod ending;
mod guarded;
mod memory;
mod stream_io;
#[cfg(feature = "http")]
pub(crate) mod upgrade;

use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Instant;

use clws_handshake::Reject;
use futures::FutureExt;
use futures::io::{AsyncRead, AsyncWrite};

use crate::admission::addresses::AddressPermit;
use crate::admission::{Admitted, ConnectionPermit};
use crate::config::address::Peer;
use crate::connection::Connection;
use crate::connection::context::Context;
use crate::connection::refusal::refusal;
use crate::connection::share::Share;
use crate::driver::drive::{self, Settled};
use crate::driver::state::DriverState;
use crate::driver::stream::ending::Ending;
use crate::driver::stream::guarded::GuardedStream;
use crate::driver::stream::memory::Memory;
use crate::driver::stream::stream_io::StreamIo;
use crate::driver::streams::Holder;
use crate::guard::{Nowhere, Watch};
use crate::runtime::handle::Timer;
use crate::sync::{Mutex, broken};
use crate::task_waker::TaskWaker;
use crate::time::{deadline_after, now};
use crate::wake::WakeTargetRef;

/// The most steps of one poll, whatever its share of time, so that a stream that is always ready
/// does not occupy its thread.
const STEPS_PER_POLL: usize = 16;

/// Serves one stream to its end. `admitted` is the result of [`DriverState::admit`] or
/// [`DriverState::admit_stream`]. `has_peer_ended` tells without reading whether the peer sends
/// nothing more; false if that is not known.
pub(crate) fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Peer,
    state: Arc<DriverState>,
    admitted: Result<Admitted, ConnectionPermit>,
    has_peer_ended: fn(&S) -> bool,
) -> impl Future<Output = ()> {
    drive_new(stream, peer, state, admitted, has_peer_ended, Connection::new)
}

/// [`drive`], with the function that makes the connection.
pub(crate) fn drive_new<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Peer,
    state: Arc<DriverState>,
    admitted: Result<Admitted, ConnectionPermit>,
    has_peer_ended: fn(&S) -> bool,
    new: impl FnOnce(Peer, &Context<'_>) -> Connection,
) -> impl Future<Output = ()> {
    let stream = GuardedStream::new(stream, state.config().debug_on(), has_peer_ended);
    let permit = admitted.map(|admitted| PermitGuard(Arc::clone(&state), admitted));
    let mut stage = Stage::New(Start { stream, peer, state, permit, new });
    // An async function would hold each value twice, before and after its move: 1 KiB for each task.
    poll_fn(move |cx| {
        if let Stage::New(_) = &stage
            && let Stage::New(start) = std::mem::replace(&mut stage, Stage::Ended)
        {
            stage = start.begin();
        }
        let polled = match &mut stage {
            Stage::Running(running) => running.poll(cx),
            Stage::Refused(stream) => {
                refuse_at_once(stream, cx);
                Poll::Ready(())
            }
            Stage::New(_) | Stage::Ended => Poll::Ready(()),
        };
        if polled.is_ready() {
            stage = Stage::Ended;
        }
        polled
    })
}

/// The task of a stream.
#[expect(clippy::large_enum_variant, reason = "nearly all of its time, a task is in the large stage")]
enum Stage<S, N> {
    New(Start<S, N>),
    Running(Running<S>),
    /// A stream that is not admitted.
    Refused(GuardedStream<S>),
    Ended,
}

/// A stream before the first poll of its task.
struct Start<S, N> {
    stream: GuardedStream<S>,
    peer: Peer,
    state: Arc<DriverState>,
    permit: Result<PermitGuard, ConnectionPermit>,
    new: N,
}

impl<S, N> Start<S, N>
where
    S: AsyncRead + AsyncWrite + Unpin,
    N: FnOnce(Peer, &Context<'_>) -> Connection,
{
    fn begin(self) -> Stage<S, N> {
        #[cfg_attr(not(feature = "capture"), expect(unused_mut, reason = "a recording changes it"))]
        let Self { mut stream, peer, state, permit, new } = self;
        let permit = match permit {
            Ok(permit) => permit,
            Err(permit) => {
                if let Some((_, outcome)) = refusal(permit) {
                    state.context.shared.counters.note_handshake(outcome);
                }
                return Stage::Refused(stream);
            }
        };
        let refused = refusal(permit.1.permit);
        let seat = Seat::new(&state, permit);
        let context = state.connection_context(WakeTargetRef::Stream(&seat.waker));
        #[cfg(feature = "capture")]
        if let Some(recorder) = context.recorder().filter(|_| refused.is_none()) {
            stream.tap = recorder.begin_for(peer, || None).map(Box::new);
        }
        let is_admitted = refused.is_none();
        let connection = match refused {
            Some((reject, outcome)) => Connection::refused(&reject, outcome, &context),
            None => new(peer, &context),
        };
        let awaits_header = is_admitted && state.config().expects_proxy_header(peer);
        let header = awaits_header.then(Vec::new);
        Stage::Running(Running::new(stream, header, connection, seat, Mutex::new(None)))
    }
}

/// Serves a connection over its stream, to the end of both: see [`Running::new`].
#[cfg(feature = "http")]
fn run<S: AsyncRead + AsyncWrite + Unpin>(
    stream: GuardedStream<S>,
    header: Option<Vec<u8>>,
    connection: Connection,
    seat: Seat,
    address: Mutex<Option<AddressPermit>>,
) -> impl Future<Output = ()> {
    let mut running = Running::new(stream, header, connection, seat, address);
    poll_fn(move |cx| running.poll(cx))
}

/// What a connection needs while it is served, in the order in which it is dropped.
struct Running<S> {
    holder: Arc<Holder>,
    driver: Driver<S>,
    state: Arc<DriverState>,
    _permit: PermitGuard,
    waker: Arc<TaskWaker>,
    address: Mutex<Option<AddressPermit>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Running<S> {
    /// `header` is that of the PROXY protocol, if it has to come. `address` counts for the address
    /// that a proxy reports, as long as the connection lives.
    fn new(
        stream: GuardedStream<S>,
        header: Option<Vec<u8>>,
        connection: Connection,
        seat: Seat,
        address: Mutex<Option<AddressPermit>>,
    ) -> Self {
        let Seat { memory, ending, waker, permit, state } = seat;
        let driver = Driver {
            stream,
            header,
            connection,
            readable: true,
            shutting: false,
            closed: false,
            over: false,
            used_share: false,
            timer: None,
            due: false,
            check: None,
            ending,
            memory,
        };
        let holder = Arc::clone(driver.memory.holder());
        Self { holder, driver, state, _permit: permit, waker, address }
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        let Self { driver, state, holder, waker, address, .. } = self;
        broken!(RegistersTooLate, {
            let polled = driver.poll(cx, state, holder, address);
            waker.register(cx.waker());
            return polled;
        });
        waker.register(cx.waker());
        driver.poll(cx, state, holder, address)
    }
}

/// A stream's place in the server, from its admission to its end.
struct Seat {
    memory: Memory,
    ending: Ending,
    waker: Arc<TaskWaker>,
    permit: PermitGuard,
    state: Arc<DriverState>,
}

impl Seat {
    /// Create it before the connection, so that a drain which begins meanwhile refuses its
    /// handshake.
    fn new(state: &Arc<DriverState>, permit: PermitGuard) -> Self {
        let waker = Arc::new(TaskWaker::default());
        let (ending, memory) = (Ending::new(state), Memory::new(state, &waker));
        Self { memory, ending, waker, permit, state: Arc::clone(state) }
    }
}

/// Answers a new connection with 503 without waiting for anything.
fn refuse_at_once<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut GuardedStream<S>,
    cx: &mut task::Context<'_>,
) {
    let response = Reject::unavailable(None).response();
    // Unread input resets the connection, which may destroy the answer.
    let _ = stream.poll_read(cx, &Nowhere, &mut [0; 4096]);
    let _ = stream.poll_write(cx, &Nowhere, &[IoSlice::new(&response)]);
    let _ = stream.poll_close(cx, &Nowhere);
}

/// Releases an admission when it is dropped.
struct PermitGuard(Arc<DriverState>, Admitted);

impl Drop for PermitGuard {
    fn drop(&mut self) {
        self.0.release(self.1.permit);
    }
}

struct Driver<S> {
    stream: GuardedStream<S>,
    /// The beginning of a header of the PROXY protocol, until it is complete.
    header: Option<Vec<u8>>,
    connection: Connection,
    /// The stream has not ended.
    readable: bool,
    /// Our side is being ended, or has been.
    shutting: bool,
    /// Our side has ended.
    closed: bool,
    /// The connection is over. Its last output may still be in the stream's own buffer.
    over: bool,
    /// The client has used up its last share.
    used_share: bool,
    timer: Option<Timer>,
    /// The timer has expired, and the deadline has not taken effect.
    due: bool,
    /// The time at which the connection is checked for silence.
    check: Option<(Instant, Timer)>,
    ending: Ending,
    memory: Memory,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    fn poll(
        &mut self,
        cx: &mut task::Context<'_>,
        state: &Arc<DriverState>,
        holder: &Holder,
        address: &Mutex<Option<AddressPermit>>,
    ) -> Poll<()> {
        let _watch = state.config().debug_on_server_errors.then(|| Watch::start(true));
        let place = WakeTargetRef::Stream(&holder.waker);
        // Once the application has the client, it may send to it from any thread.
        let new_client = Some(&holder.client);
        let context = Context { new_client, address: Some(address), ..state.connection_context(place) };
        // One share for the whole poll: other tasks of the executor wait for it, as other clients
        // of a shard do.
        let mut share = if self.used_share {
            Share::strict(now)
        } else if self.connection.is_compressed() {
            Share::started_now(now)
        } else {
            Share::new(now)
        };
        for _ in 0..STEPS_PER_POLL {
            let mut progress = false;

            if self.timer.as_mut().is_some_and(|timer| timer.poll_unpin(cx).is_ready()) {
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
            self.ending.poll(cx, &mut self.connection, state, &context);
            if self.memory.must_drop() {
                self.connection.drop_for_memory(&context);
            }
            let must_check = self.check.as_mut().is_some_and(|(_, timer)| timer.poll_unpin(cx).is_ready());
            if must_check {
                self.check = None;
            }
            // A panic or a decision on another thread comes before further events.
            self.connection.resume(&mut share, &context);
            progress |= self.connection.can_continue();

            let flags = (&mut self.readable, &mut self.shutting);
            let mut io = StreamIo::new(&mut self.stream, cx, &mut self.memory, flags, self.due);
            io.header = Some(&mut self.header);
            let has_read = drive::receive(&mut self.connection, &mut io, &mut share, &context);
            if must_check {
                self.connection.check(&context);
            }
            let mut settled = drive::settle(&mut self.connection, &mut io, &context);
            progress |= has_read || io.was_cut;
            let wanted_input = io.wanted_input;
            if !self.readable || !self.connection.wants_input() {
                self.memory.stop_waiting();
            }
            self.memory.note(&self.connection);
            progress |= self.arm_check(state, &context);
            let has_more = has_read || self.connection.can_continue() || share.is_over();
            if self.due && settled != Settled::Drop && drive::expire(&mut self.connection, has_more, &context)
            {
                self.due = false;
                progress |= self.apply(settled, state);
                let flags = (&mut self.readable, &mut self.shutting);
                let mut io = StreamIo::new(&mut self.stream, cx, &mut self.memory, flags, false);
                settled = drive::settle(&mut self.connection, &mut io, &context);
            }
            progress |= self.apply(settled, state);
            // The stream was not asked for input, so it will not wake the task for any.
            progress |= self.connection.can_continue() || (!wanted_input && self.connection.wants_input());
            if self.shutting {
                self.close(cx);
            }
            self.used_share = share.is_over();
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

    /// Sets the timer. Returns whether it must be polled.
    fn apply(&mut self, settled: Settled, state: &DriverState) -> bool {
        let at = match settled {
            Settled::Wait(None) => return false,
            Settled::Wait(Some(at)) => at,
            Settled::Drop => {
                self.over = true;
                self.memory.stop_waiting();
                deadline_after(now(), state.config().close_timeout)
            }
        };
        self.timer = Some(state.runtime().timer(at));
        true
    }

    /// Sets the time of the next check, unless an earlier one is set. Returns whether its timer must
    /// be polled.
    fn arm_check(&mut self, state: &DriverState, context: &Context<'_>) -> bool {
        let Some(at) = self.connection.next_check(context) else { return false };
        let is_earlier = self.check.as_ref().is_none_or(|(armed, _)| at < *armed);
        if is_earlier {
            self.check = Some((at, state.runtime().timer(at)));
        }
        is_earlier
    }

    /// Closes our side of the stream, once. Returns whether that is done.
    fn close(&mut self, cx: &mut task::Context<'_>) -> bool {
        self.closed = self.closed || self.stream.poll_close(cx, &self.memory).is_ready();
        self.closed
    }
}
