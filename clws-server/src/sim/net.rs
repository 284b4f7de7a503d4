//! The simulated network: listening sockets, and lossless connections with bounded buffers in both
//! directions. It follows Linux in its edges and in the data that a reset discards.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use crate::sim::rng::Rng;
use crate::sim::{Event, MICRO, MILLI, State};

/// Duration of a system call.
pub(super) const CALL: u64 = MICRO;

/// One TCP connection.
#[derive(Debug, Default)]
pub(super) struct Conn {
    // From the client to the server.
    /// Written by the client and in flight.
    out: ByteQueue,
    /// Arrived and not yet read by the server.
    inbox: ByteQueue,
    inbox_size: usize,
    /// Total bytes that arrived, and total bytes that the server has read.
    pub(super) arrived: u64,
    pub(super) read: u64,
    /// The time of the last read that returned bytes.
    pub(super) read_at: u64,
    /// The client has ended its side: as the client sees it, and as the server sees it.
    fin_out: bool,
    pub(super) fin_in: bool,
    /// A reset has arrived, and a read has returned it to the server.
    pub(super) reset: bool,
    reset_delivered: bool,
    /// The server has read the end of input.
    pub(super) end_read: bool,
    carrying_in: bool,

    // From the server to the client.
    /// Written by the server and not yet read by the client.
    sent: ByteQueue,
    sent_size: usize,
    written: u64,
    carried: u64,
    /// Total bytes after each write, with its time.
    writes: VecDeque<(u64, u64)>,
    /// A write has failed for lack of space, so an edge follows when there is space.
    pub(super) full: bool,
    /// The time of the server's last write, and the time since which the socket has space again.
    pub(super) wrote_at: u64,
    space_since: Option<u64>,
    /// The server has shut down writing, and has closed the socket.
    pub(super) shut: bool,
    pub(super) closed: bool,
    end_delivered: bool,
    carrying_out: bool,
    /// The client has closed its socket, or the connection was reset.
    is_disconnected: bool,

    latency: u64,
    gap: u64,
    /// The largest segment in either direction.
    segment: usize,

    // How the server is notified.
    pub(super) poller: Option<(u32, usize)>,
    pub(super) queued: bool,
    pub(super) read_waker: Option<Waker>,
    pub(super) write_waker: Option<Waker>,
}

/// A queue of bytes.
#[derive(Debug, Default)]
struct ByteQueue {
    bytes: Vec<u8>,
    start: usize,
}

impl ByteQueue {
    const fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Removes the oldest `count` bytes.
    fn pop(&mut self, count: usize) -> &[u8] {
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.start += count;
        &self.bytes[self.start - count..self.start]
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Conn {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let latency = rng.pick(&[0, 10 * MICRO, 100 * MICRO, 5 * MILLI]);
        Self {
            inbox_size: rng.magnitude(256, 256 * 1024),
            sent_size: rng.magnitude(256, 256 * 1024),
            segment: rng.magnitude(200, 64 * 1024),
            latency,
            gap: latency / 2,
            ..Self::default()
        }
    }

    /// Whether the socket is writable, as Linux defines it for its edges.
    pub(super) fn is_writable(&self) -> bool {
        self.reset || self.shut || (self.sent_size - self.sent.len()) * 2 >= self.sent.len()
    }

    /// Whether a read by the server returns bytes or an end.
    pub(super) fn is_readable(&self) -> bool {
        !self.inbox.is_empty() || self.fin_in || self.reset
    }

    /// Whether the server still has something to read. That must not be so once nothing more
    /// happens.
    pub(super) fn has_input(&self) -> bool {
        !self.closed && (!self.inbox.is_empty() || (self.fin_in && !self.shut) || self.reset)
    }

    /// Whether the server can write.
    pub(super) fn has_space(&self) -> bool {
        !self.closed && self.is_writable()
    }

    /// When the server wrote the byte before `offset`.
    pub(super) fn written_at(&self, offset: u64) -> u64 {
        self.writes.iter().find(|(end, _)| *end >= offset).map_or(0, |(_, at)| *at)
    }

    /// The time from the server's last write until the socket had space again.
    pub(super) fn had_space_after(&self) -> Option<u64> {
        self.space_since.map(|at| at - self.wrote_at)
    }

    pub(super) const fn has_end(&self) -> bool {
        self.fin_in
    }

    pub(super) const fn has_reset(&self) -> bool {
        self.reset
    }

    pub(super) const fn carried(&self) -> u64 {
        self.carried
    }

    /// Bytes in the socket for the client.
    pub(super) fn in_flight(&self) -> usize {
        self.sent.len()
    }
}

// The client's side.
impl State {
    pub(super) fn client_writes(&mut self, conn: u32, bytes: &[u8]) {
        let conn_ = self.conn(conn);
        // A client that has ended its side cannot even answer pings.
        if !conn_.is_disconnected && !conn_.fin_out {
            conn_.out.push(bytes);
            self.move_in(conn);
        }
    }

