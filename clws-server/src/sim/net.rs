//! The simulated network: connections with buffers of a limited size in both directions, that lose nothing, and listening
//! sockets. What Linux does is the model, in what is an edge and in what a reset destroys.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use crate::sim::rng::Rng;
use crate::sim::{Event, MICRO, MILLI, State};

/// What a system call takes.
pub(super) const CALL: u64 = MICRO;

/// One TCP connection.
#[derive(Debug, Default)]
pub(super) struct Conn {
    // From the client to the server.
    /// Written by the client, and under way.
    out: Bytes,
    /// Arrived, and not read by the server.
    inbox: Bytes,
    inbox_size: usize,
    /// Bytes that arrived so far, and that the server has read of them.
    pub(super) arrived: u64,
    pub(super) read: u64,
    /// The client has ended its side: at its end, at the server's.
    fin_out: bool,
    pub(super) fin_in: bool,
    /// A reset has arrived, and a read has told the server.
    pub(super) reset: bool,
    reset_told: bool,
    /// The server has read to the end.
    pub(super) end_read: bool,
    carrying_in: bool,

    // From the server to the client.
    /// Written by the server, and not read by the client.
    sent: Bytes,
    sent_size: usize,
    written: u64,
    carried: u64,
    /// How much was written in all, and when.
    writes: VecDeque<(u64, u64)>,
    /// The server was told that there is no room: an edge follows when there is.
    pub(super) full: bool,
    /// When it last wrote something, and since when there is room again.
    pub(super) wrote_at: u64,
    room_since: Option<u64>,
    /// The server has ended its side; it has closed the socket.
    pub(super) shut: bool,
    pub(super) closed: bool,
    end_told: bool,
    carrying_out: bool,
    /// The client has closed its socket, or the connection was reset.
    gone: bool,

    latency: u64,
    gap: u64,
    /// The most that arrives at once, on either side.
    segment: usize,

    // How the server is told.
    pub(super) poller: Option<(u32, usize)>,
    pub(super) queued: bool,
    pub(super) read_waker: Option<Waker>,
    pub(super) write_waker: Option<Waker>,
}

/// Bytes that wait, the oldest first.
#[derive(Debug, Default)]
struct Bytes {
    bytes: Vec<u8>,
    start: usize,
}

impl Bytes {
    const fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The oldest `count` of them.
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

    /// There is room for the server to write, as Linux defines it for its edges.
    pub(super) fn is_writable(&self) -> bool {
        self.reset || self.shut || (self.sent_size - self.sent.len()) * 2 >= self.sent.len()
    }

    /// Whether the server has something to read: bytes or an end.
    pub(super) fn is_readable(&self) -> bool {
        !self.inbox.is_empty() || self.fin_in || self.reset
    }

    /// Whether the server would find something to read, or could write: what must not be so where nothing more happens.
    pub(super) fn has_input(&self) -> bool {
        !self.closed && (!self.inbox.is_empty() || (self.fin_in && !self.shut) || self.reset)
    }

    /// Whether the client can still be sent to.
    pub(super) fn has_room(&self) -> bool {
        !self.closed && self.is_writable()
    }

    /// When the byte before that offset was written by the server.
    pub(super) fn written_at(&self, offset: u64) -> u64 {
        self.writes.iter().find(|(end, _)| *end >= offset).map_or(0, |(_, at)| *at)
    }

