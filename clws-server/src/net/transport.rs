//! What lies between a connection and its socket or stream: nothing, or a TLS session.
//!
//! A connection writes plaintext. It counts plaintext as written when all records that contain it
//! are written. Until then the plaintext stays in its outbox: it counts in `buffered_amount`, and
//! its bytes must not change, because they are encrypted already ([`Encrypted`]).

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::net::tls::buffers::TlsBuffers;
use crate::net::tls::handle::Tls;
use crate::net::tls::info::TlsCell;
use crate::net::tls::session::{InputEnd, TlsSession};

/// The error of a write that encrypted this many bytes and could not write all of their record. The
/// next write must begin with the same bytes. Its kind is [`WouldBlock`](io::ErrorKind::WouldBlock).
#[derive(Debug)]
struct Encrypted(usize);

impl fmt::Display for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record of {} bytes is not written", self.0)
    }
}

impl std::error::Error for Encrypted {}

/// The number of bytes that the failed write has encrypted.
pub(crate) fn encrypted_bytes(error: &io::Error) -> usize {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.map_or(0, |Encrypted(count)| *count)
}

/// Writes to a socket. Returns how many bytes it took.
type Write<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<usize>;

/// A TLS session with its place between a connection and a socket.
pub(crate) struct TlsTransport {
    session: TlsSession,
    /// The plaintext bytes in `pending` that the connection still has in its queue.
    in_flight: usize,
    /// The end of the input, which the next read reports.
    end: Option<InputEnd>,
    /// The peer speaks plain HTTP. The answer is written as it is.
    is_plain: bool,
    /// Our side of the socket must be ended when everything is written.
    ends: bool,
    /// Our `close_notify` is queued.
    is_closed: bool,
}

/// The result of [`TlsTransport::flush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// The socket takes no more.
    Blocked,
    All,
    /// Everything is written, and our side of the socket must be ended now.
    End,
}

impl TlsTransport {
    /// A transport for a new connection. `info` gets what the handshake agrees on.
    pub(crate) fn new(tls: &Tls, info: Arc<TlsCell>) -> Result<Self, rustls::Error> {
        let session = TlsSession::new(tls, info)?;
        Ok(Self { session, in_flight: 0, end: None, is_plain: false, ends: false, is_closed: false })
    }

    pub(crate) const fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Answers a new connection with an alert, without a handshake. Its input is discarded.
    pub(crate) fn refuse(&mut self, alert: &[u8]) {
        self.session.refuse(alert);
    }

    /// The bytes of memory for ciphertext in both directions.
    pub(crate) fn held(&self) -> usize {
        self.session.held_bytes()
    }

    /// The end of the input, if it is due. Each end is reported once.
    pub(crate) fn take_end(&mut self) -> Option<InputEnd> {
        self.end.take()
    }

    /// Whether the next read reports an end, without a look at the socket.
    pub(crate) const fn has_end(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the input that comes is discarded.
    pub(crate) const fn has_input_ended(&self) -> bool {
        self.session.has_input_ended()
    }

    /// A buffer with what is held at its front, and the length of that.
    pub(crate) fn lend<'a>(&self, buffers: &'a mut TlsBuffers, size: usize) -> (&'a mut [u8], usize) {
        self.session.lend(buffers, size)
    }

    /// Decrypts `incoming`, which begins with what was held. Returns the number of bytes at the
    /// front of `plain`. An end of the input is left for [`take_end`](Self::take_end).
    pub(crate) fn receive(&mut self, incoming: &mut [u8], plain: &mut [u8]) -> usize {
        let received = self.session.receive(incoming, plain);
        self.is_plain |= matches!(received.end, Some(InputEnd::PlainHttp));
        self.end = received.end;
        received.plain
    }

    /// Writes what is encrypted.
    pub(crate) fn flush(&mut self, write: Write<'_>) -> io::Result<Flushed> {
        let session = &mut self.session;
        while session.written < session.pending.len() {
            match write(session.pending.get(session.written..).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => session.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (session.pending, session.written) = Default::default();
        Ok(if std::mem::take(&mut self.ends) { Flushed::End } else { Flushed::All })
    }

    /// Encrypts and writes the beginning of `slices`, when everything before is
    /// [flushed](Self::flush). Returns the number of bytes that the connection may forget.
    ///
    /// If the socket does not take the whole record, the rest is kept. With `keeps_queue`, the
    /// connection must keep the plaintext meanwhile, and offer it again.
    pub(crate) fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        keeps_queue: bool,
        buffers: &mut TlsBuffers,
        write: Write<'_>,
    ) -> io::Result<usize> {
        if self.in_flight > 0 {
            return Ok(std::mem::take(&mut self.in_flight));
        }
        if self.is_plain {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return first.map_or(Ok(0), |slice| write(slice));
        }
        if self.is_handshaking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.session.can_encrypt() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the TLS session has failed"));
        }
        let (count, filled) = self.session.encrypt(slices, buffers)?;
        let records = buffers.outgoing.get(..filled).unwrap_or_default();
        // An answer to a key update comes before the record.
        let taken = if self.session.pending.is_empty() { write_once(records, write)? } else { 0 };
        if taken == filled {
            return Ok(count);
        }
        self.session.pending.extend_from_slice(records.get(taken..).unwrap_or_default());
        if !keeps_queue {
            return Ok(count);
        }
        self.in_flight = count;
        Err(io::Error::new(io::ErrorKind::WouldBlock, Encrypted(count)))
    }

    /// Ends our side: a `close_notify` is queued, and the next [`flush`](Self::flush) says when the
    /// socket must be ended.
    pub(crate) fn end(&mut self, buffers: &mut TlsBuffers) {
        self.close(buffers);
        self.ends = true;
    }

    /// Queues a `close_notify`, unless a record is in flight: then the peer must see that our
    /// output is cut off.
    pub(crate) fn close(&mut self, buffers: &mut TlsBuffers) {
        if self.in_flight == 0 && !std::mem::replace(&mut self.is_closed, true) {
            self.session.queue_close_notify(buffers);
        }
    }

    /// Whether records wait to be written.
    pub(crate) fn has_pending(&self) -> bool {
        !self.session.pending.is_empty()
    }

    /// Nothing more is decrypted or encrypted, because code of the application has panicked.
    pub(crate) fn fail(&mut self) {
        self.session.fail();
        self.end = Some(InputEnd::Failed(rustls::Error::General("code of the application panicked".into())));
    }
}

/// Writes as much as the socket takes at once.
fn write_once(bytes: &[u8], write: Write<'_>) -> io::Result<usize> {
    loop {
        match write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}

#[cfg(test)]
mod tests;
