//! The server's side of the simulated network: sockets and listening sockets of shards, streams of
//! tasks.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use crate::sim::{try_with, with};

/// The port of client 0. Each client has its own port, which identifies it.
const FIRST_PORT: u16 = 1000;

/// A connected socket of a shard.
#[derive(Debug)]
pub(crate) struct SimSocket(pub(super) u32);

/// A listening socket.
#[derive(Debug)]
pub(crate) struct SimListener(pub(super) u32);

/// A connected stream of a task.
#[derive(Debug)]
pub(super) struct SimStream(SimSocket);

impl SimSocket {
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        with(|state| {
            if state.rng.percent(1) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            state.read(self.0, buffer)
        })
    }

    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        with(|state| state.write(self.0, slices))
    }

    pub(crate) fn shutdown_write(&self) {
        with(|state| state.shut(self.0));
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        try_with(|state| state.close(self.0));
    }
}

impl SimListener {
    pub(crate) fn refuse_all(&self) {
        with(|state| state.close_port(self.0));
    }

    pub(crate) fn accept(&self) -> io::Result<(SimSocket, SocketAddr)> {
        with(|state| state.accept(self.0)).map(|conn| (SimSocket(conn), address(conn)))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        try_with(|state| state.close_port(self.0));
    }
}

/// The address of the client of a connection.
pub(super) fn address(conn: u32) -> SocketAddr {
    let port = FIRST_PORT + u16::try_from(conn).expect("fewer clients than ports");
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), port))
}

/// The connection of a client.
pub(super) fn conn_of(client: &crate::client::Client) -> u32 {
    u32::from(client.remote_port().expect("every simulated client has a port") - FIRST_PORT)
}

impl SimStream {
    pub(super) const fn new(conn: u32) -> Self {
        Self(SimSocket(conn))
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        with(|state| match state.read(self.0.0, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                state.conn(self.0.0).read_waker = Some(cx.waker().clone());
                Poll::Pending
            }
            result => Poll::Ready(result),
        })
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with(|state| match state.write(self.0.0, slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                state.conn(self.0.0).write_waker = Some(cx.waker().clone());
                Poll::Pending
            }
            result => Poll::Ready(result),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.shutdown_write();
        Poll::Ready(Ok(()))
    }
}
