//! A WebSocket server that supports every protocol version ever deployed, and dispatches by
//! *resource*.
//!
//! # A server
//!
//! A [`Resource`] handles the clients of a path. A [`Server`] binds the addresses of a [`Config`].
//! Resources are registered with the origins that they admit, and [`Server::run`] serves:
//!
//! ```
//! use clws_server::{Client, Config, Origins, Resource, Server, Text};
//!
//! struct Echo;
//!
//! impl Resource for Echo {
//!     fn text(&self, client: &Client, text: Text<'_>) {
//!         // Fails only if the client has disconnected. If it reads no answers, its messages wait.
//!         let _ = client.send(text);
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::bind(Config::default().listen("127.0.0.1:0"))?; // port 0 takes a free port
//! server.resources().register("/echo", Origins::any(), Echo)?;
//! println!("listening on {:?}", server.local_addrs()?);
//!
//! let handle = server.handle();
//! # handle.stop(); // otherwise this example would never end
//! futures::executor::block_on(server.run())?;
//! # Ok(()) }
//! ```
//!
//! [`Server::builder`] takes existing sockets, and [`ServerHandle::serve_stream`] serves a client
//! over any stream.
//!
//! Clients of hybi-07, hybi-08 and RFC 6455 can connect. Clients of draft 0 need
//! [`protocol_76_00_support`](Config#structfield.protocol_76_00_support), and clients of hixie-75
//! need [`protocol_75_support`](Config#structfield.protocol_75_support).
//!
//! # Handlers
//!
//! There are four ways to write a resource. A server can use all of them, at different paths:
//!
//! | | form | choose it for |
//! |---|---|---|
//! | [`Resource`] | `&self`, called in parallel on the threads that read the messages (the *shards*) | speed: no copy and no wait |
//! | [`ResourceListener`] | `&mut self`, one mailbox, one task, all events in order | state that clients share: a chat, a game |
//! | [`mailbox`] | the same mailbox as a `Stream` of [`Event`]s | an event loop of your own |
//! | [`async_handler`] | an async function for each client, with a [`WebSocket`] | conversations: ask, wait, answer |
//!
//! Each of them can decide on a client before the connection is open ([`Resource::accept`] and the
//! corresponding methods). It accepts the client, with a subprotocol, headers and data for it, or
//! refuses it with any HTTP status, or decides [later](Accept::later), when a database has
//! answered.
//!
//! A request goes to the resource of its path, else to that of the longest
//! [prefix](Resources::register_prefix), else to the [fallback](Resources::register_fallback).
//! Plain HTTP requests go to the [HTTP hook](Resources::http), if there is one. So the same port
//! can serve a page.
//!
//! # Sending
//!
//! A [`Client`] is a handle for any thread. Its methods encode into the client's outbox and return
//! at once: [`Sent::Queued`], [`Sent::AboveHighWater`] if the client reads slowly, or a
//! [`SendError`]. When a slow client has read, [`Resource::drained`] is called. The `send` of a
//! [`WebSocket`] waits for that.
//!
//! # Groups
//!
//! A message to a [`Group`] goes to all its clients. A client leaves its groups when it
//! disconnects. [`Topics`] are groups with names. [`send_to`] sends to a list of clients. A message
//! to many clients is encoded once. A [`SharedMessage`] keeps its encoding.
//!
//! ```
//! use clws_server::{ByteString, Client, Config, Group, ResourceListener, Origins, Close, Server};
//!
//! /// Sends each message to all guests, and announces new guests.
//! #[derive(Default)]
//! struct Chat {
//!     members: Group,
//!     guests: u32,
//! }
//!
//! impl ResourceListener for Chat {
//!     type Message = ();
//!
//!     fn connected(&mut self, client: &Client) -> Result<(), Close> {
//!         self.guests += 1;
//!         self.members.join(client);
//!         self.members.send_text(format!("guest {} is here", self.guests));
//!         Ok(())
//!     }
//!
//!     fn text(&mut self, _: &Client, text: ByteString) {
//!         self.members.send_text(text);
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
//! The table of [`Config`] has all limits, with their defaults and effects. An invalid value is an
//! error of [`Server::bind`]. A path or an origin that can match no request is an error of
//! [`Resources::register`].
//!
//! A fault of a client ends only its own connection, with the right close code or HTTP status. It
//! is logged at the level `debug` of `tracing`. If the client was connected,
//! [`Resource::disconnected`] reports it.
//!
//! All queues that clients can fill are bounded. The server does not read from a client that does
//! not read ([`write_high_water`](Config#structfield.write_high_water)), nor from clients that send
//! faster than a listener handles
//! ([`max_handler_read_backlog`](Config#structfield.max_handler_read_backlog)). The memory of all
//! clients together has a limit too ([`max_buffered`](Config#structfield.max_buffered)). Messages
//! from the application to a listener ([`ResourceListenerHandle::send`]) have no limit.
//!
//! # Compression
//!
//! With the feature `deflate`, the server compresses messages for clients that offer
//! permessage-deflate (RFC 7692), as browsers do. [`Config::deflate`](Config#structfield.deflate)
//! enables it, and `Accept::deflate` overrides it for a client.
//!
//! # Names
//!
//! A name such as `resource-received-text` or `*max-clients*` after a colon is the name of the same
//! thing in [CLWS](https://github.com/3b/clws), the Common Lisp server that this server follows.

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
#[cfg(feature = "testing")]
pub mod testing;
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
pub use crate::config::address::{Listen, Peer};
pub use crate::config::error::ConfigError;
pub use crate::handler::async_handler::{AsyncHandler, async_handler};
pub use crate::handler::mailbox::event::{Event, MailboxClosed};
pub use crate::handler::mailbox::sender::MailboxSender;
pub use crate::handler::mailbox::{Mailbox, mailbox};
pub use crate::handler::resource_listener::ResourceListener;
pub use crate::handler::resource_listener::handle::{CallError, ResourceListenerHandle};
pub use crate::handler::resource_listener::task::ResourceListenerTask;
pub use crate::handler::websocket::message::Message;
pub use crate::handler::websocket::{WebSocket, WebSocketReader, WebSocketWriter};
pub use crate::resource::Resource;
pub use crate::resource::accept::Accept;
pub use crate::resource::decision::Decision;
pub use crate::resource::opening::Opening;
pub use crate::resource::registry::Resources;
pub use crate::resource::registry::error::RegisterError;
pub use crate::server::Server;
pub use crate::server::builder::ServerBuilder;
pub use crate::server::handle::ServerHandle;
pub use bytes::Bytes;
pub use bytestring::ByteString;
pub use clws_handshake::{
    HeaderError, Headers, HttpRequest, HttpResponse, InvalidOrigin, Origins, Reject, Version,
};
pub use clws_proto::{CloseCode, Payload, ProtocolError, SharedMessage, Text};
#[cfg(feature = "deflate")]
pub use clws_proto::{DeflateConfig, DeflateParams};

/// For the fuzz targets only.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::connection::fuzzing::run;
}

/// Tests the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
