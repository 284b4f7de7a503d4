//! Other ways to write a resource: a resource listener, a mailbox, an async function for each
//! client.

pub(crate) mod async_handler;
pub(crate) mod backlog;
pub(crate) mod mailbox;
pub(crate) mod piece;
mod poll_budget;
pub(crate) mod resource_listener;
pub(crate) mod websocket;
