//! A WebSocket server that speaks every version that was ever deployed and dispatches by resource.
#![forbid(clippy::undocumented_unsafe_blocks)]

mod client;
mod config;
mod home;
mod poll;
mod registry;
mod resource;
mod rt;
mod server;
mod session;
mod shard;
mod socket;
mod stream;

pub use client::{Client, SendError, Sent};
pub use clws_handshake::{Headers, Origins, Reject, Version};
pub use clws_proto::{CloseCode, Payload, ProtocolError, SharedMessage, Text};
pub use config::Config;
pub use registry::{RegisterError, Resources};
pub use resource::{Accept, Cause, Disconnect, Opening, Refuse, Resource};
pub use server::{Server, ServerHandle};
pub use socket::{Listen, Peer};
