//! A WebSocket server that speaks every version of the protocol that was ever deployed, and dispatches by *resource*.
//!
//! # A server
//!
//! A [`Resource`] is what stands behind a path. A [`Server`] is bound to its addresses by a [`Config`], resources are
//! registered with the origins they admit, and [`Server::run`] serves:
//!
//! ```
//! use clws_server::{Client, Config, Origins, Resource, Server, Text};
//!
//! struct Echo;
//!
//! impl Resource for Echo {
//!     fn text(&self, client: &Client, text: Text<'_>) {
//!         let _ = client.send_text(&text); // a client that is gone misses nothing
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::bind(Config::default().listen("127.0.0.1:0"))?; // 0: any free port
//! server.register("/echo", Origins::any(), Echo)?;
//! println!("listening on {:?}", server.local_addrs()?);
//!
//! let handle = server.handle();
//! # handle.stop(); // or this example would go on for ever
//! futures::executor::block_on(server.run())?;
//! # Ok(()) }
//! ```
//!
//! Clients of hybi-07, hybi-08 and RFC 6455 can connect; those of draft 0 too with
//! [`protocol_76_00_support`](Config#structfield.protocol_76_00_support).
//!
//! # Handlers
//!
//! The methods of a [`Resource`] are called on the thread (the *shard*) that has the client's socket, in the order its
//! messages came. Clients of different shards are served in parallel. [`accept`](Resource::accept) sees the request
//! before there is a connection; [`connected`](Resource::connected), [`text`](Resource::text),
//! [`binary`](Resource::binary), [`pong`](Resource::pong) and [`disconnected`](Resource::disconnected) have a [`Client`].
//!
//! # Sending
//!
//! A [`Client`] is a handle for any thread. Its methods encode into the client's outbox and return at once with what
//! became of the message: [`Sent::Queued`], [`Sent::AboveHighWater`] where the client reads slowly, or a [`SendError`].
//! A [`SharedMessage`] goes to many clients and is encoded once for all of them.
//!
//! # Limits
//!
//! Each limit is in the [`Config`]'s table, with its default and what a client is told beyond it. What a client does
//! wrong ends its own connection with the right close code or HTTP status, is a `debug` line of `tracing`, and, where the
//! client was connected, is reported to [`disconnected`](Resource::disconnected); nobody else notices.
//!
//! # Names
//!
//! Where a name in the manner of Lisp stands behind a colon (`resource-received-text`, `*max-clients*`), it is what the
//! same thing is called in [CLWS](https://github.com/3b/clws), the Common Lisp server that this one follows.

mod async_handler;
mod client;
mod config;
#[cfg(feature = "serde")]
mod config_file;
mod decision;
mod group;
mod guard;
mod home;
mod listener;
mod mailbox;
mod poll;
mod pool;
mod registry;
mod resource;
mod rt;
mod server;
mod session;
mod shard;
mod socket;
mod stream;
mod topics;
mod websocket;

pub use async_handler::{AsyncHandler, async_handler};
pub use bytes::Bytes;
pub use client::{Client, SendError, Sent};
pub use clws_handshake::{HeaderError, Headers, HttpRequest, HttpResponse, Origins, Reject, Version};
pub use clws_proto::{CloseCode, Payload, ProtocolError, SharedMessage, Text};
pub use config::Config;
pub use decision::Decision;
pub use group::{Delivery, Group, send_binary, send_shared, send_text};
pub use listener::{CallError, Listener, ListenerGone, ListenerHandle, ListenerTask};
pub use mailbox::{Event, Mailbox, MailboxSender, mailbox};
pub use registry::{RegisterError, Resources};
pub use resource::{Accept, Cause, Disconnect, Opening, Refuse, Resource};
pub use server::{Server, ServerHandle};
pub use socket::{Listen, Peer};
pub use topics::Topics;
pub use websocket::{Message, WebSocket, WebSocketReader, WebSocketWriter};

/// The example of the README is tested as the documentation's are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