    /// There was room again so long after the server's last write.
    pub(super) fn had_room_after(&self) -> Option<u64> {
        self.room_since.map(|at| at - self.wrote_at)
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

    /// Bytes that are queued in it for the client.
    pub(super) fn in_flight(&self) -> usize {
        self.sent.len()
    }
}

// The client's side.
impl State {
    pub(super) fn client_writes(&mut self, conn: u32, bytes: &[u8]) {
        if !self.conn(conn).gone {
            self.conn(conn).out.push(bytes);
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
        (conn_.gone, conn_.end_told) = (true, true);
        conn_.out.clear();
        let latency = conn_.latency;
        self.deadline_after(latency, Event::Reset(conn));
    }

    pub(super) fn reset_arrives(&mut self, conn: u32) {
        let conn_ = self.conn(conn);
        conn_.reset = true;
        conn_.sent.clear();
        let inbox = conn_.inbox.len() as u64;
        self.trace(conn, "net: reset", inbox, 0);
        self.edge(conn);
    }

    /// Bytes or an end are to move on to the server.
    fn move_in(&mut self, conn: u32) {
        let conn_ = self.conn(conn);
        let waits = !conn_.out.is_empty() || (conn_.fin_out && !conn_.fin_in);
        if waits && !conn_.carrying_in && !conn_.gone {
            conn_.carrying_in = true;
            let (latency, gap) = (conn_.latency, conn_.gap);
            let nanos = latency + self.rng.time(gap + 1);
            self.deadline_after(nanos, Event::CarryIn(conn));
        }
    }

    pub(super) fn carry_in(&mut self, conn: u32) {
        let segment = self.conn(conn).segment;
        let most = 1 + self.rng.below(segment);
        let conn_ = self.conn(conn);
        conn_.carrying_in = false;
        if conn_.gone {
            return;
        }
        if conn_.closed {
            // Nobody reads there any more. An end is just acknowledged.
            if !conn_.out.is_empty() {
                self.reset_by_server(conn);
            }
            return;
        }
        let count = most.min(conn_.out.len()).min(conn_.inbox_size - conn_.inbox.len());
        conn_.inbox.push(conn_.out.pop(count));
        conn_.arrived += count as u64;
        let ends = conn_.out.is_empty() && conn_.fin_out && !conn_.fin_in;
        conn_.fin_in |= ends;
        if count > 0 || ends {
            self.trace(conn, "net: in", count as u64, u64::from(ends));
            self.note_arrival(conn);
            self.edge(conn);
            self.move_in(conn);
        } // else there is no room: the next read goes on
    }

    pub(super) fn reset_by_server(&mut self, conn: u32) {
        self.trace(conn, "net: reset by the server", 0, 0);
        let conn_ = self.conn(conn);
        (conn_.gone, conn_.end_told) = (true, true);
        conn_.out.clear();
        conn_.sent.clear();
        self.hears_reset(conn);
    }

    /// Bytes or an end are to move on to the client, if it reads.
    pub(super) fn move_out(&mut self, conn: u32) {
        let Some(pace) = self.peer(conn).pace() else { return };
        let conn_ = self.conn(conn);
        let waits = !conn_.sent.is_empty() || ((conn_.shut || conn_.closed) && !conn_.end_told);
        if waits && !conn_.carrying_out && !conn_.gone {
            conn_.carrying_out = true;
            let (latency, gap) = (conn_.latency, conn_.gap);
            let nanos = pace + latency + self.rng.time(gap + 1);
            self.deadline_after(nanos, Event::CarryOut(conn));
        }
    }

    pub(super) fn carry_out(&mut self, conn: u32) {
        let segment = self.conn(conn).segment;
        let most = 1 + self.rng.below(segment);
        let (at, reads) = (self.at, self.peer(conn).pace().is_some());
        let conn_ = self.conn(conn);
        conn_.carrying_out = false;
        if conn_.gone || !reads {
            return;
        }
        let count = most.min(conn_.sent.len());
        let mut bytes = conn_.sent.pop(count).to_vec();
        conn_.carried += count as u64;
        if conn_.full && conn_.is_writable() {
            conn_.full = false;
            self.conn(conn).room_since = Some(at);
            self.edge(conn);
        }
        if count > 0 {
            self.trace(conn, "net: out", count as u64, 0);
            self.hears(conn, &mut bytes);
        }
        let conn_ = self.conn(conn);
        let carried = conn_.carried;
        while conn_.writes.front().is_some_and(|(end, _)| *end <= carried) {
            conn_.writes.pop_front();
        }
        if conn_.sent.is_empty() && (conn_.shut || conn_.closed) && !conn_.end_told && !conn_.gone {
            conn_.end_told = true;
            self.trace(conn, "net: end by the server", 0, 0);
            self.hears_end(conn);
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
            self.trace(conn, "read", count as u64, buffer.len() as u64);
            self.move_in(conn);
            return Ok(count);
        }
        if conn_.reset && !std::mem::replace(&mut conn_.reset_told, true) {
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
            let room = conn_.sent_size - conn_.sent.len();
            let taken = slice.len().min(room);
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
        (conn_.wrote_at, conn_.room_since) = (now, None);
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
        if unread > 0 && !self.conn(conn).gone {
            self.reset_by_server(conn);
        }
        self.move_out(conn);
    }
}
