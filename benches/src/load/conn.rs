//! One connection: a socket, a reader and a position in the ring of messages.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;

use super::args::Draft;
use super::deflate::Offer;
use super::error::Error;
use super::frames::Ring;
use super::reader::{Expect, Reader};

/// The size of the read buffer that all connections share.
pub const READ: usize = 256 << 10;

/// An open connection.
#[derive(Debug)]
pub struct Conn {
    socket: TcpStream,
    reader: Reader,
    number: usize,
    cursor: usize,
    queued: u64,
    pending: usize,
}

/// The result of one read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Step {
    /// Bytes read.
    pub bytes: usize,
    /// Completed messages.
    pub messages: u64,
    /// Whether there may be more to read.
    pub more: bool,
}

impl Conn {
    /// Takes over a socket after the handshake and makes it non-blocking. `early` is the input
    /// after the handshake.
    ///
    /// # Errors
    /// System errors, and an invalid frame in `early`.
    pub fn new(
        socket: TcpStream,
        draft: Draft,
        offer: Option<&Offer>,
        number: usize,
        early: &[u8],
        expect: Expect<'_>,
    ) -> Result<Self, Error> {
        socket.set_nonblocking(true).map_err(|e| Error::io("O_NONBLOCK", e))?;
        let reader = Reader::new(draft, offer);
        let mut conn = Self { socket, reader, number, cursor: 0, queued: 0, pending: 0 };
        conn.feed(early, expect)?;
        Ok(conn)
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The number of the connection, counted from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The number of received messages.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.reader.messages()
    }

    /// Queues the next `count` messages of the ring.
    pub fn queue(&mut self, count: u64, ring: &Ring) {
        self.pending += ring.wire(self.queued, count);
        self.queued += count;
    }

    /// Whether queued data is not written yet.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.pending > 0
    }

    /// Writes queued data until the socket would block. Returns the number of bytes written.
    ///
    /// # Errors
    /// The connection failed.
    pub fn flush(&mut self, ring: &Ring) -> Result<usize, Error> {
        let encoded = ring.encoded();
        let before = self.pending;
        while self.pending > 0 {
            let tail = &encoded[self.cursor..];
            let result = if self.pending <= tail.len() {
                (&self.socket).write(&tail[..self.pending])
            } else {
                let head = &encoded[..encoded.len().min(self.pending - tail.len())];
                (&self.socket).write_vectored(&[IoSlice::new(tail), IoSlice::new(head)])
            };
            match result {
                Ok(n) => {
                    self.pending -= n;
                    self.cursor = (self.cursor + n) % encoded.len();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broke("writing", error)),
            }
        }
        Ok(before - self.pending)
    }

    /// Reads once. With edge-triggered events, a short read means that the socket is drained,
    /// unless the server hung up.
    ///
    /// # Errors
    /// The connection failed or was closed, or a frame was invalid.
    pub fn read(&mut self, buffer: &mut [u8], hangup: bool, expect: Expect<'_>) -> Result<Step, Error> {
        let bytes = match (&self.socket).read(buffer) {
            Ok(0) => return Err(Error::Closed { connection: self.number, code: self.reader.close_code() }),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                return Ok(Step { more: true, ..Step::default() });
            }
            Err(error) => return Err(self.broke("reading", error)),
        };
        let messages = self.feed(&buffer[..bytes], expect)?;
        if self.reader.is_closed() {
            return Err(Error::Closed { connection: self.number, code: self.reader.close_code() });
        }
        Ok(Step { bytes, messages, more: hangup || bytes == buffer.len() })
    }

    /// Sends a close frame if it can be written at once.
    pub fn close(&mut self, draft: Draft) {
        if self.pending == 0 {
            // The measurement is complete, so a failure does not matter.
            let _ = (&self.socket).write(super::frames::close(draft));
        }
    }

    fn feed(&mut self, input: &[u8], expect: Expect<'_>) -> Result<u64, Error> {
        let connection = self.number;
        self.reader.feed(input, expect).map_err(|source| Error::Frame { connection, source })
    }

    fn broke(&self, doing: &str, error: io::Error) -> Error {
        Error::io(format!("connection {}: {doing}", self.number), error)
    }
}
