//! The runtime async-std: the only file that names `async_std`.
//!
//! async-std is discontinued in favour of smol (RUSTSEC-2025-0052), which runs on the same
//! `async-io` reactor.

use std::io;
use std::net;
#[cfg(unix)]
use std::os::unix;
use std::sync::Arc;
use std::time::Instant;

use async_std::net::TcpStream;
#[cfg(unix)]
use async_std::os::unix::net::UnixStream;

use crate::runtime::async_socket::AsyncSocket;
use crate::runtime::peer::peer_has_ended;
use crate::runtime::traits::{BoxFuture, BoxStream, Runtime};
use crate::time::now;

/// The global executor of async-std.
#[must_use]
pub fn async_std() -> Arc<dyn Runtime> {
    Arc::new(AsyncStd)
}

#[derive(Debug)]
struct AsyncStd;

impl Runtime for AsyncStd {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(async_std::task::spawn(task));
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(async_std::task::sleep(at.saturating_duration_since(now())))
    }

    fn tcp(&self, socket: net::TcpStream) -> io::Result<BoxStream> {
        Ok(Box::new(AsyncSocket::new(TcpStream::from(socket), TcpStream::shutdown, peer_has_ended)))
    }

    #[cfg(unix)]
    fn unix(&self, socket: unix::net::UnixStream) -> io::Result<BoxStream> {
        Ok(Box::new(AsyncSocket::new(UnixStream::from(socket), UnixStream::shutdown, peer_has_ended)))
    }
}
