//! Accepts connections and serves each in a task of the executor, where shards cannot or must not.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, select};
use futures::io::{AsyncRead, AsyncWrite};

use crate::config::address::Peer;
use crate::driver::state::DriverState;
use crate::driver::stream;
use crate::net::acceptor::Acceptor;
use crate::net::handover::SETTLE_TIME;
use crate::net::shortage::{Shortage, refuse_stream};
use crate::net::socket::peer_has_ended;
use crate::net::tcp::set_accepted_options;
use crate::runtime::{self, AsyncListener};
use crate::stats::kinds::HandshakeOutcome;
use crate::time::now;

/// Connections that are accepted before other tasks have their turn.
const ACCEPTS_PER_TURN: u32 = 64;

/// The most connections that are accepted from the queue of a socket before it is closed.
const LAST_ACCEPTS: usize = 65_536;

/// The time between two looks at the clients of a server that drains.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The pause after a failure to accept, when no client can be refused either.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Accepts connections until the server stops, or until its drain closes the port.
pub(crate) async fn serve(acceptor: Acceptor, state: Arc<DriverState>) -> io::Result<()> {
    match &acceptor {
        Acceptor::Tcp { listener: tcp, .. } => {
            let listener = AsyncListener::tcp(tcp.try_clone()?);
            let accept = async || {
                let (socket, address) = listener.accept().await?;
                let socket = state.shortage.admit(socket, |socket| refuse_stream(&socket.get_ref().into()));
                if let Some(socket) = &socket {
                    set_accepted_options(socket.get_ref().into(), state.config());
                }
                Ok(socket.map(|socket| (socket, Peer::Tcp(address))))
            };
            accept_all(accept, |socket| peer_has_ended(socket.get_ref()), &acceptor, &state).await
        }
        #[cfg(unix)]
        Acceptor::Unix(socket) => {
            let listener = AsyncListener::unix(socket.listener.try_clone()?);
            let accept = async || {
                let socket = listener.accept().await?;
                let socket = state.shortage.admit(socket, |socket| refuse_stream(&socket.get_ref().into()));
                Ok(socket.map(|socket| (socket, Peer::Unix)))
            };
            accept_all(accept, |socket| peer_has_ended(socket.get_ref()), &acceptor, &state).await
        }
        #[cfg(all(test, unix))]
        Acceptor::Sim(_) => Ok(()),
    }
}

/// Serves the connections that `accept` returns. It returns `None` for one that was refused.
async fn accept_all<S, A>(
    accept: impl Fn() -> A,
    has_peer_ended: fn(&S) -> bool,
    acceptor: &Acceptor,
    state: &Arc<DriverState>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Future<Output = io::Result<Option<(S, Peer)>>>,
{
    let mut end = pin!(port_ends(acceptor, state));
    let serve = |(socket, peer)| {
        runtime::spawn(stream::drive(socket, peer, Arc::clone(state), state.admit(peer), has_peer_ended));
    };
    let mut accepted = 0_u32;
    loop {
        // The end comes first, because there may always be a client to accept.
        match select(&mut end, pin!(accept())).await {
            Either::Right((Ok(None), _)) => {
                state.context.shared.counters.note_handshake(HandshakeOutcome::NoDescriptor);
            }
            Either::Right((Ok(Some(client)), _)) => {
                serve(client);
                accepted = accepted.wrapping_add(1);
                if accepted.is_multiple_of(ACCEPTS_PER_TURN) {
                    runtime::yield_now().await;
                }
            }
            Either::Right((Err(error), _)) => accept_failed(error, acceptor, state).await,
            Either::Left(_) => break,
        }
    }
    // The system resets the connections that wait in the queue of a closed socket.
    if state.drain().is_draining() && !acceptor.is_foreign() {
        for _ in 0..LAST_ACCEPTS {
            match accept().now_or_never() {
                Some(Ok(client)) => client.into_iter().for_each(serve),
                Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Some(Err(_)) | None => break,
            }
        }
    }
    Ok(())
}

/// Waits until no more connections may be accepted.
async fn port_ends(acceptor: &Acceptor, state: &DriverState) {
    let mut stop = state.stopped();
    let plan = loop {
        let (plan, changed) = state.drain().watch();
        match plan {
            Some(plan) => break plan,
            None => {
                if let Either::Left(_) = select(&mut stop, changed).await {
                    return;
                }
            }
        }
    };
    if plan.keeps_port {
        drained_or_stopped(state).await;
    }
    if acceptor.hand_over(state.config()) {
        select(&mut stop, runtime::timer(now() + SETTLE_TIME)).await;
    }
}

/// Waits until the server stops, or until its drain has ended all clients or its time is over.
pub(crate) async fn drained_or_stopped(state: &DriverState) {
    let mut stop = state.stopped();
    loop {
        let (plan, changed) = state.drain().watch();
        let next: runtime::Timer = match plan {
            None => Box::pin(changed),
            Some(plan) if state.drain().open() == 0 || plan.until <= now() => return,
            Some(_) => runtime::timer(now() + POLL_INTERVAL),
        };
        if let Either::Left(_) = select(&mut stop, next).await {
            return;
        }
    }
}

/// Without a descriptor, the client that waits is refused. After other errors, accepting pauses.
async fn accept_failed(error: io::Error, acceptor: &Acceptor, state: &DriverState) {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    if Shortage::is_meant_by(&error) {
        match state.shortage.refuse(acceptor, state.config()) {
            Ok(()) => {
                state.context.shared.counters.note_handshake(HandshakeOutcome::NoDescriptor);
                return runtime::yield_now().await;
            }
            // No client waits. The system reports that only when there is a free descriptor again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => state.shortage.log_error(&error),
        }
    } else {
        state.shortage.log_error(&error);
    }
    runtime::timer(now() + ACCEPT_REST).await;
    state.shortage.prepare();
}
