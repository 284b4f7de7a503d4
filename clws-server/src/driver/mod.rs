//! The drivers of connections: they move bytes and time between sockets and connections.

pub(crate) mod read_buffers;
pub(crate) mod shard;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod tasks;
