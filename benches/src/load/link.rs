//! A stream to the server: TCP, with or without TLS.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::tls::Session;

/// A connected socket, and the TLS session on it.
#[derive(Debug)]
pub(super) struct Link {
    socket: TcpStream,
    tls: Option<Session>,
}

/// The result of one read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// The number of bytes, decrypted if they were encrypted. It can be 0 with TLS.
    pub(super) bytes: usize,
    /// Whether there may be more to read.
    pub(super) more: bool,
    /// Whether the server has ended its side.
    pub(super) ended: bool,
}

impl Link {
    /// A stream on a connected socket. The first reads and writes drive the TLS handshake.
    pub(super) fn new(socket: TcpStream, tls: Option<Session>) -> Self {
        Self { socket, tls }
    }

    /// The socket.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The TLS version and cipher. Empty without TLS, and before the TLS handshake.
    pub(super) fn tls(&self) -> String {
        self.tls.as_ref().map_or_else(String::new, Session::describe)
    }

    /// Whether the TLS session was resumed.
    pub(super) fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(Session::is_resumed)
    }

    /// Whether each message needs TLS records of its own.
    pub(super) fn separates_messages(&self) -> bool {
        self.tls.as_ref().is_some_and(Session::separates_messages)
    }

    /// Whether encrypted bytes wait for space in the socket.
    pub(super) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(Session::wants_write)
    }

    /// Reads once.
    pub(super) fn read(&mut self, space: &mut [u8]) -> io::Result<Received> {
        match &mut self.tls {
            None => {
                let bytes = self.socket.read(space)?;
                Ok(Received { bytes, more: bytes == space.len(), ended: bytes == 0 && !space.is_empty() })
            }
            Some(tls) => tls.read(&self.socket, space),
        }
    }

    /// Writes bytes to the socket. With TLS, encrypts at most `limit` bytes, and the next
    /// [`flush`](Self::flush) writes the records.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>], limit: usize) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.write_vectored(slices),
            Some(tls) => tls.write(&self.socket, slices, limit),
        }
    }

    /// Writes encrypted bytes until none are left, or the socket would block.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.tls.as_mut().map_or(Ok(()), |tls| tls.flush(&self.socket))
    }

    /// Writes a request, which the empty buffer of a new socket takes whole.
    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(&[IoSlice::new(bytes)], usize::MAX)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        self.flush()
    }

    /// Ends this side. A failure means that the server has ended the connection.
    pub(super) fn end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.end(&self.socket);
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}
