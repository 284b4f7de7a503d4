//! What can go wrong, in words for the person at the terminal.

use std::io;

use super::reader::FrameError;

/// Why a load did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments ask for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What it answered.
        source: io::Error,
    },
    /// The opening handshake was not answered as it must be.
    #[error("opening handshake: {0}")]
    Handshake(String),
    /// The server sent bytes that are no frame, or not the frame that was due.
    #[error("connection {connection}: {source}")]
    Frame {
        /// Which connection, counted from 0.
        connection: usize,
        /// What was wrong.
        source: FrameError,
    },
    /// The server closed a connection that was in use.
    #[error("connection {connection}: closed by the server{}", code.map(|c| format!(" with code {c}")).unwrap_or_default())]
    Closed {
        /// Which connection, counted from 0.
        connection: usize,
        /// The close code it gave, if it sent a Close frame with one.
        code: Option<u16>,
    },
    /// Nothing came for too long.
    #[error("nothing came for {seconds} s: {detail}")]
    Stalled {
        /// How long.
        seconds: f64,
        /// What was still due.
        detail: String,
    },
}

impl Error {
    /// Wraps an error of the operating system with what was tried.
    pub fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }
}