    pub(super) fn client_ends(&mut self, conn: u32) {
        if !self.conn(conn).fin_out {
            self.trace(conn, "client: end", 0, 0);
            self.conn(conn).fin_out = true;
            self.move_in(conn);
        }
    }

    pub(super) fn client_resets(&mut self, conn: u32) {
        self.trace(conn, "client: reset", 0, 0);
        let conn_ = self.conn(conn);
        (conn_.is_disconnected, conn_.end_delivered) = (true, true);
        conn_.out.clear();
        let latency = conn_.latency;
        self.schedule(latency, Event::Reset(conn));
    }

    pub(super) fn reset_arrives(&mut self, conn: u32) {
        let conn_ = self.conn(conn);
        conn_.reset = true;
        conn_.sent.clear();
        let inbox = conn_.inbox.len() as u64;
        self.trace(conn, "net: reset", inbox, 0);
        self.edge(conn);
    }

    /// Schedules the arrival of bytes or an end at the server.
    fn move_in(&mut self, conn: u32) {
        let conn_ = self.conn(conn);
        let waits = !conn_.out.is_empty() || (conn_.fin_out && !conn_.fin_in);
        if waits && !conn_.carrying_in && !conn_.is_disconnected {
            conn_.carrying_in = true;
            let (latency, gap) = (conn_.latency, conn_.gap);
            let nanos = latency + self.rng.time(gap + 1);
            self.schedule(nanos, Event::CarryIn(conn));
        }
    }

    pub(super) fn carry_in(&mut self, conn: u32) {
        let segment = self.conn(conn).segment;
        let max = 1 + self.rng.below(segment);
        let conn_ = self.conn(conn);
        conn_.carrying_in = false;
        if conn_.is_disconnected {
            return;
        }
        if conn_.closed {
            // The server has closed the socket: data causes a reset, and an end is acknowledged.
            if !conn_.out.is_empty() {
                self.reset_by_server(conn);
            }
            return;
        }
        let count = max.min(conn_.out.len()).min(conn_.inbox_size - conn_.inbox.len());
        conn_.inbox.push(conn_.out.pop(count));
        conn_.arrived += count as u64;
        let ends = conn_.out.is_empty() && conn_.fin_out && !conn_.fin_in;
        conn_.fin_in |= ends;
        if count > 0 || ends {
            self.trace(conn, "net: in", count as u64, u64::from(ends));
            self.note_transfer(count);
            self.note_arrival(conn);
            self.edge(conn);
            self.move_in(conn);
        } // else there is no space: the next read continues
    }

    pub(super) fn reset_by_server(&mut self, conn: u32) {
        self.trace(conn, "net: reset by the server", 0, 0);
        let conn_ = self.conn(conn);
        (conn_.is_disconnected, conn_.end_delivered) = (true, true);
        conn_.out.clear();
        conn_.sent.clear();
        self.client_receives_reset(conn);
    }

    /// Schedules the arrival of bytes or an end at the client, if the client reads.
    pub(super) fn move_out(&mut self, conn: u32) {
        let Some(pace) = self.peer(conn).pace() else { return };
        let conn_ = self.conn(conn);
        let waits = !conn_.sent.is_empty() || ((conn_.shut || conn_.closed) && !conn_.end_delivered);
        if waits && !conn_.carrying_out && !conn_.is_disconnected {
            conn_.carrying_out = true;
            let (latency, gap) = (conn_.latency, conn_.gap);
            let nanos = pace + latency + self.rng.time(gap + 1);
            self.schedule(nanos, Event::CarryOut(conn));
        }
    }

