//! The errors of a load.

use std::io;

use clws_proto::ProtocolError;

/// The reason why a load failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments are invalid.
    #[error("{0}")]
    Usage(String),
    /// The operating system reported an error.
    #[error("{what}: {source}")]
    Io {
        /// The attempted operation.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// The opening handshake failed.
    #[error("opening handshake: {0}")]
    Handshake(String),
    /// The server violated the protocol on this connection, counted from 0.
    #[error("connection {0}: {1}")]
    Protocol(usize, ProtocolError),
    /// A message on this connection differs from the message sent.
    #[error("connection {0}: {1}")]
    Message(usize, String),
    /// The server closed this connection while it was in use. The close code is included if known.
    #[error("connection {0}: closed by the server{code}", code = .1.map(|code| format!(" with code {code}")).unwrap_or_default())]
    Closed(usize, Option<u16>),
    /// No message came back for this number of seconds. The text names what is missing.
    #[error("no message for {0} s: {1}")]
    Stalled(f64, String),
}

impl Error {
    /// Wraps a system error together with the attempted operation.
    pub fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }
}
