//! Recording connections into files, and reading these files.
//!
//! A server records the connections that a rule chooses by their peers ([`Capture::peers`]), and
//! those that the application chooses ([`Accept::capture`](crate::Accept::capture),
//! [`Client::capture`](crate::Client::capture)). Each connection has a file in the format pcapng,
//! which Wireshark opens and dissects. [`Recording`] reads it, and
//! `TestServer::replay` of the module `testing` runs it through a server in memory: so a bug report
//! becomes a test.
//!
//! ```
//! use clws_server::capture::{Capture, Recording};
//! use clws_server::{Config, Peer, Server};
//!
//! # let directory = std::env::temp_dir().join(format!("clws-capture-{}", std::process::id()));
//! let is_local = |peer: &Peer| matches!(peer, Peer::Tcp(address) if address.ip().is_loopback());
//! let capture = Capture::new(&directory).peers(is_local).max_recordings(20);
//! let server = Server::builder(Config::default().listen("127.0.0.1:0")).capture(capture).bind()?;
//! // later
//! for file in std::fs::read_dir(&directory)? {
//!     let recording = Recording::open(file?.path())?;
//!     println!("{}: {:?}", recording.client(), recording.transcript().answers);
//! }
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Privacy
//!
//! **A file contains everything that the client and the server sent**: messages in clear, also those
//! that came through TLS, and the headers of the request, with cookies and authorization. On Unix,
//! only the user of the process can read the files. Record as little as possible, and delete the
//! files when you no longer need them.
//!
//! # Cost
//!
//! The bytes of a recorded connection are copied into a queue. A thread writes them into the files.
//! If the queue is full, the recording misses bytes, and says so; the server never waits for the
//! disk. Connections that are not recorded cost nothing.

pub(crate) mod error;
mod event;
mod packet;
mod pcapng;
mod queue;
pub(crate) mod recorder;
pub(crate) mod recording;
pub(crate) mod settings;
pub(crate) mod tap;
pub(crate) mod transcript;
mod writer;

pub use crate::capture::error::{CaptureError, RecordingError};
pub use crate::capture::recorder::CaptureStats;
pub use crate::capture::recording::{Content, Entry, Recording, Side};
pub use crate::capture::settings::Capture;
pub use crate::capture::transcript::{Answer, Transcript};

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests;
