//! TLS with rustls: certificates and settings, and the sessions of connections.

pub(crate) mod buffers;
pub(crate) mod builder;
mod certificates;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod info;
mod provider;
mod resolver;
pub(crate) mod session;
mod settings;
mod sniff;
pub(crate) mod stream;
