//! The runtimes of tokio: the only file that names it.

use std::io::{self, IoSlice};
use std::net;
#[cfg(unix)]
use std::os::unix;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
#[cfg(feature = "testing")]
use std::thread;

use ::tokio::io::ReadBuf;
#[cfg(feature = "http")]
pub(crate) use ::tokio::io::{AsyncRead as TokioRead, AsyncWrite as TokioWrite};
use ::tokio::net::TcpStream;
#[cfg(unix)]
use ::tokio::net::UnixStream;
use ::tokio::runtime::Handle;
#[cfg(feature = "testing")]
use ::tokio::runtime::{Builder, RuntimeFlavor};
#[cfg(feature = "testing")]
use futures::channel::oneshot;
use futures::io::{AsyncRead, AsyncWrite};

use crate::runtime::peer::peer_has_ended;
use crate::runtime::traits::{BoxFuture, BoxStream, Runtime, RuntimeSocket};

/// The tokio runtime that runs on this thread.
///
/// Its context is entered on the threads of the shards too, so `tokio::spawn` works in inline
/// handlers. The server itself needs neither `enable_time` nor `enable_io`, except for
/// [`task_per_client`](crate::Config#structfield.task_per_client). When the runtime ends, the server
/// stops.
///
/// # Errors
///
/// No tokio runtime runs on this thread.
pub fn tokio() -> io::Result<Arc<dyn Runtime>> {
    Handle::try_current().map(tokio_handle).map_err(io::Error::other)
}

/// A tokio runtime, from any thread: see [`tokio()`].
///
/// ```
/// use clws_server::{Config, Server, runtime};
///
/// let tokio = tokio::runtime::Runtime::new()?;
/// let builder = Server::builder(Config::default().listen("127.0.0.1:0"));
/// let server = builder.runtime(runtime::tokio_handle(tokio.handle().clone())).bind()?;
/// # drop(server);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn tokio_handle(handle: Handle) -> Arc<dyn Runtime> {
    Arc::new(Tokio(handle))
}

#[derive(Debug)]
struct Tokio(Handle);

impl Runtime for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(self.0.spawn(task));
    }

    fn enter(&self, work: &mut dyn FnMut()) {
        let _entered = self.0.enter();
        work();
    }

    fn tcp(&self, socket: net::TcpStream) -> io::Result<BoxStream> {
        let _entered = self.0.enter();
        Ok(Box::new(FromTokio(polled(|| TcpStream::from_std(socket))?)))
    }

    #[cfg(unix)]
    fn unix(&self, socket: unix::net::UnixStream) -> io::Result<BoxStream> {
        let _entered = self.0.enter();
        Ok(Box::new(FromTokio(polled(|| UnixStream::from_std(socket))?)))
    }
}

/// A socket that tokio polls. tokio panics if the runtime was built without `enable_io`. That is no
/// fault of one socket: the server cannot serve any.
fn polled<S>(make: impl FnOnce() -> io::Result<S>) -> io::Result<S> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| Err(io::ErrorKind::Unsupported.into()))
}

/// Another current-thread runtime, if the runtime of this thread has no other thread.
#[cfg(feature = "testing")]
pub(super) fn for_blocking_test() -> Option<Arc<dyn Runtime>> {
    let is_alone = |handle: &Handle| handle.runtime_flavor() == RuntimeFlavor::CurrentThread;
    Handle::try_current().ok().filter(is_alone)?;
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let handle = runtime.handle().clone();
    let (ends, ended) = oneshot::channel::<()>();
    let run = move || {
        let _ = runtime.block_on(ended); // until `ends` is dropped
    };
    thread::Builder::new().name("clws-test-tokio".to_owned()).spawn(run).ok()?;
    Some(Arc::new(OwnThread { tokio: Tokio(handle), _ends: ends }))
}

/// A runtime that ends when this is dropped.
#[cfg(feature = "testing")]
#[derive(Debug)]
struct OwnThread {
    tokio: Tokio,
    _ends: oneshot::Sender<()>,
}

#[cfg(feature = "testing")]
impl Runtime for OwnThread {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.tokio.spawn(task);
    }

    fn enter(&self, work: &mut dyn FnMut()) {
        self.tokio.enter(work);
    }
}

/// A stream with tokio's traits, as a stream with the traits of `futures`.
pub(crate) struct FromTokio<S>(pub(crate) S);

impl RuntimeSocket for FromTokio<TcpStream> {
    fn peer_has_ended(&self) -> bool {
        peer_has_ended(&self.0)
    }
}

#[cfg(unix)]
impl RuntimeSocket for FromTokio<UnixStream> {
    fn peer_has_ended(&self) -> bool {
        peer_has_ended(&self.0)
    }
}

impl<S: ::tokio::io::AsyncRead + Unpin> AsyncRead for FromTokio<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: ::tokio::io::AsyncWrite + Unpin> AsyncWrite for FromTokio<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.0.is_write_vectored() {
            return Pin::new(&mut self.0).poll_write_vectored(cx, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        Pin::new(&mut self.0).poll_write(cx, first)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
