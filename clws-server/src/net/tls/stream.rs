//! A stream with TLS, for a connection that has its own task.

use std::cell::Cell;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use futures::io::{AsyncRead, AsyncWrite};

use crate::net::tls::buffers::TlsBuffers;
use crate::net::tls::session::InputEnd;
use crate::net::transport::{Flushed, TlsTransport};

/// The most reads of one poll that bring no plaintext. A stream that is always ready must not occupy
/// its thread.
const READS_PER_POLL: usize = 8;

thread_local! {
    /// Taken out while in use: the stream below is code of the application.
    static BUFFERS: Cell<TlsBuffers> = const { Cell::new(TlsBuffers::new()) };
}

/// A stream with a TLS session.
///
/// Unlike a shard, it counts bytes as written when they are encrypted. At most one record waits
/// here, and [`poll_flush`](AsyncWrite::poll_flush) writes it.
pub(crate) struct TlsStream<S> {
    stream: S,
    transport: TlsTransport,
    /// Our side is being ended.
    ends: bool,
}

/// A fault of the TLS session, or its end without a `close_notify`. Reads return it in an error.
#[derive(Debug)]
pub(crate) enum TlsEnd {
    /// The stream has ended without a `close_notify`.
    Truncated,
    Failed(rustls::Error),
    PlainHttp,
}

impl fmt::Display for TlsEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the TLS session ended without a close_notify"),
            Self::Failed(error) => error.fmt(f),
            Self::PlainHttp => f.write_str("plain HTTP instead of TLS"),
        }
    }
}

impl Error for TlsEnd {}

/// The end of a TLS session that an error stands for.
pub(crate) fn tls_end(error: &io::Error) -> Option<&TlsEnd> {
    error.get_ref()?.downcast_ref()
}

fn end(end: TlsEnd) -> Poll<io::Result<usize>> {
    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, end)))
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(crate) const fn new(stream: S, transport: TlsTransport) -> Self {
        Self { stream, transport, ends: false }
    }

    pub(crate) const fn inner(&self) -> &S {
        &self.stream
    }

    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut TlsBuffers,
        plain: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..READS_PER_POLL {
            match self.transport.take_end() {
                Some(InputEnd::Closed) => return Poll::Ready(Ok(0)),
                Some(InputEnd::Failed(error)) => return end(TlsEnd::Failed(error)),
                Some(InputEnd::PlainHttp) => return end(TlsEnd::PlainHttp),
                None => {}
            }
            let discards = self.transport.has_input_ended();
            let (incoming, held) = self.transport.lend(buffers, plain.len());
            let space = incoming.get_mut(held..).unwrap_or_default();
            let count = ready!(Pin::new(&mut self.stream).poll_read(cx, space))?;
            if count == 0 {
                return if discards {
                    Poll::Ready(Ok(0))
                } else if self.transport.is_handshaking() {
                    // Nothing can be written either, such as the answer to a client that is refused.
                    Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
                } else {
                    end(TlsEnd::Truncated)
                };
            }
            if discards {
                continue;
            }
            let incoming = incoming.get_mut(..held + count).unwrap_or_default();
            let decrypted = self.transport.receive(incoming, plain);
            // The handshake, or an alert. A full stream wakes the task when it takes more.
            let _ = self.poll_flush_records(cx)?;
            if decrypted > 0 {
                return Poll::Ready(Ok(decrypted));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is encrypted.
    fn poll_flush_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = &mut self.stream;
        let flushed =
            self.transport.flush(&mut |bytes| poll_to_write(Pin::new(&mut *stream).poll_write(cx, bytes)));
        match flushed? {
            Flushed::Blocked => Poll::Pending,
            Flushed::All | Flushed::End => Poll::Ready(Ok(())),
        }
    }
}

fn poll_to_write(polled: Poll<io::Result<usize>>) -> io::Result<usize> {
    match polled {
        Poll::Ready(written) => written,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffers = BUFFERS.try_with(Cell::take).unwrap_or_default();
        let read = self.get_mut().poll_read_with(cx, &mut buffers, buffer);
        let _ = BUFFERS.try_with(|kept| kept.set(buffers));
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    /// The slices share a record, as far as they fit.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_flush_records(cx))?;
        let mut buffers = BUFFERS.try_with(Cell::take).unwrap_or_default();
        let (stream, transport) = (&mut this.stream, &mut this.transport);
        let written = transport.write(slices, false, &mut buffers, &mut |bytes| {
            poll_to_write(Pin::new(&mut *stream).poll_write(cx, bytes))
        });
        let _ = BUFFERS.try_with(|kept| kept.set(buffers));
        match written {
            // The end of the handshake is read, and the read wakes the task.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_flush_records(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.ends, true) {
            let mut buffers = BUFFERS.try_with(Cell::take).unwrap_or_default();
            this.transport.end(&mut buffers);
            let _ = BUFFERS.try_with(|kept| kept.set(buffers));
        }
        ready!(this.poll_flush_records(cx))?;
        Pin::new(&mut this.stream).poll_close(cx)
    }
}
