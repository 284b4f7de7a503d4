//! One TLS session without IO: ciphertext in, plaintext out, and the reverse.
//!
//! rustls handles all records, handshakes and alerts. Three of its rules shape this file:
//!
//! * Ciphertext that it has not consumed must lie unaltered at the front of the next input. So each
//!   call passes the ciphertext in `held`. This includes calls that only encrypt.
//! * After an error, it must be called until the alert is encoded. A further call would read the
//!   faulty bytes again, and queue a second alert.
//! * The end of the peer's side is reported once.

use std::io::{self, IoSlice};
use std::sync::Arc;

use rustls::Error;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus,
};

use crate::net::tls::buffers::{MAX_PLAINTEXT, TlsBuffers};
use crate::net::tls::handle::Tls;
use crate::net::tls::info::{TlsCell, TlsInfo};
use crate::net::tls::resolver::take_server_name;
use crate::net::tls::sniff::is_plain_http;

/// Records of at most this many bytes may follow a whole record in one write. A message of 16 KiB
/// with its header is then written at once, although it takes two records.
const MAX_SECOND: usize = 1024;

/// A fatal alert that is not encrypted: decode_error (RFC 8446 §6.2).
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// The space for a record besides its plaintext, with some to spare.
const OVERHEAD: usize = 128;

pub(crate) struct TlsSession {
    connection: UnbufferedServerConnection,
    stage: Stage,
    /// Ciphertext that is not consumed: a part of a record or of a handshake message.
    held: Vec<u8>,
    /// Records that wait to be written. The first `written` bytes are written.
    pub(crate) pending: Vec<u8>,
    pub(crate) written: usize,
    /// A record was encoded: a part of the handshake, or an alert.
    has_answered: bool,
    server_name: Option<Box<str>>,
    /// What the handshake has agreed on is stored here. `None` afterwards.
    info: Option<Arc<TlsCell>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has arrived.
    New,
    Handshake,
    Open,
    /// The peer has ended its side with a `close_notify`.
    PeerClosed,
    /// Nothing can be decrypted or encrypted any more.
    Failed,
}

/// The end of the input, after the plaintext of the same call.
#[derive(Debug)]
pub(crate) enum InputEnd {
    /// The peer's `close_notify` came.
    Closed,
    /// The peer broke the protocol, or supports no version or cipher suite of the server.
    Failed(Error),
    /// The peer speaks plain HTTP.
    PlainHttp,
}

/// The result of [`TlsSession::receive`].
#[derive(Debug)]
pub(crate) struct Received {
    /// The bytes of plaintext.
    pub(crate) plain: usize,
    pub(crate) end: Option<InputEnd>,
}

