//! The challenges with which a client verifies that the server speaks WebSocket.

pub(crate) mod accept_key;
pub(crate) mod hixie_76;
