//! The runtime: the only file that names `async_std`.
//!
//! async-std is discontinued in favour of smol (RUSTSEC-2025-0052), which runs on the same `async-io` reactor. To move,
//! replace what this file imports: `smol::spawn`, `smol::Timer::at`, `smol::net`.
//!
//! Shards have threads of their own. A shard that is a task of the executor and awaits its poller pays for two reactors
//! at each wake-up; `ARCHITECTURE.md` has the figures.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use async_std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use async_std::os::unix::net::{UnixListener, UnixStream};
use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::io::{AsyncRead, AsyncWrite};

use crate::config::address::Peer;
use crate::driver::state::DriverState;
use crate::driver::stream;
use crate::guard::{DebugOn, guard_other};
use crate::net::acceptor::Acceptor;
use crate::net::shortage::{Shortage, refuse_stream};
use crate::net::tcp::set_accepted_options;
use crate::time::now;

/// A timer, boxed so that it can be kept and polled.
pub(crate) type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A timer that ends at that time.
pub(crate) fn timer(at: Instant) -> Timer {
    #[cfg(all(test, unix))]
    if let Some(timer) = crate::sim::executor::timer(at) {
        return timer;
    }
    if cfg!(all(test, shuttle)) {
        return Box::pin(std::future::pending()); // time stands still in models
    }
    Box::pin(async_std::task::sleep(at.saturating_duration_since(now())))
}

/// Runs a task on the executor, detached.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    #[cfg(all(test, unix))]
    if crate::sim::executor::is_here() {
        return crate::sim::executor::spawn(task);
    }
    #[cfg(all(test, shuttle))]
    drop(shuttle::future::spawn(task));
    #[cfg(not(all(test, shuttle)))]
    drop(async_std::task::spawn(task));
}

/// Lets other tasks of the executor have their turn.
pub(crate) async fn yield_now() {
    async_std::task::yield_now().await;
}

/// Runs a shard on a thread of its own; the future ends with it.
pub(crate) fn run_shard(
    name: String,
    shard: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<impl Future<Output = io::Result<()>>> {
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name(name).spawn(move || {
        let ended = shard();
        // It fails only where nobody waits for the server any more. Whoever waits is woken.
        guard_other(DebugOn::default(), "a waker", || drop(done.send(ended)));
    })?;
    Ok(async { ended.await.unwrap_or_else(|_| Err(io::Error::other("a shard panicked"))) })
}

/// Accepts connections until the server stops, and serves each in a task of its own.
pub(crate) async fn serve_tasks(listener: Acceptor, state: Arc<DriverState>) -> io::Result<()> {
    let mut stop = state.stopped();
    let mut accepted = 0_u32;
    match &listener {
        Acceptor::Tcp(tcp) => {
            let accepting = TcpListener::from(tcp.try_clone()?);
            loop {
                match select(Box::pin(accepting.accept()), stop).await {
                    Either::Left((Ok((socket, address)), rest)) => {
                        stop = rest;
                        let Some(socket) =
                            state.shortage.admit(socket, |socket| refuse_stream(&socket.into()))
                        else {
                            continue;
                        };
                        set_accepted_options((&socket).into(), state.config());
                        let socket = ShutdownOnClose { socket, shutdown: TcpStream::shutdown };
                        spawn(stream::drive(socket, Peer::Tcp(address), Arc::clone(&state), state.admit()));
                        accepted = accepted.wrapping_add(1);
                        rest_now_and_then(accepted).await;
                    }
                    Either::Left((Err(error), rest)) => {
                        stop = rest;
                        cannot_accept(error, &listener, &state).await;
                    }
                    Either::Right(_) => return Ok(()),
                }
            }
        }
        #[cfg(unix)]
        Acceptor::Unix(bound) => {
            let accepting = UnixListener::from(bound.listener.try_clone()?);
            loop {
                match select(Box::pin(accepting.accept()), stop).await {
                    Either::Left((Ok((socket, _)), rest)) => {
                        stop = rest;
                        let Some(socket) =
                            state.shortage.admit(socket, |socket| refuse_stream(&socket.into()))
                        else {
                            continue;
                        };
                        let socket = ShutdownOnClose { socket, shutdown: UnixStream::shutdown };
                        spawn(stream::drive(socket, Peer::Unix, Arc::clone(&state), state.admit()));
                        accepted = accepted.wrapping_add(1);
                        rest_now_and_then(accepted).await;
                    }
                    Either::Left((Err(error), rest)) => {
                        stop = rest;
                        cannot_accept(error, &listener, &state).await;
                    }
                    Either::Right(_) => return Ok(()),
                }
            }
        }
        #[cfg(all(test, unix))]
        Acceptor::Sim(_) => Ok(()),
    }
}

/// A socket that is closed by ending our side of the connection; async-std's own only flush.
struct ShutdownOnClose<S> {
    socket: S,
    shutdown: fn(&S, Shutdown) -> io::Result<()>,
}

impl<S: AsyncRead + Unpin> AsyncRead for ShutdownOnClose<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ShutdownOnClose<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready((self.shutdown)(&self.socket, Shutdown::Write))
    }
}

/// Lets other tasks have their turn after some connections: more may come for ever.
async fn rest_now_and_then(accepted: u32) {
    if accepted.is_multiple_of(64) {
        yield_now().await;
    }
}

/// Accepting failed. Without a descriptor, the client that waits is refused; otherwise accepting rests.
async fn cannot_accept(error: io::Error, listener: &Acceptor, state: &DriverState) {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    if Shortage::is_meant_by(&error) {
        match state.shortage.refuse(listener, state.config()) {
            Ok(()) => return yield_now().await,
            // Nobody waits; accepting itself says so only when there is a descriptor again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => state.shortage.log_error(&error),
        }
    } else {
        state.shortage.log_error(&error);
    }
    async_std::task::sleep(std::time::Duration::from_millis(100)).await;
    state.shortage.prepare();
}
