//! What becomes of connections when the process, or the system, has no descriptor left to accept them with.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use clws_handshake::Reject;
use socket2::{Domain, SockRef, Socket as AnySocket, Type};

use crate::config::Config;
use crate::guard::log;
use crate::lock::{Lock, rank};
use crate::net::acceptor::Acceptor;
use crate::net::socket::Socket;
use crate::sync::{atomic::AtomicBool, atomic::Ordering};
use crate::time::now;

/// The time from one line of the log to the next, as long as it lasts.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Bytes of a request that are read before it is refused. A socket that is closed with unread input resets the connection,
/// and the client may not see the answer.
const REQUEST: usize = 16 * 1024;

/// A descriptor in reserve, to refuse clients with when there is no other. All shards of a server share it.
#[derive(Debug)]
pub(crate) struct Shortage {
    /// The reserve is given up at this moment, or lost: a shard may have accepted a client with its descriptor.
    is_lent: AtomicBool,
    state: Lock<State, { rank::SHORTAGE }>,
}

#[derive(Debug)]
struct State {
    /// Nothing comes or goes by this socket.
    reserve: Option<AnySocket>,
    refused: u64,
    logged: Option<Instant>,
}

impl Shortage {
    /// Without a reserve, until [`prepare`](Self::prepare).
    pub(crate) const fn new() -> Self {
        Self {
            is_lent: AtomicBool::new(false),
            state: Lock::new(State { reserve: None, refused: 0, logged: None }),
        }
    }

    /// Takes the descriptor in reserve, if there is one.
    pub(crate) fn prepare(&self) {
        self.retake(&mut self.state.lock());
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

    /// Refuses the client that waits, by the descriptor in reserve.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where no client waits. Otherwise another thread of the process was quicker
    /// to take the descriptor.
    pub(crate) fn refuse(&self, listener: &Acceptor, config: &Config) -> io::Result<()> {
        let refused = {
            let mut state = self.state.lock();
            self.is_lent.store(true, Ordering::SeqCst); // before another shard can accept a client with it
            state.reserve = None;
            let refused = listener.accept(config).map(|(socket, _)| refuse_at_once(&socket));
            self.retake(&mut state);
            refused.map(|()| state.count_refused())
        };
        refused.map(log_refused)
    }

    /// Gives a client that was accepted back, if it did not take the descriptor that another shard refuses clients with.
    /// Otherwise the client is refused, because the server could refuse nobody any more.
    #[inline]
    pub(crate) fn admit<S>(&self, socket: S, refuse: impl FnOnce(&S)) -> Option<S> {
        if self.is_lent.load(Ordering::SeqCst) {
            self.admit_with_reserve(socket, refuse)
        } else {
            Some(socket)
        }
    }

    #[cold]
    fn admit_with_reserve<S>(&self, socket: S, refuse: impl FnOnce(&S)) -> Option<S> {
        let refused = {
            let mut state = self.state.lock(); // waits until the other shard has refused its client
            if self.retake(&mut state) {
                return Some(socket);
            }
            refuse(&socket);
            drop(socket);
            self.retake(&mut state);
            state.count_refused()
        };
        log_refused(refused);
        None
    }

    /// Tells of another reason why no client can be accepted, now and then.
    pub(crate) fn note(&self, error: &io::Error) {
        if self.state.lock().may_log() {
            log(|| tracing::warn!("cannot accept connections for a moment: {error}"));
        }
    }

    /// Takes a descriptor in reserve if there is none. Returns whether there is one now.
    fn retake(&self, state: &mut State) -> bool {
        if state.reserve.is_none() {
            state.reserve = reserve();
        }
        self.is_lent.store(state.reserve.is_none(), Ordering::SeqCst);
        state.reserve.is_some()
    }
}

impl State {
    /// Counts one more client. Returns how many there are to tell of, if it is time for a line of the log.
    fn count_refused(&mut self) -> Option<u64> {
        self.refused += 1;
        self.may_log().then(|| std::mem::take(&mut self.refused))
    }

    fn may_log(&mut self) -> bool {
        let now = now();
        let may = self.logged.is_none_or(|at| now.saturating_duration_since(at) >= BETWEEN_LINES);
        if may {
            self.logged = Some(now);
        }
        may
    }
}

/// Outside the lock, because what logs is code of the application.
fn log_refused(refused: Option<u64>) {
    if let Some(refused) = refused {
        log(|| tracing::warn!(refused, "no descriptor is left: clients are told 503"));
    }
}

fn reserve() -> Option<AnySocket> {
    // Not every machine has every family.
    let families = [Domain::IPV4, Domain::IPV6, Domain::UNIX];
    families.into_iter().find_map(|family| AnySocket::new(family, Type::DGRAM, None).ok())
}

/// Tells a new connection 503 without waiting for anything: it takes no permit. Where the request has not come by now, the
/// connection may be reset before the client reads the answer.
pub(crate) fn refuse_at_once(socket: &Socket) {
    refuse_by(|buffer| socket.read(buffer), |response| socket.write(&[IoSlice::new(response)]));
    socket.shutdown_write();
    let _ = socket.read(&mut [0; 4096]);
}

/// [`refuse_at_once`], for the sockets of an executor, which do not block either.
pub(crate) fn refuse_stream(socket: &SockRef<'_>) {
    refuse_by(|buffer| (&**socket).read(buffer), |response| (&**socket).write(response));
    let _ = socket.shutdown(Shutdown::Write);
    let _ = (&**socket).read(&mut [0; 4096]);
}

fn refuse_by(
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    write: impl FnOnce(&[u8]) -> io::Result<usize>,
) {
    let mut buffer = [0; 4096];
    let mut left = REQUEST;
    while let Ok(count @ 1..) = read(&mut buffer) {
        left = left.saturating_sub(count);
        if left == 0 {
            break;
        }
    }
    let _ = write(&Reject::unavailable(None).response());
}
