//! Sockets of async-std and smol, which share a reactor and their traits.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use crate::runtime::traits::RuntimeSocket;

/// A socket whose `poll_close` ends our side. The `poll_close` of these runtimes only flushes.
pub(super) struct AsyncSocket<S> {
    socket: S,
    shutdown: fn(&S, Shutdown) -> io::Result<()>,
    has_peer_ended: fn(&S) -> bool,
}

impl<S> AsyncSocket<S> {
    pub(super) const fn new(
        socket: S,
        shutdown: fn(&S, Shutdown) -> io::Result<()>,
        has_peer_ended: fn(&S) -> bool,
    ) -> Self {
        Self { socket, shutdown, has_peer_ended }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> RuntimeSocket for AsyncSocket<S> {
    fn peer_has_ended(&self) -> bool {
        (self.has_peer_ended)(&self.socket)
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
