//! The life of one connection, sans-IO: opening handshake, messages, closing handshake.
//!
//! Bytes and time come in, bytes and a deadline go out. Drivers own the sockets and call the
//! methods in the order of [`driver::drive`](crate::driver::drive). The rules for closing and for
//! deadlines are here and are tested without a socket.

mod accepted;
pub(crate) mod activity;
mod closing;
pub(crate) mod context;
mod decision;
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
mod proxied;
mod proxy_header;
pub(crate) mod refusal;
mod reply;
#[cfg(feature = "__tls")]
mod secured;
pub(crate) mod share;
mod throttle;
mod timeouts;
mod timer;
#[cfg(feature = "http")]
pub(crate) mod upgrade;
#[cfg(feature = "http")]
mod upgrading;
mod watch;

use crate::connection::closing::Closing;
use crate::connection::handshake::Handshake;
use crate::connection::open::Open;

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

/// A driver may be dropped early, for instance a future that serves a stream. The resource must
/// still hear of the client's end.
impl Drop for Connection {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests;
