//! The life of one connection, sans-IO: opening handshake, messages, closing handshake.
//!
//! Bytes and time come in, bytes and a deadline go out. Drivers own the sockets and call the
//! methods in the order of [`driver::drive`](crate::driver::drive). The rules for closing and for
//! deadlines are here and are tested without a socket.

pub(crate) mod activity;
mod closing;
pub(crate) mod context;
pub(crate) mod draining;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
pub(crate) mod handshakes;
mod keepalive;
mod life;
mod memory;
mod open;
mod opening;
#[cfg(feature = "__tls")]
mod secured;
pub(crate) mod share;
mod throttle;
mod timeouts;
mod timer;
mod watch;

use clws_handshake::Reject;

use crate::admission::ConnectionPermit;
use crate::connection::closing::Closing;
use crate::connection::handshake::Handshake;
use crate::connection::open::Open;
use crate::stats::kinds::HandshakeOutcome;

/// One connection.
pub(crate) struct Connection {
    stage: Stage,
}

/// The next action of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Wait for input, for room to write, or for the deadline.
    Wait,
    /// End our side of the socket, then wait for the peer to end its own.
    ShutdownWrite,
    /// Drop the socket.
    Drop,
}

enum Stage {
    Handshake(Box<Handshake>),
    Open(Open),
    Closing(Box<Closing>),
    Closed,
}

/// Seconds after which a client may try again when the server stops: about the time of a restart.
pub(crate) const RETRY_AFTER: u32 = 5;

/// The answer to a connection that is refused before its request has arrived.
///
/// A connection whose address has too many gets 429 and not 503, because the server is not at
/// fault. A load balancer takes a server out of service that answers with 503, which would cost
/// other clients their server.
pub(crate) fn refusal(permit: ConnectionPermit) -> Option<(Reject, HandshakeOutcome)> {
    match permit {
        ConnectionPermit::Client | ConnectionPermit::Stream => None,
        ConnectionPermit::Refused => Some((Reject::unavailable(None), HandshakeOutcome::Full)),
        ConnectionPermit::Crowded => {
            let reject = Reject::custom(429, "too many connections come from this address");
            Some((reject, HandshakeOutcome::AddressLimit))
        }
    }
}

/// A driver may be dropped early, for instance a future that serves a stream. The resource must
/// still hear of the client's end.
impl Drop for Connection {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests;
