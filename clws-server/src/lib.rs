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
//!         // It fails only if the client is gone: while it does not read its answers, its messages wait.
//!         let _ = client.send(text);
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::bind(Config::default().listen("127.0.0.1:0"))?; // 0: any free port
//! server.resources().register("/echo", Origins::any(), Echo)?;
//! println!("listening on {:?}", server.local_addrs()?);
//!
//! let handle = server.handle();
//! # handle.stop(); // or this example would go on for ever
//! futures::executor::block_on(server.run())?;
//! # Ok(()) }
//! ```
//!
//! Clients of hybi-07, hybi-08 and RFC 6455 can connect; those of draft 0 too with
//! [`protocol_76_00_support`](Config#structfield.protocol_76_00_support), and those of hixie-75 with
//! [`protocol_75_support`](Config#structfield.protocol_75_support).
//!
//! # Handlers
//!
//! A resource is written in one of four ways; a server can have all of them, behind different paths:
//!
//! | | is | choose it for |
//! |---|---|---|
//! | [`Resource`] | `&self`, called on the thread that read the message (a *shard*), in parallel | speed: nothing is copied, nothing waits |
//! | [`ResourceListener`] | `&mut self`, one mailbox, one task, everything in order | state that clients share: a chat, a game |
//! | [`mailbox`] | the same mailbox as a `Stream` of [`Event`]s | a loop of your own |
//! | [`async_handler`] | an async function for each client, with a [`WebSocket`] | conversations: ask, wait, answer |
//!
//! Each of them may decide on a client before there is a connection ([`Resource::accept`] and its like): take it, with a
//! subprotocol, headers and data of the application's own; refuse it with any HTTP status; or [later](Accept::later),
//! when a database has answered.
//!
//! A request goes to the resource of its path, or of the longest [prefix](Resources::register_prefix), or to the
//! [fallback](Resources::register_fallback). What asks for no WebSocket goes to the [HTTP hook](Resources::http), if there
//! is one: a page can be served on the same port.
//!
//! # Sending
//!
//! A [`Client`] is a handle for any thread. Its methods encode into the client's outbox and return at once with what
//! became of the message: [`Sent::Queued`], [`Sent::AboveHighWater`] where the client reads slowly, or a [`SendError`].
//! When a slow client has read, its resource is [told](Resource::drained). A [`WebSocket`]'s `send` waits for that by itself.
//!
//! # Groups
//!
//! A [`Group`] is a set of clients that are sent to together, and that leave it by disconnecting; [`Topics`] are groups with
//! names. [`send_to`] sends to a list of clients. A message to many is encoded once; a [`SharedMessage`] keeps its encoding.
//!
//! ```
//! use clws_server::{ByteString, Client, Config, Group, ResourceListener, Origins, Close, Server};
//!
//! /// Everybody hears what anybody says, and is told who comes and goes.
//! #[derive(Default)]
//! struct Chat {
//!     everybody: Group,
//!     guests: u32,
//! }
//!
//! impl ResourceListener for Chat {
//!     type Message = ();
//!
//!     fn connected(&mut self, client: &Client) -> Result<(), Close> {
//!         self.guests += 1;
//!         self.everybody.join(client);
//!         self.everybody.send_text(format!("guest {} is here", self.guests));
//!         Ok(())
//!     }
//!
//!     fn text(&mut self, _: &Client, text: ByteString) {
//!         self.everybody.send_text(text);
//!     }
//! }
//!
//! let server = Server::bind(Config::default().listen("127.0.0.1:0"))?;
//! let chat = server.resources().run_resource_listener("/chat", Origins::any(), Chat::default())?;
//! chat.kill(); // `kill-resource-listener`: its clients are closed with 1001
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits and configuration
//!
//! Each limit is in the [`Config`]'s table, with its default and what a client is told beyond it. A value that can never work
//! is an error of [`Server::bind`], a path or an origin that can match nothing one of [`Resources::register`]. What a client does
//! wrong ends its own connection with the right close code or HTTP status, is a `debug` line of `tracing`, and, where the
//! client was connected, is reported to [`disconnected`](Resource::disconnected); nobody else notices.
//!
//! Nothing that clients cause to wait grows without bound: a client that does not read is not read from
//! ([`write_high_water`](Config#structfield.write_high_water)), and clients whose messages a listener cannot handle as fast
//! as they come are not either ([`max_handler_read_backlog`](Config#structfield.max_handler_read_backlog)). What is held for
//! all clients together has a limit too ([`max_buffered`](Config#structfield.max_buffered)). What the application itself sends to
//! a listener ([`ResourceListenerHandle::send`]) has no limit.
//!
//! # Compression
//!
//! With the feature `deflate`, clients that offer permessage-deflate (RFC 7692), as browsers do, get it where
//! [`Config::deflate`](Config#structfield.deflate) is set; a resource decides otherwise for its clients by `Accept::deflate`.
//!
//! # Names
//!
//! Where a name in the manner of Lisp stands behind a colon (`resource-received-text`, `*max-clients*`), it is what the
//! same thing is called in [CLWS](https://github.com/3b/clws), the Common Lisp server that this one follows.

mod admission;
mod budget;
mod buffer_pool;
mod client;
#[cfg(feature = "deflate")]
mod codecs;
mod config;
mod connection;
mod date;
mod driver;
mod guard;
mod handler;
mod lock;
#[cfg(test)]
#[cfg(shuttle)]
mod models;
mod net;
mod resource;
mod runtime;
mod server;
mod signal;
#[cfg(test)]
#[cfg(unix)]
mod sim;
mod sync;
mod task_waker;
mod time;
mod wake;

pub use crate::client::Client;
pub use crate::client::close::{Close, close_all};
pub use crate::client::delivery::{Delivery, send_to, send_to_with};
pub use crate::client::disconnect::{Disconnect, DisconnectCause};
pub use crate::client::group::Group;
pub use crate::client::id::ClientId;
pub use crate::client::outcome::{SendError, Sent};
pub use crate::client::outgoing::{Outgoing, SendOptions};
pub use crate::client::topics::Topics;
pub use crate::config::Config;
pub use crate::config::check::ConfigError;
pub use crate::handler::async_handler::{AsyncHandler, async_handler};
pub use crate::handler::mailbox::sender::MailboxSender;
pub use crate::handler::mailbox::{Event, Mailbox, MailboxClosed, mailbox};
pub use crate::handler::resource_listener::{
    CallError, ResourceListener, ResourceListenerHandle, ResourceListenerTask,
};
pub use crate::handler::websocket::{Message, WebSocket, WebSocketReader, WebSocketWriter};
pub use crate::net::socket::{Listen, Peer};
pub use crate::resource::Resource;
pub use crate::resource::accept::Accept;
pub use crate::resource::decision::Decision;
pub use crate::resource::opening::Opening;
pub use crate::resource::registry::Resources;
pub use crate::resource::registry::error::RegisterError;
pub use crate::server::{Server, ServerHandle};
pub use bytes::Bytes;
pub use bytestring::ByteString;
pub use clws_handshake::{
    HeaderError, Headers, HttpRequest, HttpResponse, InvalidOrigin, Origins, Reject, Version,
};
pub use clws_proto::{CloseCode, Payload, ProtocolError, SharedMessage, Text};
#[cfg(feature = "deflate")]
pub use clws_proto::{DeflateConfig, DeflateParams};

/// For the fuzz targets, and in no build but theirs.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::connection::fuzzing::run;
}

/// The example of the README is tested as the documentation's are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
