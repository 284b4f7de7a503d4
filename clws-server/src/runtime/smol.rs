//! The runtime smol: the only file that names it.

use std::io;
use std::net;
#[cfg(unix)]
use std::os::unix;
use std::sync::Arc;
use std::time::Instant;

use ::smol::Timer;
use ::smol::net::TcpStream;
#[cfg(unix)]
use ::smol::net::unix::UnixStream;

use crate::runtime::async_socket::AsyncSocket;
use crate::runtime::peer::peer_has_ended;
use crate::runtime::traits::{BoxFuture, BoxStream, Runtime};

/// The global executor of smol, with as many threads as `SMOL_THREADS` says.
#[must_use]
pub fn smol() -> Arc<dyn Runtime> {
    Arc::new(Smol)
}

#[derive(Debug)]
struct Smol;

impl Runtime for Smol {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        ::smol::spawn(task).detach();
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            Timer::at(at).await;
        })
    }

    fn tcp(&self, socket: net::TcpStream) -> io::Result<BoxStream> {
        Ok(Box::new(AsyncSocket::new(TcpStream::try_from(socket)?, TcpStream::shutdown, peer_has_ended)))
    }

    #[cfg(unix)]
    fn unix(&self, socket: unix::net::UnixStream) -> io::Result<BoxStream> {
        Ok(Box::new(AsyncSocket::new(UnixStream::try_from(socket)?, UnixStream::shutdown, peer_has_ended)))
    }
}
