//! One connection: a socket, a reader, and a place in the circle of messages.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;

use super::args::Draft;
use super::deflate::Offer;
use super::error::Error;
use super::frames::Ring;
use super::reader::{Expect, Reader};

/// Size of the buffer that all connections read into.
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

/// What one read brought.
#[derive(Debug, Clone, Copy, Default)]
pub struct Step {
    /// Octets.
    pub octets: usize,
    /// Messages they completed.
    pub messages: u64,
    /// There may be more to read.
    pub more: bool,
}

impl Conn {
    /// Takes over a socket that shook hands (with this offer agreed to), and makes it non-blocking. `came` is what followed
    /// the handshake.
    ///
    /// # Errors
    /// What the system refused, or a wrong frame in `came`.
    pub fn new(
        socket: TcpStream,
        draft: Draft,
        offer: Option<&Offer>,
        number: usize,
        came: &[u8],
        expect: Expect<'_>,
    ) -> Result<Self, Error> {
        socket.set_nonblocking(true).map_err(|e| Error::io("O_NONBLOCK", e))?;
        let reader = Reader::new(draft, offer);
        let mut conn = Self { socket, reader, number, cursor: 0, queued: 0, pending: 0 };
        conn.feed(came, expect)?;
        Ok(conn)
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Its number, counted from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Messages that came so far.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.reader.messages()
    }

    /// Queues the next `count` messages of the circle.
    pub fn queue(&mut self, count: u64, ring: &Ring) {
        self.pending += ring.wire(self.queued, count);
        self.queued += count;
    }

    /// Whether something queued is not written yet.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.pending > 0
    }

    /// Writes as much of what is queued as the socket takes; tells how many octets that was.
    ///
    /// # Errors
    /// When the connection broke.
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

    /// Reads once. With edge triggers a short read means that there is no more, unless the server hung up.
    ///
    /// # Errors
    /// When the connection broke or was closed, and when a frame was wrong.
    pub fn read(&mut self, buffer: &mut [u8], hangup: bool, expect: Expect<'_>) -> Result<Step, Error> {
        let octets = match (&self.socket).read(buffer) {
            Ok(0) => return Err(Error::Closed { connection: self.number, code: self.reader.close_code() }),
            Ok(octets) => octets,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                return Ok(Step { more: true, ..Step::default() });
            }
            Err(error) => return Err(self.broke("reading", error)),
        };
        let messages = self.feed(&buffer[..octets], expect)?;
        if self.reader.is_closed() {
            return Err(Error::Closed { connection: self.number, code: self.reader.close_code() });
        }
        Ok(Step { octets, messages, more: hangup || octets == buffer.len() })
    }

    /// Says goodbye as well as can be done without waiting.
    pub fn close(&mut self, draft: Draft) {
        if self.pending == 0 {
            // The load is over and counted: a server that is gone already is no error any more.
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
