//! The listening sockets of a shard.

use std::sync::Arc;

use crate::net::acceptor::Acceptor;

/// A listening socket, which all shards accept from.
pub(super) struct Listening {
    pub(super) listener: Arc<Acceptor>,
    pub(super) ready: bool,
}

/// The key of a listener. Keys of listeners count down from the waker's key, which is the greatest.
/// Keys of connections count up from 0.
pub(super) const fn listener_key(index: usize) -> usize {
    usize::MAX - 1 - index
}
