//! A guard around the application's stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

#[cfg(feature = "capture")]
use crate::capture::recording::Side;
#[cfg(feature = "capture")]
use crate::capture::tap::Tap;
use crate::guard::{ApplicationValue, DebugOn, Scope, guard_other};

/// Turns a panic of the application's stream into an error. So a panic ends only this connection,
/// and no other that the same task serves. The stream is dropped then, because its state is
/// unknown.
pub(super) struct GuardedStream<S> {
    stream: ApplicationValue<S>,
    debug: DebugOn,
    has_peer_ended: fn(&S) -> bool,
    /// The recording of the connection, if there is one.
    #[cfg(feature = "capture")]
    pub(super) tap: Option<Box<Tap>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedStream<S> {
    /// `has_peer_ended` is a function of this crate, see [`drive`](super::drive).
    pub(super) const fn new(stream: S, debug: DebugOn, has_peer_ended: fn(&S) -> bool) -> Self {
        // A stream is neither a handler nor a part of the server, so either setting shows its
        // panics.
        let debug = DebugOn { resource: debug.resource || debug.server, ..debug };
        Self {
            stream: ApplicationValue::new(stream, debug),
            debug,
            has_peer_ended,
            #[cfg(feature = "capture")]
            tap: None,
        }
    }

    /// Whether the peer sends nothing more, as far as that can be known without reading.
    pub(super) fn has_peer_ended(&self) -> bool {
        self.stream.get().is_some_and(self.has_peer_ended)
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scope: &impl Scope,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = self.call(cx, scope, |stream, cx| stream.poll_read(cx, buffer));
        #[cfg(feature = "capture")]
        if let Some(tap) = &mut self.tap {
            match &read {
                Poll::Ready(Ok(0)) => tap.end(Side::Client),
                Poll::Ready(Err(_)) => tap.reset(),
                // `StreamIo` records what comes after the header of a proxy.
                Poll::Ready(Ok(_)) | Poll::Pending => {}
            }
        }
        read
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        scope: &impl Scope,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.call(cx, scope, |stream, cx| stream.poll_write_vectored(cx, slices));
        #[cfg(feature = "capture")]
        if let (Some(tap), Poll::Ready(Ok(count))) = (&mut self.tap, &written) {
            let all = slices.iter().map(|slice| slice.len()).sum();
            tap.written(slices, (*count).min(all)); // a stream may claim more
        }
        written
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, scope: &impl Scope) -> Poll<io::Result<()>> {
        self.call(cx, scope, |stream, cx| stream.poll_flush(cx))
    }

    /// Closes the stream. An error ends it too.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>, scope: &impl Scope) -> Poll<()> {
        let closed =
            self.call(cx, scope, |stream, cx| stream.poll_close(cx).map(|closed| Ok(closed.is_ok())));
        #[cfg(feature = "capture")]
        if let (Some(tap), Poll::Ready(_)) = (&mut self.tap, &closed) {
            tap.end(Side::Server);
        }
        closed.map(|_| ())
    }

    fn call<T>(
        &mut self,
        cx: &mut Context<'_>,
        scope: &impl Scope,
        call: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(stream) = self.stream.get_mut() else {
            return Poll::Ready(Err(io::Error::other("the stream has panicked")));
        };
        let called = guard_other(self.debug, "a stream", scope, || match call(Pin::new(stream), cx) {
            // A poll must not return `WouldBlock`. Trying again at once could loop forever.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        });
        called.unwrap_or_else(|| {
            self.stream.discard(scope);
            Poll::Ready(Err(io::Error::other("the stream panicked")))
        })
    }
}
