//! The trait of runtimes, and the trait of their sockets.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::time::Instant;

use futures::io::{AsyncRead, AsyncWrite};

use crate::runtime::clock;

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A boxed socket of a runtime.
pub type BoxStream = Box<dyn RuntimeSocket>;

/// A runtime: it runs the tasks of a server.
///
/// The module [`runtime`](crate::runtime) has implementations. An implementation of your own needs
/// only [`spawn`](Self::spawn):
///
/// ```
/// use clws_server::runtime::{BoxFuture, Runtime};
/// use clws_server::{Config, Server};
/// use std::sync::Arc;
///
/// /// Runs each task on a new thread.
/// #[derive(Debug)]
/// struct Threads;
///
/// impl Runtime for Threads {
///     fn spawn(&self, task: BoxFuture<'static, ()>) {
///         std::thread::spawn(|| futures::executor::block_on(task));
///     }
/// }
///
/// let server = Server::builder(Config::default().listen("127.0.0.1:0")).runtime(Arc::new(Threads)).bind()?;
/// # drop(server);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// Runs a task to its end, without waiting for it. A runtime that has ended drops the task.
    ///
    /// It is called on any thread, also on threads that do not belong to the runtime. It must not
    /// wait for other tasks.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// A timer. The future ends at `at` or soon after, whichever executor polls it.
    ///
    /// The default needs no runtime: a thread of this crate wakes the tasks.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(clock::sleep_until(at))
    }

    /// Calls `work` on the current thread, within the runtime's context if it has one.
    ///
    /// `work` is the whole life of a shard's thread. A context makes functions such as
    /// `tokio::spawn` work in inline handlers. The default only calls `work`.
    fn enter(&self, work: &mut dyn FnMut()) {
        work();
    }

    /// Makes a socket of the runtime from a connected, non-blocking TCP socket.
    ///
    /// It is needed for [`task_per_client`](crate::Config#structfield.task_per_client), and on
    /// systems without shards.
    ///
    /// # Errors
    ///
    /// The runtime cannot poll the socket. The default is [`io::ErrorKind::Unsupported`].
    fn tcp(&self, socket: TcpStream) -> io::Result<BoxStream> {
        drop(socket);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes a socket of the runtime from a connected, non-blocking Unix socket: see
    /// [`tcp`](Self::tcp).
    ///
    /// # Errors
    ///
    /// The errors of [`tcp`](Self::tcp).
    #[cfg(unix)]
    fn unix(&self, socket: UnixStream) -> io::Result<BoxStream> {
        drop(socket);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A socket of a runtime. Its `poll_close` must end our side: the peer reads up to an end of file.
pub trait RuntimeSocket: AsyncRead + AsyncWrite + Send + Unpin {
    /// Whether the peer sends nothing more, although input may be unread. False if that cannot be
    /// known without reading.
    fn peer_has_ended(&self) -> bool {
        false
    }
}
