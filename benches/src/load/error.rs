//! The errors of a load.

use std::io;

use super::reader::FrameError;

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
    /// The server sent an invalid or unexpected frame.
    #[error("connection {connection}: {source}")]
    Frame {
        /// The connection, counted from 0.
        connection: usize,
        /// The error in the frame.
        source: FrameError,
    },
    /// The server closed a connection that was in use.
    #[error("connection {connection}: closed by the server{}", code.map(|c| format!(" with code {c}")).unwrap_or_default())]
    Closed {
        /// The connection, counted from 0.
        connection: usize,
        /// The close code, if the close frame had one.
        code: Option<u16>,
    },
    /// The server sent nothing for too long.
    #[error("no input for {seconds} s: {detail}")]
    Stalled {
        /// The length of the silence in seconds.
        seconds: f64,
        /// The missing messages.
        detail: String,
    },
}

impl Error {
    /// Wraps a system error together with the attempted operation.
    pub fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }
}
