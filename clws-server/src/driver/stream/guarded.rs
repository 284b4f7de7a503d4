//! A guard around the application's stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use crate::guard::{ApplicationValue, DebugOn, Scope, guard_other};

/// Turns a panic of the application's stream into an error. So a panic ends only this connection,
/// and no other that the same task serves. The stream is dropped then, because its state is
/// unknown.
pub(super) struct GuardedStream<S> {
    stream: ApplicationValue<S>,
    debug: DebugOn,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedStream<S> {
    pub(super) const fn new(stream: S, debug: DebugOn) -> Self {
        // A stream is neither a handler nor a part of the server, so either setting shows its
        // panics.
        let debug = DebugOn { resource: debug.resource || debug.server, ..debug };
        Self { stream: ApplicationValue::new(stream, debug), debug }
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scope: &impl Scope,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.call(cx, scope, |stream, cx| stream.poll_read(cx, buffer))
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        scope: &impl Scope,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.call(cx, scope, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, scope: &impl Scope) -> Poll<io::Result<()>> {
        self.call(cx, scope, |stream, cx| stream.poll_flush(cx))
    }

    /// Closes the stream. An error ends it too.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>, scope: &impl Scope) -> Poll<()> {
        let closed =
            self.call(cx, scope, |stream, cx| stream.poll_close(cx).map(|closed| Ok(closed.is_ok())));
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
