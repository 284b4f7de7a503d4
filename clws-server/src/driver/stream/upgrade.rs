//! The driver of a handshake whose request another HTTP server has read.

use std::future::{Future, poll_fn};
#[cfg(feature = "capture")]
use std::io::IoSlice;
use std::sync::Arc;
use std::task::{self, Poll};

use clws_handshake::{Accepted, Reject};
use clws_proto::Input;
use futures::FutureExt;
use futures::io::{AsyncRead, AsyncWrite};

use crate::admission::addresses::AddressPermit;
use crate::config::address::Peer;
use crate::connection::Connection;
use crate::connection::context::Context;
use crate::connection::refusal::{RETRY_AFTER, refusal};
use crate::connection::share::Share;
use crate::connection::upgrade::{Unserved, Upgrade, UpgradeAnswer};
use crate::driver::state::DriverState;
use crate::driver::stream::guarded::GuardedStream;
use crate::driver::stream::{PermitGuard, Seat, run};
use crate::guard::{Watch, log};
use crate::runtime::handle::Timer;
use crate::stats::kinds::HandshakeOutcome;
use crate::sync::Mutex;
use crate::time::now;
use crate::wake::WakeTargetRef;

/// A client that was accepted, and waits for its stream.
pub(crate) struct Waiting {
    peer: Peer,
    unserved: Unserved,
    seat: Seat,
    /// Counts for the address that a proxy reports.
    address: Mutex<Option<AddressPermit>>,
}

/// Decides on a request with this head. The error is the answer to a refused request.
pub(crate) async fn decide(
    state: Arc<DriverState>,
    head: Result<Vec<u8>, Reject>,
    upgrade: Upgrade,
    peer: Peer,
) -> Result<(Accepted, Waiting), Reject> {
    let counters = &state.context.shared.counters;
    let mut head = head.inspect_err(|reject| {
        counters.note_rejected(reject.status());
        log(|| tracing::debug!(%peer, status = reject.status(), "refused: {}", reject.body()));
    })?;
    if state.is_ending() {
        counters.note_handshake(HandshakeOutcome::Stopping);
        return Err(Reject::unavailable(Some(RETRY_AFTER)));
    }
    let permit = match state.admit_stream(peer) {
        Ok(admitted) => PermitGuard(Arc::clone(&state), admitted),
        // There are too many refused connections already. An upgrade holds no such connection.
        Err(permit) => return Err(refuse(&state, refusal(permit))),
    };
    if let refused @ Some(_) = refusal(permit.1.permit) {
        return Err(refuse(&state, refused));
    }
    let mut seat = Seat::new(&state, permit);
    let holder = Arc::clone(seat.memory.holder());
    let address = Mutex::new(None);
    let context = || Context {
        new_client: Some(&holder.client),
        address: Some(&address),
        ..state.connection_context(WakeTargetRef::Stream(&holder.waker))
    };
    let watch = || state.config().debug_on_server_errors.then(|| Watch::start(true));
    let mut connection = {
        let (_watch, context) = (watch(), context());
        let mut connection = Connection::upgrade(peer, upgrade, &context);
        connection.handle_input(Input::Lent(&mut head), &mut Share::new(now), &context);
        connection
    };
    let mut timer = None;
    let answer = poll_fn(|cx| {
        seat.waker.register(cx.waker());
        let (_watch, context) = (watch(), context());
        poll(cx, &mut connection, &mut seat, &mut timer, &context)
    })
    .await;
    match answer {
        UpgradeAnswer::Accepted(response, unserved) => {
            Ok((response, Waiting { peer, unserved: *unserved, seat, address }))
        }
        UpgradeAnswer::Refused(reject) => Err(reject),
    }
}

/// Counts a request that is refused before it is read.
fn refuse(state: &DriverState, refused: Option<(Reject, HandshakeOutcome)>) -> Reject {
    let (reject, outcome) = refused.unwrap_or((Reject::unavailable(None), HandshakeOutcome::Full));
    state.context.shared.counters.note_handshake(outcome);
    let reject = if reject.status() == 503 { Reject::unavailable(Some(RETRY_AFTER)) } else { reject };
    log(|| tracing::debug!(status = reject.status(), "refused: {}", reject.body()));
    reject
}

/// Waits for the decision of the application, at most until the deadline of the handshake, a stop or
/// a drain.
fn poll(
    cx: &mut task::Context<'_>,
    connection: &mut Connection,
    seat: &mut Seat,
    timer: &mut Option<Timer>,
    context: &Context<'_>,
) -> Poll<UpgradeAnswer> {
    loop {
        if let Some(answer) = connection.take_upgrade_answer() {
            return Poll::Ready(answer);
        }
        seat.memory.note(connection);
        if seat.memory.must_drop() {
            connection.drop_for_memory(context);
            return Poll::Ready(UpgradeAnswer::Refused(Reject::unavailable(Some(RETRY_AFTER))));
        }
        seat.ending.poll(cx, connection, &seat.state, context);
        connection.resume(&mut Share::new(now), context);
        if let Some(answer) = connection.take_upgrade_answer() {
            return Poll::Ready(answer);
        }
        if let Some(at) = connection.poll_timeout() {
            *timer = Some(seat.state.runtime().timer(at));
        }
        if !timer.as_mut().is_some_and(|timer| timer.poll_unpin(cx).is_ready()) {
            return Poll::Pending;
        }
        *timer = None;
        connection.handle_timeout(context);
    }
}

/// Serves a client over its stream, to the end of the connection. `None` means that the stream came
/// too late.
pub(crate) fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    state: &DriverState,
    waiting: Option<Waiting>,
    stream: S,
) -> impl Future<Output = ()> + use<S> {
    #[cfg_attr(not(feature = "capture"), expect(unused_mut, reason = "a recording changes it"))]
    let mut stream = GuardedStream::new(stream, state.config().debug_on(), |_| false);
    async move {
        #[cfg_attr(not(feature = "capture"), expect(unused_variables, reason = "only recordings have it"))]
        let Some(Waiting { peer, unserved, seat, address }) = waiting else {
            return log(|| tracing::debug!("the stream of an upgrade came too late"));
        };
        let connection = {
            let (state, holder) = (&seat.state, seat.memory.holder());
            let context = Context {
                new_client: Some(&holder.client),
                ..state.connection_context(WakeTargetRef::Stream(&holder.waker))
            };
            #[cfg(feature = "capture")]
            if let Some((received, sent)) = &unserved.recorded
                && let Some(mut tap) =
                    context.recorder().and_then(|recorder| recorder.begin_for(peer, || None))
            {
                tap.read(received);
                tap.written(&[IoSlice::new(sent)], sent.len());
                stream.tap = Some(Box::new(tap));
            }
            let _watch = state.config().debug_on_server_errors.then(|| Watch::start(true));
            let connection = Connection::upgraded(unserved, &mut Share::new(now), &context);
            // The handshake is over, so the recording begins before the first read.
            #[cfg(feature = "capture")]
            if let (None, Some(recorder), Some(client)) =
                (&stream.tap, context.recorder(), connection.client())
                && recorder.has_requests()
                && recorder.is_late(client.id().number()) == Some(false)
                && let Some(request) = recorder.take_request(client.id().number())
            {
                stream.tap = recorder.begin_request(&request, peer, client.remote(), None).map(Box::new);
            }
            connection
        };
        run(stream, None, connection, seat, address).await;
    }
}
