//! The challenges by which a client verifies that the server supports WebSocket.

pub(crate) mod accept_key;
pub(crate) mod hixie_76;
