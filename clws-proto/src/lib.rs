//! Sans-IO WebSocket frames and messages for every deployed version: hixie-75, hixie-76/hybi-00,
//! hybi-07, hybi-08 and RFC 6455 (13), for servers and clients.
//!
//! The crate has no socket, no clock, no executor, no thread and no `unsafe`. Any code that moves
//! bytes can drive it: a blocking socket, an event loop, a test, a fuzzer. The opening handshake is
//! in `clws-handshake`. A server with sockets is `clws-server`.
//!
//! A [`Connection`] is the whole protocol. It takes received bytes, lends events, answers pings and
//! close frames by itself, and fails with the right close code. Its page has a complete loop for
//! [a server](Connection#a-server) and for [a client](Connection#a-client).
//!
//! # An echo without IO
//!
//! ```
//! use clws_proto::{Connection, Event, Limits, Version};
//!
//! let mut ws = Connection::server(Version::Rfc6455, Limits::default());
//!
//! // The bytes of a read: a masked "Hello" and a ping.
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
//!
//! # The halves
//!
//! A connection consists of two halves. A server that reads and sends on different threads uses
//! them alone, and passes each [`Reaction`] from one to the other.
//!
//! * [`Receiver`] takes the bytes of each read in the buffer they were read into. It returns whole
//!   messages as [`Event`]s: valid text, binary, ping, pong, close. A violation by the peer is a
//!   [`ProtocolError`], which has a close code.
//! * [`Sender`] is an outbox. It takes text, binary, ping, pong and close, and returns slices for a
//!   vectored write. A frame that cannot be sent is a [`SendError`]. A [`SharedMessage`] is encoded
//!   once for many outboxes.
//!
//! # Limits and memory
//!
//! [`Limits`] bound frames, messages and fragments. A declared length allocates nothing: buffers
//! grow with the bytes that arrive. A [`Sender`] has no limit, so compare
//! [`queued`](Sender::queued) with your own. Between messages a receiver holds no buffer. With
//! [`Receiver::stream_messages`], long messages are delivered in [`Piece`]s and are not held. The
//! module [`buffer`] has pools for servers with many connections.
//!
//! # Versions
//!
//! [`Version`] has all of them. Code for RFC 6455 works for hybi-07 and hybi-08 too. Draft 0 and
//! hixie-75 have only text, and hixie-75 closes by ending the stream:
//! [`Connection::wants_shutdown`] tells when.
//!
//! # Features
//!
//! - `deflate`: permessage-deflate (RFC 7692). A `CodecPool` lends compressors and decompressors to
//!   the connections that negotiated it.
//! - `simd` (default): [`apply_mask`] uses the widest vectors of the processor, in safe code. On x86-64 with
//!   AVX2 it takes half of the time for payloads of 512 bytes and more. The crate `fearless_simd`,
//!   which has the vectors, takes longer to compile than clws-proto.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod buffer;
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
pub use crate::message::piece::{Piece, PieceData};
pub use crate::message::reaction::Reaction;
pub use crate::receive::input::Input;
pub use crate::receive::{Events, Receiver};
pub use crate::send::Sender;
pub use crate::send::backlog::policy::SlowPolicy;
pub use crate::send::shared::SharedMessage;
pub use crate::version::{Role, Version};
pub use bytestring::ByteString;

/// Messages that wait until there is room in the outbox, and can be dropped meanwhile: the
/// arguments and results of [`Sender::queue`].
pub mod backlog {
    pub use crate::send::backlog::DropCounts;
    pub use crate::send::backlog::pending::{Key, Pending};
    pub use crate::send::queue::{Admission, Queued};
}

/// Compiles and runs the README's example with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