    pub(super) fn carry_out(&mut self, conn: u32) {
        let segment = self.conn(conn).segment;
        let max = 1 + self.rng.below(segment);
        let (at, reads) = (self.at, self.peer(conn).pace().is_some());
        let conn_ = self.conn(conn);
        conn_.carrying_out = false;
        if conn_.is_disconnected || !reads {
            return;
        }
        let count = max.min(conn_.sent.len());
        let mut bytes = conn_.sent.pop(count).to_vec();
        conn_.carried += count as u64;
        if conn_.full && conn_.is_writable() {
            conn_.full = false;
            self.conn(conn).space_since = Some(at);
            self.edge(conn);
        }
        if count > 0 {
            self.trace(conn, "net: out", count as u64, 0);
            self.note_transfer(count);
            self.client_receives(conn, &mut bytes);
        }
        let conn_ = self.conn(conn);
        let carried = conn_.carried;
        while conn_.writes.front().is_some_and(|(end, _)| *end <= carried) {
            conn_.writes.pop_front();
        }
        if conn_.sent.is_empty()
            && (conn_.shut || conn_.closed)
            && !conn_.end_delivered
            && !conn_.is_disconnected
        {
            conn_.end_delivered = true;
            self.trace(conn, "net: end by the server", 0, 0);
            self.client_receives_end(conn);
        }
        self.move_out(conn);
    }
}

// The server's side.
impl State {
    pub(super) fn read(&mut self, conn: u32, buffer: &mut [u8]) -> io::Result<usize> {
        self.pass(CALL);
        self.check_read(conn);
        let conn_ = self.conn(conn);
        if !conn_.inbox.is_empty() {
            let count = buffer.len().min(conn_.inbox.len());
            buffer[..count].copy_from_slice(conn_.inbox.pop(count));
            conn_.read += count as u64;
            self.conn(conn).read_at = self.now;
            self.trace(conn, "read", count as u64, buffer.len() as u64);
            self.move_in(conn);
            return Ok(count);
        }
        if conn_.reset && !std::mem::replace(&mut conn_.reset_delivered, true) {
            self.trace(conn, "read: reset", 0, 0);
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if conn_.reset || conn_.fin_in {
            self.trace(conn, "read: end", 0, 0);
            self.conn(conn).end_read = true;
            return Ok(0);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    pub(super) fn write(&mut self, conn: u32, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.pass(CALL);
        let (now, conn_) = (self.now, &mut self.conns[conn as usize]);
        if conn_.reset || conn_.shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut written = 0;
        for slice in slices {
            let space = conn_.sent_size - conn_.sent.len();
            let taken = slice.len().min(space);
            conn_.sent.push(&slice[..taken]);
            written += taken;
            if taken < slice.len() {
                conn_.full = true;
                break;
            }
        }
        if written == 0 && conn_.full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        (conn_.wrote_at, conn_.space_since) = (now, None);
        conn_.written += written as u64;
        conn_.writes.push_back((conn_.written, now));
        self.trace(conn, "write", written as u64, 0);
        self.move_out(conn);
        Ok(written)
    }

    pub(super) fn shut(&mut self, conn: u32) {
        self.pass(CALL);
        if !std::mem::replace(&mut self.conn(conn).shut, true) {
            self.trace(conn, "shut", 0, 0);
            self.edge(conn);
            self.move_out(conn);
        }
    }

    pub(super) fn close(&mut self, conn: u32) {
        let conn_ = self.conn(conn);
        let unread = conn_.inbox.len() as u64;
        (conn_.closed, conn_.poller) = (true, None);
        (conn_.read_waker, conn_.write_waker) = (None, None);
        let under_way = !conn_.out.is_empty();
        self.trace(conn, "close", unread, u64::from(under_way));
        if unread > 0 && !self.conn(conn).is_disconnected {
            self.reset_by_server(conn);
        }
        self.move_out(conn);
    }
}
