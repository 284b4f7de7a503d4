//! The attacks. Each opens a bounded number of connections and ends in time.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use clws_handshake::client::ClientRequest;
use clws_handshake::{DeflateConfig, Version};
use clws_proto::{CodecPool, DeflateParams, Sender};
use socket2::SockRef;

use super::{Attack, Target};
use crate::random::SplitMix;

/// All attacks. A new one is a function and a line here.
pub(super) const ALL: &[(&str, Attack)] = &[
    ("none", |target| hold::<TcpStream>(target, &[])),
    ("slow handshakes", |target| send_slowly(target, crowd(target, connect), &request(false))),
    ("connections that send nothing", |target| hold(target, &crowd(target, connect))),
    ("flood of connects", flood_of_connects),
    ("huge declared frames", |target| repeat(target, &frame(0x82, (16 << 20) - 1, b"few"), false)),
    ("frames above the limit", |target| repeat(target, &frame(0x82, 1 << 62, b"few"), true)),
    ("endless fragments", |target| {
        repeat(target, &[frame(0x01, 1, b"x"), frame(0, 1, b"x").repeat(140_000)].concat(), true);
    }),
    ("never reading", |target| repeat(target, &message(&[b'x'; 64 << 10]), true)),
    ("ping flood", |target| repeat(target, &frame(0x89, 100, &[0; 100]).repeat(300), true)),
    ("compression bombs", compression_bombs),
    ("garbage", garbage),
    ("half-open closes", half_open_closes),
    ("partial messages", |target| repeat(target, &frame(0x82, 8 << 20, &vec![0; 4 << 20]), false)),
    ("slow sending", |target| send_slowly(target, crowd(target, open), &message(&[b'x'; 1000]))),
    ("slow reading", slow_reading),
    ("silent clients", |target| hold(target, &crowd(target, open))),
    ("flood of messages", |target| repeat(target, &message(b"x").repeat(5000), true)),
];

pub(super) fn pause() {
    thread::sleep(Duration::from_millis(10));
}

/// A new connection. `None` if the server accepts none now.
pub(super) fn connect(target: &Target) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&target.address, Duration::from_secs(1)).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    Some(stream)
}

fn request(deflate: bool) -> Vec<u8> {
    let request = ClientRequest::new(Version::Rfc6455, "ws://127.0.0.1/echo");
    let config = DeflateConfig::default();
    let request = if deflate { request.deflate(&config) } else { request };
    request.build(&mut |key: &mut [u8]| key.fill(7)).map_or_else(|_| Vec::new(), |(bytes, _)| bytes)
}

/// Opens a connection with a complete handshake.
pub(super) fn open(target: &Target) -> Option<TcpStream> {
    shake_hands(connect(target)?)
}

/// Performs the opening handshake.
pub(super) fn shake_hands<S: Read + Write>(mut stream: S) -> Option<S> {
    stream.write_all(&request(false)).ok()?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    head.starts_with(b"HTTP/1.1 101 ").then_some(stream)
}

/// A frame of a client. It may declare more than it has. The mask is zero.
fn frame(first: u8, declared: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match (u8::try_from(declared), u16::try_from(declared)) {
        (Ok(length @ ..=125), _) => frame.push(0x80 | length),
        (_, Ok(length)) => frame.extend([&[0xFE][..], &length.to_be_bytes()].concat()),
        _ => frame.extend([&[0xFF][..], &declared.to_be_bytes()].concat()),
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

pub(super) fn message(payload: &[u8]) -> Vec<u8> {
    frame(0x82, payload.len() as u64, payload)
}

/// Opens connections, as many as there may be and the time allows.
pub(super) fn crowd<S>(target: &Target, open: fn(&Target) -> Option<S>) -> Vec<S> {
    (0..target.connections).map_while(|_| if target.is_over() { None } else { open(target) }).collect()
}

pub(super) fn hold<S>(target: &Target, _streams: &[S]) {
    while !target.is_over() {
        pause();
    }
}

/// Writes bytes on all connections, again and again if `endlessly`, and never reads. When the server
/// has ended all connections, others follow.
fn repeat(target: &Target, bytes: &[u8], endlessly: bool) {
    let mut streams = Vec::new();
    while !target.is_over() {
        if streams.is_empty() {
            streams = crowd(target, open).into_iter().map(|stream| (stream, 0)).collect();
        }
        let mut is_stuck = true;
        streams.retain_mut(|(stream, written)| {
            let _ = stream.set_nonblocking(true);
            if !endlessly && *written >= bytes.len() {
                return true;
            }
            match stream.write(&bytes[*written % bytes.len()..]) {
                Ok(count) => (*written, is_stuck) = (*written + count, false),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
            true
        });
        if is_stuck {
            pause();
        }
    }
}

/// Sends bytes one at a time on all connections.
pub(super) fn send_slowly(target: &Target, mut streams: Vec<TcpStream>, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        streams.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
        if target.is_over() {
            return;
        }
        pause();
    }
}

/// Connects and resets. A reset leaves no port behind that waits.
fn flood_of_connects(target: &Target) {
    for number in 0..100 * target.connections {
        let Some(stream) = connect(target) else { continue };
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        if number % 100 == 0 && target.is_over() {
            return;
        }
    }
}

/// Messages of 15 MiB that compress to 15 KiB. The server inflates and compresses each of them.
fn compression_bombs(target: &Target) {
    let codecs = CodecPool::new(&DeflateConfig::default().threshold(0));
    let params = DeflateParams::default().client_no_context_takeover(true);
    let mut sender = Sender::client(Version::Rfc6455, || [1, 2, 3, 4]).deflate(params, &codecs);
    let _ = sender.binary(&vec![0; 15 << 20], None); // a client can send this
    let mut slices = [IoSlice::new(&[]); 16];
    let filled = sender.io_slices(&mut slices);
    let bomb: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
    let streams: Vec<_> = (0..target.connections.min(10)).filter_map(|_| connect(target)).collect();
    for stream in &streams {
        let _ = (&mut &*stream).write_all(&request(true));
        let _ = stream.set_nonblocking(true);
    }
    loop {
        for mut stream in &streams {
            let _ = stream.write(&bomb); // a part is enough to end the connection
            let _ = stream.read(&mut [0; 64 << 10]);
        }
        if target.is_over() {
            return;
        }
    }
}

/// Random bytes, before and after the handshake.
fn garbage(target: &Target) {
    let mut random = SplitMix(7);
    while !target.is_over() {
        let open = if random.below(2) == 0 { open } else { connect };
        let Some(mut stream) = open(target) else { continue };
        let bytes: Vec<_> = (0..200).flat_map(|_| random.next().to_le_bytes()).collect();
        let _ = stream.write_all(&bytes);
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

/// Asks for an echo, ends its own side, and never reads.
fn half_open_closes(target: &Target) {
    let streams = crowd(target, open);
    for mut stream in &streams {
        let _ = stream.write_all(&message(&[b'x'; 60 << 10]));
        let _ = stream.shutdown(Shutdown::Write);
    }
    hold(target, &streams);
}

/// Asks for large echoes, and reads them one byte at a time.
fn slow_reading(target: &Target) {
    let streams = crowd(target, open);
    while !target.is_over() {
        for mut stream in &streams {
            let _ = stream.set_nonblocking(true);
            let _ = stream.write(&message(&[b'x'; 64 << 10])); // the server may take a part
            let _ = stream.read(&mut [0]);
        }
        pause();
    }
}
