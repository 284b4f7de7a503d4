//! Sans-IO WebSocket opening handshakes, for every draft that was ever deployed: hixie-75, hixie-76
//! (hybi-00), hybi-07, hybi-08 and RFC 6455; both the server's side and the client's.
//!
//! Bytes go in, bytes and facts come out. There is no socket here, no clock and no thread: whoever holds the
//! connection reads, writes and decides how long to wait. What the connection speaks afterwards is
//! `clws-proto`'s.
//!
//! # A server
//!
//! 1. Give a [`HeadScanner`] everything received so far, each time more has come. It says where the head
//!    ends, looks at no byte twice, and refuses early what cannot become one.
//! 2. [`HttpRequest::parse`] the head. A request that does not
//!    [want an upgrade](HttpRequest::wants_upgrade) can be answered as plain HTTP.
//! 3. [`HttpRequest::upgrade`] it. Draft 0 has 8 bytes behind its head, so this too can be
//!    [`Status::Partial`]; a client that [expects it](HttpRequest::expects_continue) is then sent [`CONTINUE`].
//!    (With all bytes in hand, [`parse`] does these three at once.)
//! 4. Look at the [`Request`]: [path](Request::path), [origin](Request::origin) (with an [`Origins`] rule),
//!    offered [subprotocols](Request::subprotocols). Keep what should outlive it as a [`RequestHead`].
//! 5. [`Request::accept`] with an [`Acceptance`], send the [`Accepted`] response, and hand the bytes from
//!    [`consumed`](Accepted::consumed) on, which are frames that the client sent early, to the receiver of
//!    the [`Version`].
//!
//! Each step may end in a [`Reject`] instead: send its [`response_to`](Reject::response_to) what came, then close.
//!
//! ```
//! use clws_handshake::{HandshakeLimits, HeadScanner, HttpRequest, Acceptance, Origins, Reject, Status};
//!
//! /// What one connection keeps until it is open.
//! #[derive(Default)]
//! struct Handshake {
//!     scanner: HeadScanner,
//! }
//!
//! impl Handshake {
//!     /// Takes all that came so far; the answer, once there is one, with the number of bytes it answers.
//!     fn received(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Reject> {
//!         let limits = HandshakeLimits::default().hixie(true);
//!         let Status::Complete(end) = self.scanner.scan(bytes, &limits)? else { return Ok(None) };
//!         let (head, behind) = bytes.split_at(end);
//!         let Status::Complete(request) = HttpRequest::parse(head, &limits)?.upgrade(behind, &limits)? else {
//!             return Ok(None);
//!         };
//!         if request.path() != "/chat" {
//!             return Err(Reject::not_found());
//!         }
//!         if !Origins::prefix(["http://example.com"]).or_absent(true).allows(request.origin()) {
//!             return Err(Reject::forbidden("this page may not connect here"));
//!         }
//!         let mut offer = Acceptance::new();
//!         if request.subprotocols().any(|name| name == "superchat") {
//!             offer = offer.subprotocol("superchat");
//!         }
//!         let accepted = request.accept(&offer).map_err(|error| Reject::custom(500, error.to_string()))?;
//!         Ok(Some((accepted.response, accepted.consumed)))
//!     }
//! }
//!
//! let bytes = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
//!     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
//!     Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";
//! let mut handshake = Handshake::default();
//! assert_eq!(handshake.received(&bytes[..100])?, None);
//! let (answer, consumed) = handshake.received(bytes)?.expect("the whole request");
//! assert_eq!(consumed, bytes.len());
//! assert_eq!(
//!     String::from_utf8_lossy(&answer),
//!     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: superchat\r\n\r\n"
//! );
//! # Ok::<(), Reject>(())
//! ```
//!
//! # A client
//!
//! [`client::ClientRequest`] writes the request of any version, and what it returns checks the answer:
//!
//! ```
//! use clws_handshake::client::ClientRequest;
//! use clws_handshake::{HandshakeLimits, Status, Version};
//!
//! let mut random = |bytes: &mut [u8]| bytes.copy_from_slice(b"the sample nonce"); // take random ones
//! let (bytes, mut pending) = ClientRequest::new(Version::Rfc6455, "ws://server.example.com/chat")
//!     .subprotocol("chat")
//!     .build(&mut random)?;
//! assert!(bytes.starts_with(b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\n"));
//!
//! let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
//! let Status::Complete(open) = pending.check(answer, &HandshakeLimits::default())? else { panic!("it is all there") };
//! assert_eq!((open.subprotocol, open.consumed), (Some("chat"), answer.len()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The drafts
//!
//! | version | recognised by | origin in | key | answered with |
//! |---|---|---|---|---|
//! | hixie-75 | `Upgrade: WebSocket` in these letters, no header `Sec-WebSocket-*`; only with [`HandshakeLimits::hixie_75`] | `Origin`, required | none | origin and location |
//! | draft 0 (hixie-76, hybi-00) | `Sec-WebSocket-Key1` and `-Key2`; only with [`HandshakeLimits::hixie`] | `Origin`, required | two keys and 8 bytes | MD5 behind the head, origin and location |
//! | 7 (hybi-07) | `Sec-WebSocket-Version: 7` | `Sec-WebSocket-Origin`, else `Origin` | base64 of 15 or 16 bytes | `Sec-WebSocket-Accept` |
//! | 8 (hybi-08 to -12) | `Sec-WebSocket-Version: 8` | `Sec-WebSocket-Origin`, else `Origin` | base64 of 15 or 16 bytes | `Sec-WebSocket-Accept` |
//! | 13 (RFC 6455) | `Sec-WebSocket-Version: 13` | `Origin` | base64 of 16 bytes | `Sec-WebSocket-Accept` |
//!
//! The 15 bytes are no slip: ws 0.4, which speaks 7 and 8, makes its key of `8-` and the time in
//! milliseconds.
//!
//! # permessage-deflate
//!
//! With the feature `deflate` the one extension that everybody has, RFC 7692, is negotiated where both sides
//! want it: a server says so by `Acceptance::deflate` and a client by `ClientRequest::deflate`, and what
//! was agreed on is in `Accepted::deflate` and `Established::deflate`, for `clws-proto` to work by. Hixie-75
//! and drafts 0, 7 and 8 never have it.
//!
//! # What a peer can cost
//!
//! [`HandshakeLimits`] bound a head in bytes and lines. A head that comes byte by byte costs linear time, no allocation
//! is sized by what a peer declares, and no bytes make anything here panic.
#![forbid(unsafe_code)]

mod authority;
mod challenge;
pub mod client;
#[cfg(feature = "deflate")]
mod deflate;
mod extensions;
mod http;
mod limits;
mod origins;
mod server;
mod token;
mod url;
mod version_rules;

pub use crate::extensions::Extension;
pub use crate::http::expect::CONTINUE;
pub use crate::http::headers::Headers;
pub use crate::http::reject::Reject;
pub use crate::http::request::HttpRequest;
pub use crate::http::response::HttpResponse;
pub use crate::http::scan::HeadScanner;
pub use crate::http::write::HeaderError;
pub use crate::limits::{HandshakeLimits, Status};
pub use crate::origins::{InvalidOrigin, Origins};
pub use crate::server::acceptance::{AcceptError, Acceptance, Accepted};
pub use crate::server::request::Request;
pub use crate::server::request_head::RequestHead;
pub use crate::server::upgrade::parse;
pub use clws_proto::Version;
#[cfg(feature = "deflate")]
pub use clws_proto::{DeflateConfig, DeflateParams};

/// The README's example is run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
