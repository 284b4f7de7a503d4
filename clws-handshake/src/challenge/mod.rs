//! The challenges by which a client knows that the server speaks WebSocket.

pub(crate) mod accept_key;
pub(crate) mod hixie_76;