impl TlsSession {
    /// A session for a new connection.
    pub(crate) fn new(tls: &Tls, info: Arc<TlsCell>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(tls.config())?,
            stage: Stage::New,
            held: Vec::new(),
            pending: Vec::new(),
            written: 0,
            has_answered: false,
            server_name: None,
            info: Some(info),
        })
    }

    /// Whether the handshake is in progress.
    pub(crate) const fn is_handshaking(&self) -> bool {
        matches!(self.stage, Stage::New | Stage::Handshake)
    }

    /// Whether plaintext can be encrypted.
    pub(crate) const fn can_encrypt(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::PeerClosed)
    }

    /// Whether input is useless, because the peer's side has ended or failed.
    pub(crate) const fn has_input_ended(&self) -> bool {
        matches!(self.stage, Stage::PeerClosed | Stage::Failed)
    }

    /// Ends the session without an alert.
    pub(crate) const fn fail(&mut self) {
        self.stage = Stage::Failed;
    }

    /// Ends a session that has not begun, with an alert that is not encrypted.
    pub(crate) fn refuse(&mut self, alert: &[u8]) {
        self.pending.extend_from_slice(alert);
        self.stage = Stage::Failed;
    }

    /// The bytes of memory for ciphertext in both directions.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.capacity() + self.pending.capacity()
    }

    /// A buffer with what is held at its front, and the length of that.
    pub(crate) fn lend<'a>(&self, buffers: &'a mut TlsBuffers, size: usize) -> (&'a mut [u8], usize) {
        (buffers.incoming(&self.held, size), self.held.len())
    }

    /// Decrypts `incoming`, which begins with what was held. The plaintext goes to the front of
    /// `plain`, which must be at least as long as `incoming`.
    pub(crate) fn receive(&mut self, incoming: &mut [u8], plain: &mut [u8]) -> Received {
        if self.has_input_ended() {
            return Received { plain: 0, end: None };
        }
        if self.stage == Stage::New {
            if is_plain_http(incoming) {
                self.stage = Stage::Failed;
                return Received { plain: 0, end: Some(InputEnd::PlainHttp) };
            }
            self.stage = Stage::Handshake;
        }
        if self.stage == Stage::Handshake {
            // A resolver that panicked has left the name of another client.
            take_server_name();
        }
        let (used, received) = self.process(incoming, plain);
        self.held = Vec::new();
        match &received.end {
            None => {
                if let Some(rest @ [_, ..]) = incoming.get(used..) {
                    self.held = rest.to_vec();
                }
            }
            Some(InputEnd::Closed) => self.stage = Stage::PeerClosed,
            Some(InputEnd::Failed(_)) => {
                // rustls reports some faults without an alert. Before our first record, nothing is
                // encrypted.
                if !self.has_answered {
                    self.pending.extend_from_slice(&DECODE_ERROR);
                }
                self.stage = Stage::Failed;
            }
            Some(InputEnd::PlainHttp) => self.stage = Stage::Failed,
        }
        received
    }

    /// Returns how many bytes of `incoming` are consumed.
    fn process(&mut self, incoming: &mut [u8], plain: &mut [u8]) -> (usize, Received) {
        let (mut used, mut filled) = (0, 0);
        let mut end = None;
        loop {
            let rest = incoming.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(rest);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        let after = filled + record.payload.len();
                        match plain.get_mut(filled..after) {
                            Some(space) => space.copy_from_slice(record.payload),
                            None => {
                                return (
                                    used,
                                    failed(Error::General("a buffer is too small".into()), filled),
                                );
                            }
                        }
                        filled = after;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.pending);
                    self.has_answered = true;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                // Input after it is ignored: RFC 8446 §6.1.
                Ok(ConnectionState::PeerClosed) => end = Some(InputEnd::Closed),
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => is_done = true,
                // Early data is off.
                Ok(_) => is_done = true,
                Err(error) => end = Some(InputEnd::Failed(error)),
            }
            used += discard;
            is_done |= matches!(end, Some(InputEnd::Failed(_))) && !self.connection.wants_write();
            if self.stage == Stage::Handshake {
                self.note_handshake();
            }
            if is_done {
                return (used, Received { plain: filled, end });
            }
        }
    }

    /// Stores what the handshake has agreed on, once it is complete.
    fn note_handshake(&mut self) {
        if let Some(name) = take_server_name() {
            self.server_name = Some(name);
        }
        if !self.connection.is_handshaking() {
            self.stage = Stage::Open;
            let info = TlsInfo::new(&self.connection, self.server_name.take());
            if let Some(cell) = self.info.take() {
                drop(cell.set(Arc::new(info))); // a session has one handshake
            }
        }
    }

    /// Encrypts the beginning of the slices into the outgoing buffer: at most one whole record, and
    /// a short one if that is the rest. Returns the number of plaintext bytes, and of bytes in the
    /// buffer.
    pub(crate) fn encrypt(
        &mut self,
        slices: &[IoSlice<'_>],
        buffers: &mut TlsBuffers,
    ) -> io::Result<(usize, usize)> {
        let TlsBuffers { outgoing, gathered, .. } = buffers;
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let count = if total <= MAX_PLAINTEXT + MAX_SECOND { total } else { MAX_PLAINTEXT };
        let plain = match slices.iter().find(|slice| !slice.is_empty()) {
            Some(first) if first.len() >= count => first.get(..count).unwrap_or_default(),
            _ => {
                gathered.clear();
                for slice in slices {
                    let free = count - gathered.len();
                    gathered.extend_from_slice(slice.get(..free).unwrap_or(slice));
                }
                gathered
            }
        };
        let most = count + 2 * OVERHEAD;
        let filled = self.write(outgoing, |traffic, outgoing| {
            if outgoing.len() < most {
                outgoing.resize(MAX_PLAINTEXT + MAX_SECOND + 2 * OVERHEAD, 0);
            }
            match traffic.encrypt(plain, outgoing) {
                Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                    outgoing.resize(required_size, 0);
                    traffic.encrypt(plain, outgoing)
                }
                encrypted => encrypted,
            }
        })?;
        Ok((count, filled))
    }

    /// Queues a `close_notify`, if the session is open.
    pub(crate) fn queue_close_notify(&mut self, buffers: &mut TlsBuffers) {
        if !self.can_encrypt() {
            return;
        }
        let outgoing = &mut buffers.outgoing;
        let queued = self.write(outgoing, |traffic, outgoing| {
            if outgoing.len() < OVERHEAD {
                outgoing.resize(OVERHEAD, 0);
            }
            traffic.queue_close_notify(outgoing)
        });
        if let Ok(count) = queued {
            self.pending.extend_from_slice(outgoing.get(..count).unwrap_or_default());
        }
    }

    /// Calls `write` as soon as rustls takes plaintext. Answers of rustls, for instance to a key
    /// update, come first.
    fn write(
        &mut self,
        outgoing: &mut Vec<u8>,
        mut write: impl FnMut(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut Vec<u8>,
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut self.held);
            let result = match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    write(&mut traffic, outgoing).map_err(io::Error::other)
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.pending);
                    Err(io::ErrorKind::Interrupted.into())
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Err(io::ErrorKind::Interrupted.into())
                }
                Ok(state) => Err(io::Error::other(format!("TLS cannot write now: {state:?}"))),
                Err(error) => Err(io::Error::other(error)),
            };
            self.held.drain(..discard.min(self.held.len()));
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.stage = Stage::Failed;
                    return Err(error);
                }
                Ok(count) => return Ok(count),
            }
        }
    }
}

/// Appends a record of the handshake, or an alert.
fn encode<D>(data: &mut EncodeTlsData<'_, D>, pending: &mut Vec<u8>) {
    let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut [])
    else {
        return;
    };
    let start = pending.len();
    pending.resize(start + required_size, 0);
    // The space is as long as required.
    let _ = data.encode(pending.get_mut(start..).unwrap_or_default());
}

fn failed(error: Error, plain: usize) -> Received {
    Received { plain, end: Some(InputEnd::Failed(error)) }
}
