//! TLS sessions with the server, on rustls with aws-lc-rs.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{HandshakeKind, SupportedCipherSuite};

use super::error::Error;
use super::link::Received;
use super::tls_args::{Cipher, TlsArgs, TlsVersion};
use crate::tls::{client, name};

/// The size of the buffer for encrypted input, which all sessions share.
const READ: usize = 128 << 10;
/// The number of bytes that are encrypted before they are written.
const WRITE: usize = 64 << 10;

/// Makes sessions with the same settings.
pub(crate) struct Connector {
    /// One for all connections, or one for each slot with a store for the tickets of that slot.
    configs: Vec<Arc<ClientConfig>>,
    input: Rc<RefCell<Vec<u8>>>,
    separates_messages: bool,
}

impl Connector {
    /// With `slots` above 0, a connection resumes the session of the connection before it in the
    /// same slot.
    pub(crate) fn new(args: &TlsArgs, slots: usize) -> Result<Self, Error> {
        let provider = CryptoProvider {
            cipher_suites: suites(args),
            // Every server has X25519, so none asks for another one with a second round trip. A server
            // with a key of P-256 needs both in TLS 1.2 (RFC 8422 §5.1).
            kx_groups: match args.tls_version {
                TlsVersion::Tls12 => vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1],
                TlsVersion::Tls13 => vec![aws_lc_rs::kx_group::X25519],
            },
            ..aws_lc_rs::default_provider()
        };
        let version = match args.tls_version {
            TlsVersion::Tls12 => &rustls::version::TLS12,
            TlsVersion::Tls13 => &rustls::version::TLS13,
        };
        let config = client(provider, &[version]).map_err(|error| Error::Usage(format!("TLS: {error}")))?;
        let with = |resumption| {
            let mut config = config.clone();
            config.resumption = resumption;
            Arc::new(config)
        };
        let configs = match slots {
            0 => vec![with(Resumption::disabled())],
            _ => (0..slots).map(|_| with(Resumption::in_memory_sessions(2))).collect(),
        };
        let input = Rc::new(RefCell::new(vec![0; READ]));
        Ok(Self { configs, input, separates_messages: !args.shared_records })
    }

    /// A session before its handshake, for a connection in this slot.
    pub(crate) fn session(&self, slot: usize) -> Result<Session, Error> {
        let config = Arc::clone(&self.configs[slot % self.configs.len()]);
        let mut connection =
            ClientConnection::new(config, name()).map_err(|error| Error::Usage(format!("TLS: {error}")))?;
        connection.set_buffer_limit(None); // `WRITE` is the limit
        let (input, separates_messages) = (Rc::clone(&self.input), self.separates_messages);
        Ok(Session { connection, input, separates_messages, encrypted: 0 })
    }
}

/// The TLS session of one connection. Reads and writes drive its handshake.
pub(crate) struct Session {
    connection: ClientConnection,
    input: Rc<RefCell<Vec<u8>>>,
    separates_messages: bool,
    /// The bytes that were encrypted since everything was written.
    encrypted: usize,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    /// Reads from the socket once, and decrypts into `space`.
    pub(crate) fn read(&mut self, mut socket: &TcpStream, space: &mut [u8]) -> io::Result<Received> {
        let mut read = Received { bytes: self.plaintext(space)?, ..Received::default() };
        if read.bytes > 0 {
            return Ok(Received { more: true, ..read });
        }
        let input = Rc::clone(&self.input);
        let mut input = input.borrow_mut();
        // Records are longer than their content, so the content of this input has enough space.
        let size = input.len().min(space.len());
        let count = socket.read(&mut input[..size])?;
        let mut rest = &input[..count];
        while !rest.is_empty() && self.connection.read_tls(&mut rest)? > 0 {
            let processed = self.connection.process_new_packets();
            self.flush(socket).or_else(not_if_blocked)?; // the handshake, or an alert
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            read.bytes += self.plaintext(&mut space[read.bytes..])?;
        }
        // Without content, the input was a part of a record or of the handshake.
        Ok(Received { more: count == size || read.bytes == 0, ended: count == 0, ..read })
    }

    /// Takes decrypted bytes.
    fn plaintext(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < space.len() {
            match self.connection.reader().read(&mut space[taken..]) {
                Ok(0) => break, // close_notify; the end of the TCP connection follows
                Ok(count) => taken += count,
                Err(error) => return not_if_blocked(error).map(|()| taken),
            }
        }
        Ok(taken)
    }

    /// Encrypts at most `limit` bytes, in one record if they fit.
    pub(crate) fn write(
        &mut self,
        socket: &TcpStream,
        slices: &[IoSlice<'_>],
        limit: usize,
    ) -> io::Result<usize> {
        if self.encrypted >= WRITE {
            self.flush(socket)?;
        }
        let bytes = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        let count = self.connection.writer().write(&bytes[..bytes.len().min(limit).min(WRITE)])?;
        self.encrypted += count;
        Ok(count)
    }

    /// Writes until nothing is left.
    pub(crate) fn flush(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut socket)?;
        }
        self.encrypted = 0;
        Ok(())
    }

    /// Sends close_notify, if the socket takes it.
    pub(crate) fn end(&mut self, socket: &TcpStream) {
        self.connection.send_close_notify();
        let _ = self.flush(socket);
    }

    /// Whether encrypted bytes are left.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Whether messages never share a record.
    pub(crate) fn separates_messages(&self) -> bool {
        self.separates_messages
    }

    /// Whether the handshake resumed a session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The version and the cipher suite.
    pub(crate) fn describe(&self) -> String {
        let version = self.connection.protocol_version().and_then(|version| version.as_str());
        let suite = self.connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        [version, suite].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// No error if the socket would block.
fn not_if_blocked(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::WouldBlock { Ok(()) } else { Err(error) }
}

/// The cipher suites with this cipher, of both versions.
fn suites(args: &TlsArgs) -> Vec<SupportedCipherSuite> {
    use aws_lc_rs::cipher_suite as of;

    match args.cipher {
        Cipher::Aes128 => vec![
            of::TLS13_AES_128_GCM_SHA256,
            of::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            of::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        Cipher::Aes256 => vec![
            of::TLS13_AES_256_GCM_SHA384,
            of::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            of::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ],
        Cipher::ChaCha20 => vec![
            of::TLS13_CHACHA20_POLY1305_SHA256,
            of::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            of::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
    }
}
