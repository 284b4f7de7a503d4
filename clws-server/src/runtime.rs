//! The asynchronous runtime: the only file that names `async_std`.
//!
//! async-std is discontinued in favour of smol (RUSTSEC-2025-0052), which runs on the same
//! `async-io` reactor. To move, replace the imports of this file: `smol::spawn`, `smol::Timer::at`,
//! `smol::net`.
//!
//! Shards run on separate threads. A shard as a task of the executor that awaits its poller would
//! pay for two reactors at each wake-up; `ARCHITECTURE.md` has the figures.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{self, Shutdown, SocketAddr};
#[cfg(unix)]
use std::os::unix;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use async_std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use async_std::os::unix::net::{UnixListener, UnixStream};
use futures::io::{AsyncRead, AsyncWrite};

use crate::time::now;

/// A timer, boxed so that it can be stored and polled.
pub(crate) type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A timer that ends at a point in time.
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

/// Runs a detached task on the executor.
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

/// Yields to other tasks of the executor.
pub(crate) async fn yield_now() {
    async_std::task::yield_now().await;
}

/// A listening socket of the runtime.
pub(crate) struct AsyncListener<L>(L);

impl AsyncListener<TcpListener> {
    pub(crate) fn tcp(listener: net::TcpListener) -> Self {
        Self(listener.into())
    }

    pub(crate) async fn accept(&self) -> io::Result<(AsyncSocket<TcpStream>, SocketAddr)> {
        let (socket, address) = self.0.accept().await?;
        Ok((AsyncSocket { socket, shutdown: TcpStream::shutdown }, address))
    }
}

#[cfg(unix)]
impl AsyncListener<UnixListener> {
    pub(crate) fn unix(listener: unix::net::UnixListener) -> Self {
        Self(listener.into())
    }

    pub(crate) async fn accept(&self) -> io::Result<AsyncSocket<UnixStream>> {
        let (socket, _) = self.0.accept().await?;
        Ok(AsyncSocket { socket, shutdown: UnixStream::shutdown })
    }
}

/// A socket whose `poll_close` ends our side. The `poll_close` of async-std's sockets only flushes.
pub(crate) struct AsyncSocket<S> {
    socket: S,
    shutdown: fn(&S, Shutdown) -> io::Result<()>,
}

impl<S> AsyncSocket<S> {
    pub(crate) const fn get_ref(&self) -> &S {
        &self.socket
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AsyncSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AsyncSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
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
