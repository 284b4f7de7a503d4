//! The client's side: writes the request of any version and checks the response.
//!
//! [`ClientRequest::build`] returns the bytes to send and a [`Pending`], which then
//! [`check`](Pending::check)s the response. The caller provides random bytes.
//!
//! ```
//! use clws_handshake::client::ClientRequest;
//! use clws_handshake::{Acceptance, HandshakeLimits, Status, Version, parse};
//!
//! let limits = HandshakeLimits::default();
//! let mut random = |bytes: &mut [u8]| bytes.fill(7); // use unpredictable bytes
//! let url = "ws://server.example/chat?room=1";
//! let (bytes, mut pending) = ClientRequest::new(Version::Rfc6455, url)
//!     .subprotocol("chat")
//!     .build(&mut random)?;
//!
//! let Status::Complete(request) = parse(&bytes, &limits)? else { panic!("incomplete") };
//! let response = request.accept(&Acceptance::new().subprotocol("chat"))?.response;
//!
//! let Status::Complete(open) = pending.check(&response, &limits)? else { panic!("incomplete") };
//! assert_eq!(open.subprotocol, Some("chat"));
//! assert_eq!(open.consumed, response.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod expected;
mod hixie_keys;
mod pending;
mod request;

pub use crate::client::answer::{AnswerError, Refusal};
pub use crate::client::pending::{Established, Pending};
pub use crate::client::request::{ClientRequest, RequestError};
