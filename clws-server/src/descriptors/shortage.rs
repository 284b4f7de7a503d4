//! What becomes of connections when the process, or the system, has no descriptor left to accept them with.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use clws_handshake::Reject;
use socket2::{Domain, Socket as AnySocket, Type};

use crate::Config;
use crate::guard::log;
use crate::socket::{Acceptor, Socket};
use crate::time::now;

/// The time from one line of the log to the next, as long as it lasts.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Bytes of a request that are read before it is refused. A socket that is closed with unread input resets the connection,
/// and the client may not see the answer.
const REQUEST: usize = 16 * 1024;

/// A descriptor in reserve, to refuse clients with when there is no other.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// Nothing comes or goes by this socket.
    reserve: Option<AnySocket>,
    refused: u64,
    logged: Option<Instant>,
}

impl Shortage {
    pub(crate) fn new() -> Self {
        Self { reserve: reserve(), ..Self::default() }
    }

    /// Takes a descriptor in reserve again, if there is one by now.
    pub(crate) fn prepare(&mut self) {
        if self.reserve.is_none() {
            self.reserve = reserve();
        }
    }

    /// Whether accepting failed because there is no descriptor left.
    pub(crate) fn is_meant_by(error: &io::Error) -> bool {
        #[cfg(unix)]
        let meant = matches!(
            rustix::io::Errno::from_io_error(error),
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
        );
        #[cfg(not(unix))]
        let meant = {
            let _ = error;
            false
        };
        meant
    }

    /// Refuses a client that waits, by the descriptor in reserve.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where no client waits. Otherwise another thread of the process was quicker
    /// to take the descriptor.
    pub(crate) fn refuse(&mut self, listener: &Acceptor, config: &Config) -> io::Result<()> {
        self.reserve = None;
        let refused = listener.accept(config).map(|(socket, _)| refuse_at_once(&socket));
        self.reserve = reserve();
        refused?;
        self.refused += 1;
        let now = now();
        if self.logged.is_none_or(|at| now.saturating_duration_since(at) >= BETWEEN_LINES) {
            self.logged = Some(now);
            let refused = std::mem::take(&mut self.refused);
            log(|| tracing::warn!(refused, "no descriptor is left: clients are told 503"));
        }
        Ok(())
    }

    /// Tells of another reason why no client can be accepted, now and then.
    pub(crate) fn note(&mut self, error: &io::Error) {
        let now = now();
        if self.logged.is_none_or(|at| now.saturating_duration_since(at) >= BETWEEN_LINES) {
            self.logged = Some(now);
            log(|| tracing::warn!("cannot accept connections for a moment: {error}"));
        }
    }
}

fn reserve() -> Option<AnySocket> {
    // Not every machine has every family.
    let families = [Domain::IPV4, Domain::IPV6, Domain::UNIX];
    families.into_iter().find_map(|family| AnySocket::new(family, Type::DGRAM, None).ok())
}

/// Tells a new connection 503 without waiting for anything: it takes no seat. Where the request has not come by now, the
/// connection may be reset before the client reads the answer.
pub(crate) fn refuse_at_once(socket: &Socket) {
    let mut buffer = [0; 4096];
    let mut left = REQUEST;
    while let Ok(read @ 1..) = socket.read(&mut buffer) {
        left = left.saturating_sub(read);
        if left == 0 {
            break;
        }
    }
    let response = Reject::unavailable(None).response();
    let _ = socket.write(&[IoSlice::new(&response)]);
    socket.shutdown_write();
    let _ = socket.read(&mut buffer);
}
