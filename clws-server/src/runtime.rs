//! The asynchronous runtime: the only file that names `async_std`.
//!
//! async-std is discontinued in favour of smol (RUSTSEC-2025-0052), which runs on the same
//! `async-io` reactor. To move, replace the imports of this file: `smol::spawn`, `smol::Timer::at`,
//! `smol::net`.
//!
//! Shards have threads of their own. A shard as a task of the executor that awaits its poller would
//! pay for two reactors at each wake-up; `ARCHITECTURE.md` has the figures.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use async_std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use async_std::os::unix::net::{UnixListener, UnixStream};
use futures::io::{AsyncRead, AsyncWrite};
use socket2::SockRef;

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
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A connection of the runtime. Closing it shuts our side down; async-std's own streams only flush.
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Listener {
    pub(crate) fn tcp(listener: std::net::TcpListener) -> Self {
        Self::Tcp(listener.into())
    }

    #[cfg(unix)]
    pub(crate) fn unix(listener: std::os::unix::net::UnixListener) -> Self {
        Self::Unix(listener.into())
    }

    /// Accepts a connection. Returns the address of a TCP client.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().await.map(|(stream, address)| (Stream::Tcp(stream), Some(address)))
            }
            #[cfg(unix)]
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| (Stream::Unix(stream), None)),
        }
    }
}

impl Stream {
    pub(crate) fn sock_ref(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => stream.into(),
            #[cfg(unix)]
            Self::Unix(stream) => stream.into(),
        }
    }
}

/// Calls a method of the stream inside a [`Stream`].
macro_rules! delegate {
    ($this:expr, $method:ident($($argument:expr),*)) => {
        match $this.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            #[cfg(unix)]
            Stream::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        delegate!(self, poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write_vectored(cx, slices))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.get_mut() {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        })
    }
}
