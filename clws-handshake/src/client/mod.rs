//! The client's side: write the request of any draft, check the answer to it.
//!
//! [`ClientRequest`] is the request; its [`build`](ClientRequest::build) gives the bytes to send and a
//! [`Pending`], which then [`check`](Pending::check)s what comes back. Random bytes come from the caller.
//!
//! ```
//! use clws_handshake::client::ClientRequest;
//! use clws_handshake::{HandshakeLimits, Acceptance, Status, Version, parse};
//!
//! let (limits, mut random) = (HandshakeLimits::default(), |bytes: &mut [u8]| bytes.fill(7)); // take better ones
//! let (bytes, mut pending) = ClientRequest::new(Version::Rfc6455, "ws://server.example/chat?room=1")
//!     .subprotocol("chat")
//!     .build(&mut random)?;
//!
//! let Status::Complete(request) = parse(&bytes, &limits)? else { panic!("it is all there") };
//! let answer = request.accept(&Acceptance::new().subprotocol("chat"))?.response;
//!
//! let Status::Complete(open) = pending.check(&answer, &limits)? else { panic!("it is all there") };
//! assert_eq!(open.subprotocol, Some("chat"));
//! assert_eq!(open.consumed, answer.len());
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
