//! Sans-IO WebSocket frames and messages, for every version that was ever deployed: hixie-75, hixie-76/hybi-00, hybi-07,
//! hybi-08 and RFC 6455 (13), for the server's and the client's role.
//!
//! It has no socket, no clock, no executor, no thread and no `unsafe`; whatever moves octets can drive it. Two
//! halves make a connection:
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
//! use clws_proto::{Event, Limits, Receiver, Role, Sender, Version};
//!
//! let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
//! let mut sender = Sender::server(Version::Rfc6455);
//!
//! // A read from somewhere: a masked "Hello" and a ping.
//! let mut read = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80\0\0\0\0";
//! let mut events = receiver.receive(&mut read);
//! loop {
//!     match events.next() {
//!         Ok(Some(Event::Text(text))) => sender.text(&text, None)?,
//!         Ok(Some(Event::Binary(octets))) => sender.binary(&octets, None)?,
//!         Ok(Some(Event::Ping(payload))) => sender.answer_ping(&payload),
//!         Ok(Some(Event::Close(frame))) => sender.answer_close(frame.as_ref()),
//!         Ok(Some(_)) => {}
//!         Ok(None) => break,
//!         Err(error) => sender.close(error.close_code(Version::Rfc6455), "")?,
//!     }
//! }
//!
//! let mut slices = [std::io::IoSlice::new(&[])];
//! sender.io_slices(&mut slices);
//! assert_eq!(&*slices[0], b"\x81\x05Hello\x8a\x00");
//! # Ok::<(), clws_proto::SendError>(())
//! ```
#![forbid(unsafe_code)]

mod buffer;
mod close;
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
pub use crate::receive::{Events, Receiver};
pub use crate::send::Sender;
pub use crate::send::outbox::OutboxBuffer;
pub use crate::send::shared::{Meter, SharedMessage};
pub use crate::version::{Role, Version};
pub use bytestring::ByteString;

/// The README's example is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
