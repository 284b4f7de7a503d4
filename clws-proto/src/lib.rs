//! Sans-IO WebSocket frames and messages, for every version that was ever deployed: hixie-75, hixie-76/hybi-00, hybi-07,
//! hybi-08 and RFC 6455 (13), for the server's and the client's role.
//!
//! It has no socket, no clock, no executor, no thread and no `unsafe`; whatever moves octets can drive it. A
//! [`Connection`] is the whole protocol: it takes what was read, lends back events, and answers pings and close frames
//! by itself. It consists of two halves, which can be used alone:
//!
//! * [`Receiver`] takes the octets of each read, in the buffer they were read into, and lends back whole messages as
//!   [`Event`]s: text that is checked, binary, ping, pong, close. What the peer does wrong is a [`ProtocolError`],
//!   which knows the close code to answer with.
//! * [`Sender`] is an outbox: text, binary, ping, pong and close go in, slices for a vectored write come out. What it
//!   cannot send is a [`SendError`]. A [`SharedMessage`] is for many outboxes and is encoded once.
//!
//! With the feature `deflate` both speak permessage-deflate (RFC 7692) where the handshake agreed on it.
//!
//! The opening handshake is the business of `clws-handshake`; a server with sockets is `clws-server`.
//!
//! # An echo, without any IO
//!
//! ```
//! use clws_proto::{Connection, Event, Limits, Version};
//!
//! let mut ws = Connection::server(Version::Rfc6455, Limits::default());
//!
//! // A read from somewhere: a masked "Hello" and a ping.
//! let mut read = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80\0\0\0\0";
//! let mut events = ws.receive(&mut read);
//! while let Some((event, sender)) = events.next() {
//!     match event {
//!         Event::Text(text) => sender.text(&text, None)?,
//!         Event::Binary(payload) => sender.binary(&payload, None)?,
//!         _ => {} // pings and close frames are answered already
//!     }
//! }
//! drop(events);
//!
//! let mut socket = Vec::new(); // anything that implements Write
//! ws.transmit(|slices| std::io::Write::write_vectored(&mut socket, slices))?;
//! assert_eq!(socket, b"\x81\x05Hello\x8a\x00");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod buffer;
mod close;
pub mod connection;
mod deflate;
mod error;
mod frame;
mod limits;
mod message;
mod receive;
mod send;
mod version;

pub use crate::buffer::pool::{BufferPool, NoPool};
pub use crate::close::{CloseCode, CloseFrame};
pub use crate::connection::Connection;
pub use crate::connection::end::ConnectionError;
#[cfg(feature = "deflate")]
pub use crate::deflate::config::DeflateConfig;
#[cfg(feature = "deflate")]
pub use crate::deflate::params::DeflateParams;
#[cfg(feature = "deflate")]
pub use crate::deflate::pool::CodecPool;
pub use crate::error::{ProtocolError, SendError};
pub use crate::frame::mask::apply_mask;
pub use crate::limits::Limits;
pub use crate::message::event::{Event, Payload, Text};
pub use crate::message::reaction::Reaction;
pub use crate::receive::{Events, Receiver};
pub use crate::send::Sender;
pub use crate::send::outbox::OutboxBuffer;
pub use crate::send::shared::{Meter, SharedMessage};
pub use crate::version::{Role, Version};

/// The README's example is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
