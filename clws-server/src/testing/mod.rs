//! Tests of handlers without a network: a server without sockets, and blocking clients.
//!
//! It needs the feature `testing`, for instance in the `[dev-dependencies]` of an application. The
//! chapter [testing](crate::guide::testing) has more examples.
//!
//! ```
//! use clws_server::testing::TestServer;
//! use clws_server::{Client, Close, CloseCode, Config, Message, Origins, Resource, Text};
//!
//! struct Echo;
//!
//! impl Resource for Echo {
//!     fn text(&self, client: &Client, text: Text<'_>) {
//!         let _ = client.send(text);
//!     }
//! }
//!
//! let server = TestServer::new(Config::default())?;
//! server.resources().register("/echo", Origins::any(), Echo)?;
//!
//! let mut client = server.connect("/echo")?;
//! client.send("hello")?;
//! assert_eq!(client.receive()?, Message::from("hello"));
//! client.close(CloseCode::NORMAL)?;
//! assert_eq!(client.closed()?, Close::from(CloseCode::NORMAL));
//!
//! let refused = server.connect("/nothing").unwrap_err();
//! assert_eq!(refused.status(), Some(404));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything between the client's call and the handler is the real code: the bytes of the
//! handshake and of the frames, the limits, the deadlines, the backpressure. Only the socket is
//! replaced by a pipe in memory, and the shard by a thread for each client.
//!
//! # Waiting
//!
//! The calls block the calling thread, so a test needs no executor and no pause. `connect`, `receive`
//! and `closed` wait for the server. `send` returns when the bytes are in the pipe. A wait that takes longer than the [hang limit](TestServer::hang_limit)
//! ends with [`TestError::Hang`]. So a handler that never answers fails its test.
//!
//! In an async test, the methods block the thread of the test. The server has other threads and is
//! not held up. A tokio runtime with one thread, as in `#[tokio::test]`, could run no handler
//! meanwhile, so the server starts another one. `#[tokio::test(flavor = "multi_thread")]` lets the
//! handlers run on the runtime of the test.

mod client;
mod error;
mod host;
mod pipe;
mod replay;
mod request;
mod server;
mod wait;

pub use crate::testing::client::TestClient;
pub use crate::testing::error::{TestError, TestResponse};
pub use crate::testing::replay::Replayed;
pub use crate::testing::request::TestRequest;
pub use crate::testing::server::TestServer;
pub use clws_handshake::client::{AnswerError, RequestError};
pub use clws_proto::SendError as FrameError;
