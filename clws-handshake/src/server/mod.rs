//! The server's side: checks an opening handshake and writes the response that accepts it.

pub(crate) mod acceptance;
mod fields;
mod hixie;
pub(crate) mod request;
pub(crate) mod request_head;
pub(crate) mod upgrade;
