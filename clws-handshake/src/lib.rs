//! Sans-IO WebSocket opening handshakes for server and client, in every protocol version ever
//! deployed: hixie-75, hixie-76 (hybi-00), hybi-07, hybi-08 and RFC 6455.
//!
//! This crate has no sockets, clocks or threads: the caller reads, writes and sets deadlines. Once
//! the handshake is complete, `clws-proto` encodes and decodes the frames.
//!
//! # A server
//!
//! 1. Call [`HeadScanner::scan`] with everything received so far, each time more bytes arrive. It
//!    finds the end of the head, examines each byte once, and rejects invalid input early.
//! 2. Parse the head with [`HttpRequest::parse`]. If
//!    [`wants_upgrade`](HttpRequest::wants_upgrade) is false, answer the request as plain HTTP.
//! 3. Call [`HttpRequest::upgrade`]. Draft 0 has 8 bytes after its head, so the result can be
//!    [`Status::Partial`]. In that case send [`CONTINUE`] if
//!    [`expects_continue`](HttpRequest::expects_continue) is true. If all bytes are available,
//!    [`parse`] combines the first three steps.
//! 4. Examine the [`Request`]: its [path](Request::path), its [origin](Request::origin) (with
//!    [`Origins`]), and the offered [subprotocols](Request::subprotocols). Keep data for later as a
//!    [`RequestHead`].
//! 5. Call [`Request::accept`] with an [`Acceptance`] and send the [`Accepted`] response. The bytes
//!    after [`consumed`](Accepted::consumed) are early frames. Pass them to the receiver of the
//!    [`Version`].
//!
//! Each step can fail with a [`Reject`]: send its [`response_to`](Reject::response_to) the received
//! bytes, then close the connection.
//!
//! ```
//! use clws_handshake::{
//!     Acceptance, HandshakeLimits, HeadScanner, HttpRequest, Origins, Reject, Status,
//! };
//!
//! /// The state of a connection during its handshake.
//! #[derive(Default)]
//! struct Handshake {
//!     scanner: HeadScanner,
//! }
//!
//! impl Handshake {
//!     /// Takes everything received so far. Returns the response and the number of bytes consumed.
//!     fn received(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Reject> {
//!         let limits = HandshakeLimits::default().hixie(true);
//!         let Status::Complete(end) = self.scanner.scan(bytes, &limits)? else { return Ok(None) };
//!         let (head, body) = bytes.split_at(end);
//!         let http = HttpRequest::parse(head, &limits)?;
//!         let Status::Complete(request) = http.upgrade(body, &limits)? else {
//!             return Ok(None);
//!         };
//!         if request.path() != "/chat" {
//!             return Err(Reject::not_found());
//!         }
//!         if !Origins::prefix(["http://example.com"]).or_absent(true).allows(request.origin()) {
//!             return Err(Reject::forbidden("this origin is not allowed"));
//!         }
//!         let mut acceptance = Acceptance::new();
//!         if request.subprotocols().any(|name| name == "superchat") {
//!             acceptance = acceptance.subprotocol("superchat");
//!         }
//!         let accepted = request
//!             .accept(&acceptance)
//!             .map_err(|error| Reject::custom(500, error.to_string()))?;
//!         Ok(Some((accepted.response, accepted.consumed)))
//!     }
//! }
//!
//! let bytes = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
//!     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
//!     Origin: http://example.com\r\n\
//!     Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";
//! let mut handshake = Handshake::default();
//! assert_eq!(handshake.received(&bytes[..100])?, None);
//! let (response, consumed) = handshake.received(bytes)?.expect("a complete request");
//! assert_eq!(consumed, bytes.len());
//! assert_eq!(
//!     String::from_utf8_lossy(&response),
//!     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
//!      Sec-WebSocket-Protocol: superchat\r\n\r\n"
//! );
//! # Ok::<(), Reject>(())
//! ```
//!
//! # A client
//!
//! [`client::ClientRequest`] writes the request of any version. It returns a [`client::Pending`],
//! which checks the response:
//!
//! ```
//! use clws_handshake::client::ClientRequest;
//! use clws_handshake::{HandshakeLimits, Status, Version};
//!
//! // Use unpredictable bytes.
//! let mut random = |bytes: &mut [u8]| bytes.copy_from_slice(b"the sample nonce");
//! let (bytes, mut pending) = ClientRequest::new(Version::Rfc6455, "ws://server.example.com/chat")
//!     .subprotocol("chat")
//!     .build(&mut random)?;
//! assert!(bytes.starts_with(b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\n"));
//!
//! let response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
//! let Status::Complete(open) = pending.check(response, &HandshakeLimits::default())? else {
//!     panic!("incomplete")
//! };
//! assert_eq!((open.subprotocol, open.consumed), (Some("chat"), response.len()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Versions
//!
//! | version | recognised by | header of the origin | key | response |
//! |---|---|---|---|---|
//! | hixie-75 | `Upgrade: WebSocket` in this spelling, and no header `Sec-WebSocket-*`; only with [`HandshakeLimits::hixie_75`] | `Origin`, required | none | origin and location |
//! | draft 0 (hixie-76, hybi-00) | `Sec-WebSocket-Key1` and `-Key2`; only with [`HandshakeLimits::hixie`] | `Origin`, required | two keys and 8 bytes | MD5 after the head, origin and location |
//! | 7 (hybi-07) | `Sec-WebSocket-Version: 7` | `Sec-WebSocket-Origin`, else `Origin` | base64 of 15 or 16 bytes | `Sec-WebSocket-Accept` |
//! | 8 (hybi-08 to -12) | `Sec-WebSocket-Version: 8` | `Sec-WebSocket-Origin`, else `Origin` | base64 of 15 or 16 bytes | `Sec-WebSocket-Accept` |
//! | 13 (RFC 6455) | `Sec-WebSocket-Version: 13` | `Origin` | base64 of 16 bytes | `Sec-WebSocket-Accept` |
//!
//! The 15 bytes are intended: ws 0.4, which supports versions 7 and 8, uses `8-` and the time in
//! milliseconds as its key.
//!
//! # After a proxy
//!
//! [`ForwardedHeader`] finds the client in the headers of trusted proxies, and [`ProxyHeader`] parses
//! the PROXY protocol.
//!
//! # permessage-deflate
//!
//! The feature `deflate` negotiates permessage-deflate (RFC 7692) in version 13. Enable it with
//! `Acceptance::deflate` for a server, and with `ClientRequest::deflate` for a client.
//! `Accepted::deflate` and `Established::deflate` hold the agreed parameters for `clws-proto`.
//!
//! # Limits
//!
//! [`HandshakeLimits`] bound the bytes and the lines of a head. A head that arrives byte by byte
//! takes linear time. No allocation has a size that a peer declares, and no input causes a panic.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod authority;
mod challenge;
pub mod client;
#[cfg(feature = "deflate")]
mod deflate;
mod extensions;
mod forwarded;
mod http;
mod limits;
mod origins;
mod proxy_protocol;
mod server;
mod token;
mod url;
mod version_rules;

pub use crate::extensions::Extension;
pub use crate::forwarded::{Forwarded, ForwardedClient, ForwardedHeader};
pub use crate::http::expect::CONTINUE;
pub use crate::http::head_writer::HeadWriter;
pub use crate::http::headers::Headers;
pub use crate::http::reject::Reject;
pub use crate::http::request::HttpRequest;
pub use crate::http::response::HttpResponse;
pub use crate::http::scan::HeadScanner;
pub use crate::http::write::HeaderError;
pub use crate::limits::{HandshakeLimits, Status};
pub use crate::origins::{InvalidOrigin, Origins};
pub use crate::proxy_protocol::header::{ProxyHeader, ProxyHeaderError};
pub use crate::server::acceptance::{AcceptError, Acceptance, Accepted};
pub use crate::server::request::Request;
pub use crate::server::request_head::RequestHead;
pub use crate::server::upgrade::parse;
pub use clws_proto::Version;
#[cfg(feature = "deflate")]
pub use clws_proto::{DeflateConfig, DeflateParams};

/// Runs the README's example as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
