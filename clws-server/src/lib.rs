//! A WebSocket server that supports every protocol version ever deployed, and dispatches by
//! *resource*: a path, a handler, and a rule for origins.
//!
//! # A server
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
//! futures::executor::block_on(server.run())?; // any executor, or `server.run().await`
//! # Ok(()) }
//! ```
//!
//! # Handlers
//!
//! A server can use all four forms of a handler, at different paths:
//!
//! | | form | choose it for |
//! |---|---|---|
//! | [`Resource`] | `&self`, called in parallel on the threads that read the messages (the *shards*) | speed: no copy and no wait |
//! | [`ResourceListener`] | `&mut self`, one mailbox, one task, all events in order | state that clients share: a chat, a game |
//! | [`mailbox`] | the same mailbox as a `Stream` of [`Event`]s | an event loop of your own |
//! | [`async_handler`] | an async function for each client, with a [`WebSocket`] | conversations: ask, wait, answer |
//!
//! # Guide
//!
//! | chapter | answers |
//! |---|---|
//! | [handlers](guide::handlers) | Which form fits? What may block? What does a panic do? |
//! | [sending](guide::sending) | How do I send, and what happens if a client reads slowly? |
//! | [groups](guide::groups) | How do I send one message to many clients? |
//! | [running](guide::running) | Which settings are there, and how do I choose them? |
//! | [limits](guide::limits) | What can a client cost me, and which setting bounds it? |
//! | [closing](guide::closing) | How does a connection end? How do I drain, stop or restart the server? |
//! | [authentication](guide::authentication) | Who is this client? May this page connect? |
//! | [compression](guide::compression) | When does permessage-deflate help, and what does it cost? |
//! | [testing](guide::testing) | How do I test a handler without a network? |
//! | [deployment](guide::deployment) | Proxy, systemd, containers, health checks, logs, several processes |
//! | [tls](guide::tls) | How does the server speak TLS itself? |
//! | [capacity](guide::capacity) | How many clients fit? Descriptors, memory and the allocator |
//! | [metrics](guide::metrics) | What does my server do? Statistics, metrics, logs |
//! | [tokio](guide::tokio) | How do I use the server in a program on tokio? What runs where? |
//! | [axum and hyper](guide::axum_and_hyper) | How do I serve WebSockets behind a router? |
//! | [from tokio-tungstenite](guide::from_tokio_tungstenite) | What is it called here? |
//!
//! [`Config`] has a table of all limits and settings.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `async-std` (default) | async handlers and resource listeners on async-std: see [`runtime`] |
//! | `tokio` | the same on tokio: see [tokio](guide::tokio) |
//! | `smol` | the same on smol |
//! | `deflate` | compression: permessage-deflate, RFC 7692 |
//! | `http` | `ServerHandle::upgrade`: clients through another HTTP server, such as axum or hyper |
//! | `serde` | [`Config`] from a file |
//! | `metrics` | `MetricsPublisher`: the [statistics](Stats) for the facade crate `metrics` |
//! | `capture` | the module `capture`: connections are recorded into files, which Wireshark opens |
//! | `tls` | TLS in the shards, with rustls and aws-lc-rs: `ServerBuilder::tls` |
//! | `tls-ring` | the same with ring instead of aws-lc-rs, if `tls` is off |
//! | `testing` | the module `testing`: clients without a network, for tests of handlers; includes `capture` |
//! | `simd` (default) | unmasking with the processor's widest vectors: see [deployment](guide::deployment#the-build) |
//!
//! # Versions
//!
//! Clients of hybi-07, hybi-08 and RFC 6455 can connect. Clients of draft 0 need
//! [`protocol_76_00_support`](Config#structfield.protocol_76_00_support), and clients of hixie-75
//! need [`protocol_75_support`](Config#structfield.protocol_75_support).
//!
//! # Names of CLWS
//!
//! A name such as `resource-received-text` or `*max-clients*` after a colon is the name of the same
//! thing in [CLWS](https://github.com/3b/clws), the Common Lisp server that this server follows.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(docsrs, doc(auto_cfg(hide(feature = "__tls"))))]

mod admission;
mod budget;
mod buffer_pool;
#[cfg(feature = "capture")]
pub mod capture;
mod client;
#[cfg(feature = "deflate")]
mod codecs;
mod config;
mod connection;
mod date;
mod drain;
mod driver;
mod guard;
#[cfg(any(
    all(doc, not(doctest)),
    all(doctest, feature = "deflate", feature = "testing", feature = "__tls")
))]
#[cfg_attr(docsrs, doc(auto_cfg = false))]
pub mod guide;
mod handler;
mod lock;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(test)]
#[cfg(shuttle)]
mod models;
mod net;
mod resource;
pub mod runtime;
mod server;
mod signal;
#[cfg(test)]
#[cfg(unix)]
mod sim;
mod stats;
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
pub use crate::client::receipt::Written;
pub use crate::client::topics::Topics;
pub use crate::config::Config;
pub use crate::config::address::{Listen, Peer};
pub use crate::config::error::ConfigError;
pub use crate::config::excess::Excess;
pub use crate::config::proxies::TrustedProxy;
pub use crate::drain::options::Drain;
pub use crate::drain::report::Report;
pub use crate::handler::async_handler::{AsyncHandler, async_handler};
pub use crate::handler::mailbox::event::{Event, MailboxClosed};
pub use crate::handler::mailbox::sender::MailboxSender;
pub use crate::handler::mailbox::{Mailbox, mailbox};
pub use crate::handler::piece::{OwnedPiece, OwnedPieceData};
pub use crate::handler::resource_listener::ResourceListener;
pub use crate::handler::resource_listener::handle::{CallError, ResourceListenerHandle};
pub use crate::handler::resource_listener::task::ResourceListenerTask;
pub use crate::handler::websocket::message::Message;
pub use crate::handler::websocket::{WebSocket, WebSocketReader, WebSocketWriter};
#[cfg(feature = "metrics")]
pub use crate::metrics::MetricsPublisher;
#[cfg(feature = "__tls")]
#[cfg_attr(docsrs, doc(cfg(any(feature = "tls", feature = "tls-ring"))))]
pub use crate::net::tls::{
    builder::TlsBuilder,
    error::TlsError,
    handle::Tls,
    info::{TlsInfo, TlsVersion},
};
pub use crate::resource::accept::Accept;
pub use crate::resource::decision::Decision;
pub use crate::resource::opening::Opening;
pub use crate::resource::registry::Resources;
pub use crate::resource::registry::error::RegisterError;
pub use crate::resource::settings::ResourceConfig;
pub use crate::resource::{CloseTime, Resource};
pub use crate::server::Server;
pub use crate::server::builder::ServerBuilder;
pub use crate::server::handle::ServerHandle;
#[cfg(feature = "http")]
pub use crate::server::upgrade::{Upgrade, UpgradeRequest};
pub use crate::stats::histogram::Histogram;
pub use crate::stats::kinds::{DropReason, HandshakeOutcome};
pub use crate::stats::snapshot::{ClientCount, CloseCount, DropCount, HandshakeCount, Stats, Traffic};
pub use bytes::Bytes;
pub use bytestring::ByteString;
pub use clws_handshake::{
    ForwardedHeader, HeaderError, Headers, HttpRequest, HttpResponse, InvalidOrigin, Origins, Reject, Version,
};
pub use clws_proto::buffer::Fate;
pub use clws_proto::{CloseCode, Payload, Piece, PieceData, ProtocolError, SharedMessage, SlowPolicy, Text};
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
