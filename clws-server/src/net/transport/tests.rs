//! A transport and a client of rustls, with virtual sockets between them.

mod server_name;

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore,
    SupportedCipherSuite,
};

use crate::net::tls::buffers::TlsBuffers;
use crate::net::tls::handle::Tls;
use crate::net::tls::info::{TlsCell, TlsVersion};
use crate::net::tls::session::InputEnd;
use crate::net::transport::{Flushed, TlsTransport, encrypted_bytes};

/// The bytes of plaintext that a read makes space for.
const SPACE: usize = 64 * 1024;

struct Pair {
    client: ClientConnection,
    server: TlsTransport,
    info: Arc<TlsCell>,
    buffers: TlsBuffers,
    /// Plaintext that the server has decrypted.
    received: Vec<u8>,
    end: Option<InputEnd>,
    /// The most bytes of one read of the server.
    piece: usize,
}

fn pair(version: TlsVersion) -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Tls::from_pem(made.cert.pem(), made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let versions: &[_] = match version {
        TlsVersion::Tls12 => &[&rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    pair_with(&tls, client(roots, versions))
}

fn client(roots: RootCertStore, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.enable_secret_extraction = true;
    config
}

fn pair_with(tls: &Tls, client: ClientConfig) -> Pair {
    let name = ServerName::try_from("localhost").unwrap();
    let info = Arc::new(TlsCell::new());
    Pair {
        client: ClientConnection::new(Arc::new(client), name).unwrap(),
        server: TlsTransport::new(tls, Arc::clone(&info)).unwrap(),
        info,
        buffers: TlsBuffers::default(),
        received: Vec::new(),
        end: None,
        piece: usize::MAX,
    }
}

impl Pair {
    /// The server reads these bytes, in pieces.
    fn server_reads(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.piece.min(bytes.len().max(1))) {
            let mut plain = vec![0; SPACE];
            let (incoming, held) = self.server.lend(&mut self.buffers, SPACE);
            incoming[held..held + piece.len()].copy_from_slice(piece);
            let count = self.server.receive(&mut incoming[..held + piece.len()], &mut plain);
            self.received.extend_from_slice(&plain[..count]);
            self.end = self.server.take_end().or_else(|| self.end.take());
        }
    }

    /// What the client wants to write.
    fn client_writes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn client_reads(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut plain = Vec::new();
        while !bytes.is_empty() {
            assert!(self.client.read_tls(&mut bytes).unwrap() > 0, "after the end");
            self.client.process_new_packets()?;
            let _ = self.client.reader().read_to_end(&mut plain); // fails when nothing more is there
        }
        Ok(plain)
    }

    /// Passes what is encrypted on both sides, until neither has more. Returns the client's
    /// plaintext.
    fn exchange(&mut self) -> Vec<u8> {
        let mut plain = Vec::new();
        loop {
            let to_server = self.client_writes();
            self.server_reads(&to_server);
            let mut to_client = Vec::new();
            self.flush(&mut to_client);
            plain.extend(self.client_reads(&to_client).unwrap());
            if to_server.is_empty() && to_client.is_empty() {
                return plain;
            }
        }
    }

    fn flush(&mut self, wire: &mut Vec<u8>) -> Flushed {
        self.server.flush(&mut |bytes| wire.write(bytes)).unwrap()
    }

    /// The server writes all of it to a socket that takes everything.
    fn server_writes(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        while !bytes.is_empty() {
            self.flush(&mut wire);
            let slices = [IoSlice::new(bytes)];
            let write = &mut |bytes: &[u8]| wire.write(bytes);
            match self.server.write(&slices, true, &mut self.buffers, write) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        wire
    }
}

fn connected(version: TlsVersion) -> Pair {
    let mut pair = pair(version);
    pair.exchange();
    assert!(!pair.server.is_handshaking() && !pair.client.is_handshaking());
    assert_eq!(pair.info.get().unwrap().version(), version);
    pair
}

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

#[test]
fn a_session_survives_every_split_of_its_input() {
    for version in VERSIONS {
        for piece in [1, 2, 3, 4, 5, 6, 7, 13, 21, 22, 64, 100, 1000] {
            let mut pair = pair(version);
            pair.piece = piece;
            pair.exchange();
            let message: Vec<u8> = (0..=255).cycle().take(20_000).collect();
            for part in [&message[..1], &message[1..17_000], &message[17_000..]] {
                pair.client.writer().write_all(part).unwrap();
                if version == TlsVersion::Tls13 {
                    pair.client.refresh_traffic_keys().unwrap();
                }
                pair.exchange();
            }
            assert!(pair.received == message, "{version} in pieces of {piece}");
            let wire = pair.server_writes(&message);
            assert!(pair.client_reads(&wire).unwrap() == message, "{version} in pieces of {piece}");
            assert!(pair.end.is_none());
            pair.client.send_close_notify();
            pair.exchange();
            assert!(matches!(pair.end, Some(InputEnd::Closed)), "{version} in pieces of {piece}");
        }
    }
}

#[test]
fn an_idle_session_holds_no_buffer() {
    for version in VERSIONS {
        let mut pair = connected(version);
        let wire = pair.server_writes(&vec![7; 100_000]);
        pair.client_reads(&wire).unwrap();
        pair.client.writer().write_all(&[9; 50_000]).unwrap();
        pair.exchange();
        assert_eq!(pair.server.held(), 0);
        assert_eq!(Arc::strong_count(&pair.info), 1, "the result of the handshake is handed over");
    }
}

/// The input of a socket arrives in parts of records, and the held part is bounded.
#[test]
fn the_part_of_a_record_is_held() {
    let mut pair = connected(TlsVersion::Tls13);
    pair.client.writer().write_all(&[9; 16_384]).unwrap();
    let wire = pair.client_writes();
    let (most, last) = wire.split_at(wire.len() - 1);
    pair.server_reads(most);
    assert_eq!((pair.received.len(), pair.server.held()), (0, most.len()));
    pair.server_reads(last);
    assert_eq!((pair.received.len(), pair.server.held()), (16_384, 0));
}

/// The socket takes `each` bytes, then nothing once, and so on.
#[test]
fn output_survives_every_point_at_which_a_socket_blocks() {
    let message: Vec<u8> = (0..=255).cycle().take(40_000).collect();
    for each in (1..60).chain([100, 1000, 16_383, 16_384, 16_405, 16_406, 16_407, 17_000, 40_000]) {
        let mut pair = connected(TlsVersion::Tls13);
        let (mut wire, mut left) = (Vec::new(), 0);
        let mut write = |bytes: &[u8]| -> io::Result<usize> {
            if left == 0 {
                left = each;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(left);
            left -= count;
            wire.extend_from_slice(&bytes[..count]);
            Ok(count)
        };
        let mut rest = &message[..];
        let mut in_flight = None;
        while !rest.is_empty() {
            if pair.server.flush(&mut write).unwrap() == Flushed::Blocked {
                continue;
            }
            // Two slices: a record is gathered.
            let (first, second) = rest.split_at(rest.len().min(10));
            let slices = [IoSlice::new(first), IoSlice::new(second)];
            match pair.server.write(&slices, true, &mut pair.buffers, &mut write) {
                Ok(count) => {
                    assert!(in_flight.take().is_none_or(|in_flight| in_flight == count));
                    rest = &rest[count..];
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    let count = encrypted_bytes(&error);
                    assert!(count > 0 && count <= 17 * 1024, "at most one record is in flight: {count}");
                    assert!(pair.server.held() < 2 * 17 * 1024);
                    in_flight = Some(count);
                }
            }
        }
        assert_eq!(pair.server.held(), 0, "{each}");
        assert!(pair.client_reads(&wire).unwrap() == message, "{each}");
    }
}

/// A message of 16 KiB with its header takes two records, but one write.
#[test]
fn a_message_of_16_kib_is_one_write() {
    let mut pair = connected(TlsVersion::Tls13);
    let message = vec![1; 16_388];
    let (mut wire, mut writes) = (Vec::new(), 0);
    let mut write = |bytes: &[u8]| {
        writes += 1;
        wire.write(bytes)
    };
    let slices = [IoSlice::new(&message)];
    assert_eq!(pair.server.write(&slices, true, &mut pair.buffers, &mut write).unwrap(), message.len());
    assert_eq!((writes, pair.client_reads(&wire).unwrap().len()), (1, message.len()));
}

/// Encrypts records with the client's keys, so that a test can send what rustls would not.
struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Forger {
    fn new(pair: &mut Pair) -> Self {
        let Some(SupportedCipherSuite::Tls13(suite)) = pair.client.negotiated_cipher_suite() else {
            panic!("not TLS 1.3")
        };
        let name = ServerName::try_from("localhost").unwrap();
        let other =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth();
        let unused = ClientConnection::new(Arc::new(other), name).unwrap();
        let client = std::mem::replace(&mut pair.client, unused);
        let (sequence, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let (key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
            _ => panic!("another suite"),
        };
        Self { encrypter: suite.aead_alg.encrypter(key, iv), sequence }
    }

    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(payload);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.encrypter.encrypt(message, self.sequence).unwrap().encode();
        self.sequence += 1;
        record
    }
}

/// rustls panics if it is called without the part of a handshake message that it has seen.
#[test]
fn a_part_of_a_key_update_does_not_stop_the_server_from_writing() {
    let mut pair = connected(TlsVersion::Tls13);
    let mut forger = Forger::new(&mut pair);
    let part = forger.record(ContentType::Handshake, &[24, 0, 0]);
    pair.server_reads(&part);
    assert!(pair.end.is_none() && pair.server.held() > 0);
    assert!(!pair.server_writes(b"an answer").is_empty());
    pair.server.close(&mut pair.buffers);
    let mut wire = Vec::new();
    assert_eq!(pair.flush(&mut wire), Flushed::All);
    assert!(!wire.is_empty(), "a close_notify");
    let rest = forger.record(ContentType::Handshake, &[1, 0]);
    pair.server_reads(&rest);
    assert!(pair.end.is_none(), "{:?}", pair.end);
}

#[test]
fn floods_of_records_without_data_end_the_session() {
    for (typ, payload, most) in [
        (ContentType::ApplicationData, &[][..], 100),
        (ContentType::Alert, &[1, 90][..], 10), // user_canceled, a warning
    ] {
        let mut pair = connected(TlsVersion::Tls13);
        let mut forger = Forger::new(&mut pair);
        for count in 1.. {
            assert!(count <= most, "{typ:?}: no limit");
            let record = forger.record(typ, payload);
            pair.server_reads(&record);
            if pair.end.is_some() {
                break;
            }
        }
        assert!(matches!(pair.end, Some(InputEnd::Failed(_))));
    }
}

#[test]
fn a_faulty_record_gets_one_alert() {
    for bytes in [
        &[23, 3, 3, 0, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1][..], // not decryptable
        &[23, 3, 3, 0xFF, 0xFF][..],                                                        // too long
        &[99, 3, 3, 0, 1, 0][..],                                                           // of no type
    ] {
        let mut pair = connected(TlsVersion::Tls13);
        pair.client.writer().write_all(b"before").unwrap();
        let mut wire = pair.client_writes();
        wire.extend_from_slice(bytes);
        pair.server_reads(&wire);
        assert_eq!(pair.received, b"before");
        assert!(matches!(pair.end, Some(InputEnd::Failed(_))), "{bytes:?}");
        assert!(pair.server.has_input_ended());
        let mut answer = Vec::new();
        pair.flush(&mut answer);
        let error = pair.client_reads(&answer).unwrap_err();
        assert!(matches!(error, rustls::Error::AlertReceived(_)), "{error}");
        let slices = [IoSlice::new(b"later")];
        let written = pair.server.write(&slices, true, &mut pair.buffers, &mut |_| panic!("a write"));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        pair.server_reads(b"anything");
        pair.server.end(&mut pair.buffers);
        assert_eq!(pair.flush(&mut Vec::new()), Flushed::End);
    }
}

#[test]
fn input_that_is_no_tls_gets_a_plain_alert() {
    for bytes in [
        &b"\r\n\r\n\r\n"[..],
        &[0x80, 0x2E, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80][..], // SSL 2
        &[99; 40][..],
        &[22, 3, 1, 0xFF, 0xFF, 1][..],
    ] {
        let mut pair = pair(TlsVersion::Tls13);
        pair.server_reads(bytes);
        assert!(matches!(pair.end, Some(InputEnd::Failed(_))), "{bytes:?}");
        let mut answer = Vec::new();
        pair.flush(&mut answer);
        assert_eq!((answer.first(), answer.len()), (Some(&21), 7), "{bytes:?}: {answer:?}");
    }
}

#[test]
fn plain_http_is_answered_in_plain_text() {
    let mut pair = pair(TlsVersion::Tls13);
    pair.server_reads(b"GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(pair.end, Some(InputEnd::PlainHttp)));
    let mut wire = Vec::new();
    let slices = [IoSlice::new(b""), IoSlice::new(b"HTTP/1.1 400")];
    let count = pair.server.write(&slices, true, &mut pair.buffers, &mut |bytes| wire.write(bytes));
    assert_eq!((count.unwrap(), wire), (12, b"HTTP/1.1 400".to_vec()));
}

#[test]
fn a_close_notify_follows_the_last_record() {
    let mut pair = connected(TlsVersion::Tls13);
    let mut wire = pair.server_writes(b"the last message");
    pair.server.end(&mut pair.buffers);
    assert_eq!(pair.flush(&mut wire), Flushed::End);
    assert_eq!(pair.client_reads(&wire).unwrap(), b"the last message");
    assert_eq!(pair.client.reader().read(&mut [0]).unwrap(), 0, "a clean end");
    pair.server.close(&mut pair.buffers);
    let mut more = Vec::new();
    assert_eq!((pair.flush(&mut more), more.len()), (Flushed::All, 0), "once");
}

#[test]
fn a_record_in_flight_is_never_followed_by_a_close_notify() {
    let mut pair = connected(TlsVersion::Tls13);
    let slices = [IoSlice::new(b"cut off")];
    let blocked = &mut |_: &[u8]| Err(io::ErrorKind::WouldBlock.into());
    let error = pair.server.write(&slices, true, &mut pair.buffers, blocked).unwrap_err();
    assert_eq!(encrypted_bytes(&error), 7);
    let held = pair.server.held();
    pair.server.close(&mut pair.buffers);
    assert_eq!(pair.server.held(), held);
}

#[test]
fn a_refused_client_gets_an_alert_without_a_handshake() {
    let mut pair = pair(TlsVersion::Tls13);
    let hello = pair.client_writes();
    pair.server.refuse(&crate::net::shortage::INTERNAL_ERROR);
    pair.server_reads(&hello);
    let mut wire = Vec::new();
    pair.flush(&mut wire);
    let error = pair.client_reads(&wire).unwrap_err();
    assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::InternalError));
}

/// A connection with TLS has one of these. The rest of its memory belongs to rustls.
#[test]
fn sizes() {
    let of_rustls = size_of::<rustls::server::UnbufferedServerConnection>();
    let ours = size_of::<TlsTransport>() - of_rustls;
    assert!(ours <= 192, "{ours} bytes besides {of_rustls}");
}
