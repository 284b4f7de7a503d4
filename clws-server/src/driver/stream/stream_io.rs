//! The stream of a connection, during one poll of its driver.

use std::borrow::Cow;
use std::cell::Cell;
use std::io;
use std::mem;
#[cfg(feature = "capture")]
use std::net::SocketAddr;
use std::task::{self, Poll};

use clws_handshake::{ProxyHeader, Status};
use clws_proto::Input;
use futures::io::{AsyncRead, AsyncWrite};

#[cfg(feature = "capture")]
use crate::capture::tap::Tap;
use crate::connection::Connection;
use crate::connection::context::Context;
use crate::connection::share::WriteShare;
use crate::driver::drive::{Io, Read};
use crate::driver::stream::guarded::GuardedStream;
use crate::driver::stream::memory::Memory;
#[cfg(feature = "__tls")]
use crate::net::tls::stream::{TlsEnd, tls_end};
use crate::stats::counters::Counters;

/// Bytes of the read buffer that the streams of one thread share.
const READ_BUFFER: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

pub(super) struct StreamIo<'a, 'b, S> {
    pub(super) stream: &'a mut GuardedStream<S>,
    pub(super) cx: &'a mut task::Context<'b>,
    pub(super) memory: &'a mut Memory,
    /// The stream has not ended.
    pub(super) readable: &'a mut bool,
    /// Our side is being ended, or has been.
    pub(super) shutting: &'a mut bool,
    /// A deadline has passed: the stream is read even if memory is short.
    pub(super) due: bool,
    /// The beginning of a header of the PROXY protocol, until it is complete.
    pub(super) header: Option<&'a mut Option<Vec<u8>>>,
    /// The connection wanted input.
    pub(super) wanted_input: bool,
    /// There is one read in each step.
    pub(super) has_read: bool,
    /// There was more to write than a share.
    pub(super) was_cut: bool,
    /// The thread's buffer, while the input of a read is handled. A handler may run another stream
    /// meanwhile, which then uses a new buffer.
    buffer: Vec<u8>,
}

/// The end that a TLS stream reports as an error.
#[cfg(feature = "__tls")]
fn read_of_tls(error: io::Error) -> Read<'static> {
    match tls_end(&error) {
        Some(TlsEnd::Truncated) => Read::Truncated,
        Some(TlsEnd::PlainHttp) => Read::PlainHttp,
        _ => Read::TlsFailed(error),
    }
}

impl<'a, 'b, S> StreamIo<'a, 'b, S> {
    pub(super) const fn new(
        stream: &'a mut GuardedStream<S>,
        cx: &'a mut task::Context<'b>,
        memory: &'a mut Memory,
        (readable, shutting): (&'a mut bool, &'a mut bool),
        due: bool,
    ) -> Self {
        Self {
            stream,
            cx,
            memory,
            readable,
            shutting,
            due,
            header: None,
            wanted_input: false,
            has_read: false,
            was_cut: false,
            buffer: Vec::new(),
        }
    }
}

impl<S> StreamIo<'_, '_, S> {
    /// Continues to read the header of the PROXY protocol, unless the connection has none or the
    /// header is complete. Returns the index in the buffer of the first byte after the header.
    fn skip_header(&mut self, count: usize, connection: &mut Connection, context: &Context<'_>) -> usize {
        let Some(header) = &mut self.header else { return 0 };
        let Some(before) = header.take() else { return 0 };
        let received = self.buffer.get(..count).unwrap_or_default();
        let earlier = before.len();
        let whole =
            if before.is_empty() { Cow::Borrowed(received) } else { [&before, received].concat().into() };
        match ProxyHeader::parse(&whole) {
            Ok(Status::Partial) => {
                **header = Some(whole.into_owned()); // shorter than a header may be
                count
            }
            Ok(Status::Complete(found)) => {
                connection.proxied(found.source, context);
                found.len.saturating_sub(earlier)
            }
            Err(error) => {
                connection.refuse_proxy_header(error, context);
                count
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Io for StreamIo<'_, '_, S> {
    fn may_read(&mut self, connection: &Connection) -> bool {
        if mem::replace(&mut self.has_read, true) {
            return false;
        }
        self.wanted_input = true;
        *self.readable
            && (self.due || self.memory.may_read(connection, || self.stream.has_peer_ended(), self.cx))
    }

    fn read(&mut self, connection: &mut Connection, context: &Context<'_>) -> Read<'_> {
        // While a thread ends, its buffer may be dropped already. Then a new one is allocated.
        self.buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
        self.buffer.resize(READ_BUFFER, 0);
        let read = match self.stream.poll_read(self.cx, &*self.memory, &mut self.buffer) {
            Poll::Ready(Ok(count)) if count > 0 => {
                let start = self.skip_header(count, connection, context);
                let input = self.buffer.get_mut(start..count).unwrap_or_default();
                #[cfg(feature = "capture")]
                if let Some(tap) = &mut self.stream.tap {
                    tap.read(input);
                }
                return Read::Input(Input::Lent(input));
            }
            Poll::Pending => Read::Nothing,
            Poll::Ready(Ok(_)) => Read::End,
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Read::Interrupted,
            #[cfg(feature = "__tls")]
            Poll::Ready(Err(error)) if tls_end(&error).is_some() => read_of_tls(error),
            Poll::Ready(Err(error)) => Read::Failed(error),
        };
        let may_continue = matches!(read, Read::Nothing | Read::Interrupted);
        // The rest is discarded, so that our last bytes are not destroyed by a reset.
        #[cfg(feature = "__tls")]
        let may_continue = may_continue || matches!(read, Read::TlsFailed(_) | Read::PlainHttp);
        *self.readable = may_continue;
        let _ = BUFFER.try_with(|buffer| buffer.set(mem::take(&mut self.buffer)));
        read
    }

    fn handled(&mut self, _: &Connection) {
        let _ = BUFFER.try_with(|buffer| buffer.set(mem::take(&mut self.buffer)));
    }

    fn transmit(&mut self, connection: &mut Connection, counters: &Counters) -> io::Result<()> {
        let (mut pending, mut share) = (false, WriteShare::new());
        loop {
            let mut written = 0;
            let all = connection.transmit(&mut |slices| {
                let result = share.write(|| match self.stream.poll_write(self.cx, &*self.memory, slices) {
                    Poll::Ready(result) => result,
                    Poll::Pending => {
                        pending = true;
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                });
                // A stream may claim more than it was given.
                result.inspect(|count| written += count.min(&slices.iter().map(|slice| slice.len()).sum()))
            });
            counters.note_written(written);
            let all = all?;
            // After a short write, the stream has not promised yet to wake the task.
            if all || pending || share.was_cut() {
                break;
            }
        }
        self.was_cut = share.was_cut();
        if !*self.shutting
            && let Poll::Ready(Err(error)) = self.stream.poll_flush(self.cx, &*self.memory)
        {
            return Err(error);
        }
        Ok(())
    }

    fn write_failed(&mut self) {}

    fn shutdown_write(&mut self) {
        *self.shutting = true;
    }

    #[cfg(feature = "capture")]
    fn attach(&mut self, begin: &mut dyn FnMut(Option<SocketAddr>) -> Option<Tap>) {
        if self.stream.tap.is_none() {
            self.stream.tap = begin(None).map(Box::new);
        }
    }

    fn is_broken(&mut self, _: &Connection) -> bool {
        false
    }
}
