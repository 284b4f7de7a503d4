//! Accepts connections on a thread and serves each with a task of the runtime, where shards cannot
//! or must not.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Context, Poll, Wake};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, select};

use crate::config::address::Peer;
use crate::driver::state::DriverState;
use crate::driver::stream;
use crate::guard::{DebugOn, Nowhere, Watch, guard_other};
use crate::net::acceptor::Acceptor;
use crate::net::handover::SETTLE_TIME;
use crate::net::poll::{Events, Poller, Waker};
use crate::net::shortage::{Shortage, refuse_at_once};
use crate::net::socket::Socket;
use crate::runtime::clock::sleep_until;
use crate::runtime::traits::BoxStream;
use crate::stats::kinds::HandshakeOutcome;
use crate::time::now;
#[cfg(feature = "__tls")]
use crate::{
    connection::Connection,
    connection::context::Context as ConnectionContext,
    guard::log,
    net::shortage::INTERNAL_ERROR,
    net::tls::{info::TlsCell, stream::TlsStream},
    net::transport::TlsTransport,
};

/// Connections that are accepted before other listening sockets have their turn.
const ACCEPTS_PER_TURN: u32 = 64;

/// The most connections that are accepted from the queue of a socket before it is closed.
const LAST_ACCEPTS: usize = 65_536;

/// The time between two looks at the clients of a server that drains.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The pause after a failure to accept, when no client can be refused either.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A listening socket that a poller watches. Dropping it closes the port.
struct Port<'a> {
    acceptor: Acceptor,
    poller: &'a Poller,
}

impl Drop for Port<'_> {
    fn drop(&mut self) {
        self.poller.remove_listener(&self.acceptor);
    }
}

/// Ends the wait of the accepting thread.
struct Ring(Waker);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
}

/// Accepts connections on a new thread, until the server stops or its drain closes the ports. The
/// future ends with the thread.
///
/// # Errors
///
/// The system refuses a thread or a poller, or the server has no runtime for the clients.
pub(crate) fn spawn(
    listeners: Vec<Acceptor>,
    state: Arc<DriverState>,
) -> io::Result<impl Future<Output = io::Result<()>>> {
    state.runtime().check().map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
    let poller = Poller::for_listeners()?;
    let (done, ended) = oneshot::channel();
    thread::Builder::new().name("clws-accept".to_owned()).spawn(move || {
        let ended = run(listeners, &poller, &state);
        // The send fails when `Server::run` was dropped. It may wake a task of the application.
        guard_other(DebugOn::default(), "a waker", &Nowhere, || drop(done.send(ended)));
    })?;
    Ok(async { ended.await.unwrap_or_else(|_| Err(io::Error::other("the accepting thread panicked"))) })
}

/// Polls the loops of all listening sockets whenever one of them may have a connection.
fn run(listeners: Vec<Acceptor>, poller: &Poller, state: &Arc<DriverState>) -> io::Result<()> {
    let _watch = Watch::start(state.config().debug_on_server_errors);
    let mut loops: Vec<BoxFuture<'_, io::Result<()>>> = Vec::new();
    for (index, acceptor) in listeners.into_iter().enumerate() {
        poller.add_listener(&acceptor, index)?;
        loops.push(accept_all(Port { acceptor, poller }, state).boxed());
    }
    let waker = task::Waker::from(Arc::new(Ring(poller.waker())));
    let mut cx = Context::from_waker(&waker);
    let mut events = Events::new();
    loop {
        let mut result = Ok(());
        loops.retain_mut(|accepting| match accepting.poll_unpin(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(ended) => {
                result = std::mem::replace(&mut result, Ok(())).and(ended);
                false
            }
        });
        result?;
        if loops.is_empty() {
            return Ok(());
        }
        poller.wait(&mut events, None)?;
    }
}

