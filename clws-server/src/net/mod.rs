//! Sockets, and waiting for them.

pub(crate) mod acceptor;
pub(crate) mod handover;
pub(crate) mod poll;
mod send_queue;
pub(crate) mod shortage;
pub(crate) mod socket;
pub(crate) mod tcp;
#[cfg(feature = "__tls")]
pub(crate) mod tls;
#[cfg(feature = "__tls")]
pub(crate) mod transport;
#[cfg(unix)]
pub(crate) mod unix;
