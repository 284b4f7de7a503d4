//! Refusing clients when the process or the system has no file descriptor left.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use clws_handshake::Reject;
use socket2::{Domain, Socket as AnySocket, Type};

use crate::config::Config;
use crate::guard::log;
use crate::lock::{Lock, rank};
use crate::net::acceptor::Acceptor;
use crate::net::socket::Socket;
use crate::sync::{atomic::AtomicBool, atomic::Ordering};
use crate::time::now;

/// The time between two log lines during a shortage.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The most bytes of a request that are read before it is refused. Closing a socket with unread
/// input resets the connection, and the client may not see the answer.
const MAX_REQUEST: usize = 16 * 1024;

/// A fatal alert of TLS. RFC 8446 §6.2: internal_error is "an internal error unrelated to the peer or
/// the correctness of the protocol (such as a memory allocation failure)".
pub(crate) const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// A descriptor in reserve, with which clients are refused when no other is free. All shards of a
/// server share it.
#[derive(Debug)]
pub(crate) struct Shortage {
    /// The reserve is in use: a shard may have accepted a client with its descriptor.
    is_lent: AtomicBool,
    state: Lock<State, { rank::SHORTAGE }>,
}

#[derive(Debug)]
struct State {
    /// An unused socket that occupies the descriptor.
    reserve: Option<AnySocket>,
    /// The refused clients since the last log line.
    refused: u64,
    logged: Option<Instant>,
}

impl Shortage {
    /// A shortage without a reserve. [`prepare`](Self::prepare) takes it.
    pub(crate) const fn new() -> Self {
        Self {
            is_lent: AtomicBool::new(false),
            state: Lock::new(State { reserve: None, refused: 0, logged: None }),
        }
    }

    /// Takes the descriptor in reserve if one is free.
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

    /// Refuses the next waiting client, with the descriptor in reserve.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if no client waits. Any other error means that
    /// another thread of the process has taken the descriptor.
    pub(crate) fn refuse(&self, listener: &Acceptor, config: &Config) -> io::Result<()> {
        let refused = {
            let mut state = self.state.lock();
            self.is_lent.store(true, Ordering::SeqCst); // before another shard can accept with it
            state.reserve = None;
            let refused = listener.accept(config).map(|(socket, _)| refuse_at_once(&socket));
            self.retake(&mut state);
            refused.map(|()| state.count_refused())
        };
        refused.map(log_refused)
    }

    /// Returns an accepted client, unless it took the descriptor in reserve of a shard that refuses
    /// clients. That client is refused, because the server could otherwise refuse no more clients.
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
            let mut state = self.state.lock(); // held by the other shard while it refuses a client
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

    /// Logs another reason why no client can be accepted, at most once in [`LOG_INTERVAL`].
    pub(crate) fn log_error(&self, error: &io::Error) {
        if self.state.lock().may_log() {
            log(|| tracing::warn!("cannot accept a connection and will try again: {error}"));
        }
    }

    /// Takes a descriptor in reserve if none is held. Returns whether one is held now.
    fn retake(&self, state: &mut State) -> bool {
        if state.reserve.is_none() {
            state.reserve = reserve();
        }
        self.is_lent.store(state.reserve.is_none(), Ordering::SeqCst);
        state.reserve.is_some()
    }
}

impl State {
    /// Counts a refused client. Returns the number to log if a log line is due.
    fn count_refused(&mut self) -> Option<u64> {
        self.refused += 1;
        self.may_log().then(|| std::mem::take(&mut self.refused))
    }

    fn may_log(&mut self) -> bool {
        let now = now();
        let is_due = self.logged.is_none_or(|at| now.saturating_duration_since(at) >= LOG_INTERVAL);
        if is_due {
            self.logged = Some(now);
        }
        is_due
    }
}

/// Must be called without the lock, because the log's subscriber is code of the application.
fn log_refused(refused: Option<u64>) {
    if let Some(refused) = refused {
        log(|| tracing::warn!(refused, "no file descriptor is left: clients are refused with 503"));
    }
}

fn reserve() -> Option<AnySocket> {
    // A machine may lack some of the address families.
    let families = [Domain::IPV4, Domain::IPV6, Domain::UNIX];
    families.into_iter().find_map(|family| AnySocket::new(family, Type::DGRAM, None).ok())
}

/// Answers a new connection with 503, or with an alert of TLS, without waiting, so that it needs no
/// permit. If the request has not arrived, the connection may be reset before the client reads the
/// answer.
pub(crate) fn refuse_at_once(socket: &Socket) {
    let mut buffer = [0; 4096];
    let mut left = MAX_REQUEST;
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        left = left.saturating_sub(count);
        if left == 0 {
            break;
        }
    }
    let _ = socket.write(&[IoSlice::new(&refusal(socket.is_tls()))]);
    socket.shutdown_write();
    let _ = socket.read(&mut [0; 4096]);
}

/// The answer to a refused client. A handshake of TLS would take too long.
fn refusal(is_tls: bool) -> Vec<u8> {
    if is_tls { INTERNAL_ERROR.to_vec() } else { Reject::unavailable(None).response() }
}