/// Serves the connections of a listening socket.
async fn accept_all(port: Port<'_>, state: &Arc<DriverState>) -> io::Result<()> {
    let acceptor = &port.acceptor;
    let accept = || -> io::Result<Option<(Socket, Peer)>> {
        let (socket, peer) = acceptor.accept(state.config())?;
        Ok(state.shortage.admit(socket, refuse_at_once).map(|socket| (socket, peer)))
    };
    // The port reports an edge, so it is asked until no connection waits.
    let next = || {
        poll_fn(|_| match accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            accepted => Poll::Ready(accepted),
        })
    };
    let mut end = pin!(port_ends(acceptor, state));
    let mut accepted = 0_u32;
    loop {
        // The end comes first, because there may always be a client to accept.
        match select(&mut end, next()).await {
            Either::Right((Ok(None), _)) => {
                state.context.shared.counters.note_handshake(HandshakeOutcome::NoDescriptor);
            }
            Either::Right((Ok(Some((socket, peer))), _)) => {
                serve(socket, peer, state)?;
                accepted = accepted.wrapping_add(1);
                if accepted.is_multiple_of(ACCEPTS_PER_TURN) {
                    yield_now().await;
                }
            }
            Either::Right((Err(error), _)) => accept_failed(error, acceptor, state).await,
            Either::Left(_) => break,
        }
    }
    // The system resets the connections that wait in the queue of a closed socket.
    if state.drain().is_draining() && !acceptor.is_foreign() {
        for _ in 0..LAST_ACCEPTS {
            match accept() {
                Ok(client) => {
                    if let Some((socket, peer)) = client {
                        serve(socket, peer, state)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => break,
            }
        }
    }
    Ok(())
}

/// Serves a connection with a task.
///
/// # Errors
///
/// The runtime has no sockets.
fn serve(socket: Socket, peer: Peer, state: &Arc<DriverState>) -> io::Result<()> {
    let is_tls = socket.is_tls();
    let stream = state.runtime().socket(|runtime| match socket {
        Socket::Tcp(socket) => runtime.tcp(socket),
        #[cfg(feature = "__tls")]
        Socket::Tls(socket) => runtime.tcp(socket),
        #[cfg(unix)]
        Socket::Unix(socket) => runtime.unix(socket),
        #[cfg(all(test, unix))]
        Socket::Sim(_) => Err(io::ErrorKind::Unsupported.into()),
    });
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let fault = "the runtime of the server has no sockets, which `task_per_client` needs (tokio: call `enable_io`)";
            return Err(io::Error::new(error.kind(), fault));
        }
        // The runtime has ended, or no memory or descriptor is left.
        Err(error) => {
            state.shortage.log_error(&error);
            return Ok(());
        }
    };
    if is_tls {
        return serve_tls(stream, peer, state);
    }
    let has_peer_ended = |stream: &BoxStream| stream.peer_has_ended();
    let task = stream::drive(stream, peer, Arc::clone(state), state.admit(peer), has_peer_ended);
    state.runtime().spawn(task).map_err(io::Error::other)
}

/// Serves a connection with TLS with a task.
#[cfg(feature = "__tls")]
fn serve_tls(stream: BoxStream, peer: Peer, state: &Arc<DriverState>) -> io::Result<()> {
    let info = Arc::new(TlsCell::new());
    let transport = state.tls().map(|tls| TlsTransport::new(tls, Arc::clone(&info)));
    let mut transport = match transport {
        Some(Ok(transport)) => transport,
        Some(Err(error)) => {
            log(|| tracing::error!(%peer, "not taken, because TLS cannot be used: {error}"));
            return Ok(());
        }
        None => return Err(io::ErrorKind::NotFound.into()), // `bind` requires certificates
    };
    let admitted = state.admit(peer);
    if admitted.is_err() {
        transport.refuse(&INTERNAL_ERROR);
    }
    let stream = TlsStream::new(stream, transport);
    let has_peer_ended = |stream: &TlsStream<BoxStream>| stream.inner().peer_has_ended();
    let new = |peer: Peer, context: &ConnectionContext<'_>| Connection::with_tls(peer, info, context);
    let task = stream::drive_new(stream, peer, Arc::clone(state), admitted, has_peer_ended, new);
    state.runtime().spawn(task).map_err(io::Error::other)
}

#[cfg(not(feature = "__tls"))]
fn serve_tls(stream: BoxStream, _: Peer, _: &Arc<DriverState>) -> io::Result<()> {
    drop(stream);
    Err(io::ErrorKind::Unsupported.into()) // no socket has TLS
}

/// Returns to the other futures of the thread once.
async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
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
        select(&mut stop, sleep_until(now() + SETTLE_TIME)).await;
    }
}

/// Waits until the server stops, or until its drain has ended all clients or its time is over.
pub(crate) async fn drained_or_stopped(state: &DriverState) {
    let mut stop = state.stopped();
    loop {
        let (plan, changed) = state.drain().watch();
        let next = match plan {
            None => changed.left_future(),
            Some(plan) if state.drain().open() == 0 || plan.until <= now() => return,
            Some(_) => sleep_until(now() + POLL_INTERVAL).right_future(),
        };
        if let Either::Left(_) = select(&mut stop, next).await {
            return;
        }
    }
}

/// Without a descriptor, the client that waits is refused. After other errors, accepting pauses.
async fn accept_failed(error: io::Error, acceptor: &Acceptor, state: &DriverState) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
        return;
    }
    if Shortage::is_meant_by(&error) {
        match state.shortage.refuse(acceptor, state.config()) {
            Ok(()) => {
                state.context.shared.counters.note_handshake(HandshakeOutcome::NoDescriptor);
                return yield_now().await;
            }
            // No client waits. The system reports that only when there is a free descriptor again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => state.shortage.log_error(&error),
        }
    } else {
        state.shortage.log_error(&error);
    }
    sleep_until(now() + ACCEPT_REST).await;
    state.shortage.prepare();
}
