//! The drivers of connections. They move bytes and time between sockets and connections.

pub(crate) mod client_list;
pub(crate) mod drive;
pub(crate) mod read_buffers;
pub(crate) mod shard;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod streams;
pub(crate) mod tasks;
