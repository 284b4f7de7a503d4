//! A connection in memory: two bounded pipes, one for each direction.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

/// One end of a connection in memory. Dropping it ends both directions.
pub(super) struct Pipe {
    reader: piper::Reader,
    writer: piper::Writer,
}

impl Pipe {
    /// The two ends of a connection that holds at most `capacity` bytes in each direction.
    pub(super) fn pair(capacity: usize) -> (Self, Self) {
        let (here, there) = (piper::pipe(capacity), piper::pipe(capacity));
        (Self { reader: here.0, writer: there.1 }, Self { reader: there.0, writer: here.1 })
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }

    /// Writes some bytes. Returns 0 if the other end was dropped.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }

    /// Ends this side. The other side reads the remaining bytes and then the end.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        let _ = Pin::new(&mut self.writer).poll_close(cx); // is always ready
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        Pin::new(&mut self.writer).poll_write(cx, first)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_close(cx)
    }
}
