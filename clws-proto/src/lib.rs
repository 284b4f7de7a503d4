//! Sans-IO WebSocket frames and messages.
#![forbid(unsafe_code)]

mod version;

pub use version::{Role, Version};
