//! One connection: a link to the server, the two halves of clws-proto's client, and a position in the ring of
//! messages.

use std::cell::RefCell;
use std::io::{ErrorKind, IoSlice};
use std::net::TcpStream;

use clws_proto::buffer::BufferPool;
use clws_proto::{CloseCode, Event, Input, Receiver, Sender};

use super::drive::{Io, Ready};
use super::error::Error;
use super::link::{Link, Received};
use super::ring::Ring;

/// The size of the read buffer that all connections share. A long message keeps it and moves once,
/// when it fills the buffer, to one of four times this size. That is more than 1 MiB.
const READ: usize = 272 << 10;
/// The maximum number of unused message buffers.
const POOLED: usize = 16;

/// An open connection.
#[derive(Debug)]
pub(super) struct Client {
    link: Link,
    /// The number of the connection, counted from 0.
    number: usize,
    receiver: Receiver,
    /// Queues control frames. Messages come from the ring.
    sender: Sender,
    in_control_frame: bool,
    received: u64,
    queued: u64,
    /// The position in the ring of the next byte to write.
    cursor: usize,
    /// The number of bytes of queued messages that are not written yet.
    pending: usize,
}

/// The result of one read, or of several.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Step {
    /// Bytes read.
    pub(super) bytes: usize,
    /// Completed messages.
    pub(super) messages: u64,
    /// Whether there may be more to read.
    pub(super) more: bool,
    /// Whether the server ended the connection after this side closed it.
    pub(super) ended: bool,
}

impl Client {
    /// Takes over a link after the handshake.
    pub(super) fn new(link: Link, number: usize, receiver: Receiver, sender: Sender) -> Self {
        Self {
            link,
            number,
            receiver,
            sender,
            in_control_frame: false,
            received: 0,
            queued: 0,
            cursor: 0,
            pending: 0,
        }
    }

    /// The socket.
    pub(super) fn socket(&self) -> &TcpStream {
        self.link.socket()
    }

    /// The number of received messages.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Queues the next `count` messages of the ring, and writes until the socket would block.
    /// Returns the number of bytes written.
    pub(super) fn send(&mut self, count: u64, ring: &Ring) -> Result<usize, Error> {
        self.pending += ring.wire(self.queued, count);
        self.queued += count;
        self.flush(ring)
    }

    /// Writes queued data until the socket would block. Returns the number of bytes written, which
    /// with TLS is the number of encrypted bytes.
    pub(super) fn flush(&mut self, ring: &Ring) -> Result<usize, Error> {
        let encoded = ring.encoded();
        let mut total = 0;
        loop {
            let mut slices = [IoSlice::new(&[]); 2];
            let mut limit = usize::MAX;
            // Control frames are written when no message is incomplete, and then completely.
            let is_control = self.in_control_frame || self.pending == 0;
            if is_control {
                if self.sender.queued() == 0 {
                    break;
                }
                self.sender.io_slices(&mut slices);
            } else {
                let (head, tail) = encoded.split_at(self.cursor);
                slices[0] = IoSlice::new(&tail[..tail.len().min(self.pending)]);
                slices[1] = IoSlice::new(&head[..head.len().min(self.pending.saturating_sub(tail.len()))]);
                if self.link.separates_messages() {
                    limit = ring.rest_of_message(self.cursor);
                }
            }
            let written = match self.link.write(&slices, limit) {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io(format!("connection {}: writing", self.number), error)),
            };
            total += written;
            if is_control {
                self.sender.consume(written);
                self.in_control_frame = self.sender.queued() > 0;
            } else {
                self.pending -= written;
                self.cursor = (self.cursor + written) % encoded.len();
            }
        }
        match self.link.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                Err(Error::io(format!("connection {}: writing", self.number), error))
            }
            _ => Ok(total),
        }
    }

    /// Reads everything that an event announced and counts it. Then writes queued data.
    pub(super) fn receive(&mut self, event: Ready, io: &mut Io) -> Result<Step, Error> {
        let mut all = Step { more: event.readable, ..Step::default() };
        while all.more {
            let step = self.read(event.hangup, &io.ring, &mut io.buffers)?;
            io.meter.received(step.bytes, step.messages * io.ring.size() as u64);
            all.messages += step.messages;
            (all.more, all.ended) = (step.more, step.ended);
        }
        if self.pending > 0 || self.sender.queued() > 0 || self.link.wants_write() {
            io.meter.sent(self.flush(&io.ring)?);
        }
        Ok(all)
    }

    /// Reads once. With edge-triggered events, a short read means that the socket is drained,
    /// unless the server hung up.
    pub(super) fn read(&mut self, hangup: bool, ring: &Ring, buffers: &mut Buffers) -> Result<Step, Error> {
        let Buffers { read, pool } = buffers;
        let direct = self.receiver.spare_capacity(pool);
        let is_direct = direct.is_some();
        let space = direct.unwrap_or(read);
        let closing = self.sender.close_sent();
        let (bytes, more) = match self.link.read(space) {
            Ok(Received { ended: true, .. }) if closing => {
                return Ok(Step { ended: true, ..Step::default() });
            }
            // After the close frame, a reset is a valid end.
            Err(error) if closing && error.kind() == ErrorKind::ConnectionReset => {
                return Ok(Step { ended: true, ..Step::default() });
            }
            Ok(Received { ended: true, .. }) => return Err(Error::Closed(self.number, None)),
            Ok(Received { bytes, more, .. }) => (bytes, more),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                return Ok(Step { more: true, ..Step::default() });
            }
            Err(error) => return Err(Error::io(format!("connection {}: reading", self.number), error)),
        };
        let input = if is_direct { Input::Direct(bytes) } else { Input::Owned(read, 0..bytes) };
        let messages = self.decode(input, ring, pool)?;
        if read.is_empty() {
            *read = pool.acquire(READ, READ);
            read.resize(READ, 0);
        }
        Ok(Step { bytes, messages, more: hangup || more, ended: false })
    }

    /// Decodes input and checks each message. Returns the number of messages.
    pub(super) fn decode(&mut self, input: Input<'_>, ring: &Ring, pool: &Pool) -> Result<u64, Error> {
        let before = self.received;
        let mut events = self.receiver.receive_input(input, pool);
        loop {
            let checked = match events.next() {
                Ok(Some(Event::Binary(payload))) => ring.check(self.received, false, &payload),
                Ok(Some(Event::Text(text))) => ring.check(self.received, true, text.as_bytes()),
                Ok(Some(Event::Close(frame))) if !self.sender.close_sent() => {
                    return Err(Error::Closed(self.number, frame.map(|frame| frame.code.value())));
                }
                Ok(Some(event)) => {
                    self.sender.react(&event.reaction());
                    continue;
                }
                Ok(None) => return Ok(self.received - before),
                Err(error) => return Err(Error::Protocol(self.number, error)),
            };
            checked.map_err(|difference| Error::Message(self.number, difference))?;
            self.received += 1;
        }
    }

    /// Closes the connection and writes the close frame until the socket would block.
    pub(super) fn close(&mut self, ring: &Ring) -> Result<usize, Error> {
        let _ = self.sender.close(CloseCode::NORMAL, ""); // fails only if it is closing already
        let written = self.flush(ring)?;
        if !self.sender.version().has_close_frame() {
            self.link.end();
        }
        Ok(written)
    }
}

/// The memory that all connections share.
#[derive(Debug)]
pub(super) struct Buffers {
    read: Vec<u8>,
    pool: Pool,
}

impl Buffers {
    /// Buffers for messages of this size.
    pub(super) fn new(size: usize) -> Self {
        Self { read: vec![0; READ], pool: Pool { size, free: RefCell::default() } }
    }
}

/// Buffers of incomplete messages.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// The size of a message.
    size: usize,
    free: RefCell<Vec<Vec<u8>>>,
}

impl BufferPool for Pool {
    /// Returns a buffer for a whole message if `max_capacity` allows it, because a message that
    /// outgrows its buffer is copied.
    fn acquire(&self, min_capacity: usize, max_capacity: usize) -> Vec<u8> {
        let capacity = self.size.clamp(min_capacity, max_capacity);
        let mut free = self.free.borrow_mut();
        let found = free.iter().rposition(|buffer| (capacity..=max_capacity).contains(&buffer.capacity()));
        found.map_or_else(|| vec![0; capacity], |index| free.remove(index))
    }

    fn release(&self, buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if free.len() == POOLED {
            free.remove(0);
        }
        free.push(buffer);
    }
}
