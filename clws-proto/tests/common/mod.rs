//! Helpers of the tests: frames built byte by byte without the crate's encoder, and events that own
//! their payload.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code; each test uses a part"
)]

pub(crate) mod connection;
#[cfg(feature = "deflate")]
pub(crate) mod deflate;
mod events;

use std::io::IoSlice;
use std::num::NonZeroUsize;

use clws_proto::{Limits, Receiver, Role, SendError, Sender, SharedMessage, Version};
pub(crate) use events::{Got, join_pieces, owned as owned_event, pull};

pub(crate) const HYBI: [Version; 3] = [Version::Hybi07, Version::Hybi08, Version::Rfc6455];

/// A client's bytes for messages of a kind (0 text, 1 ping, else binary), a length and a fill byte.
/// The second value has the events that a server must see, each marked by a letter.
pub(crate) fn conversation(
    messages: Vec<(u8, usize, u8)>,
    frame_size: Option<usize>,
) -> (Vec<u8>, Vec<(char, Vec<u8>)>) {
    let (mut key, mut expected) = (0u32, Vec::new());
    let mut sender = Sender::client(Version::Rfc6455, move || {
        key = key.wrapping_add(0x0102_0305);
        key.to_be_bytes()
    });
    let frame_size = frame_size.and_then(NonZeroUsize::new);
    for (kind, len, fill) in messages {
        match kind {
            0 => {
                let text = "é".repeat(len / 2);
                sender.text(&text, frame_size).unwrap();
                expected.push(('t', text.into_bytes()));
            }
            1 => {
                let payload = vec![fill; len % 126];
                sender.ping(&payload).unwrap();
                expected.push(('i', payload));
            }
            _ => {
                let payload: Vec<u8> = (0..=250u8).cycle().take(len).map(|i| fill ^ i).collect();
                sender.binary(&payload, frame_size).unwrap();
                expected.push(('b', payload));
            }
        }
    }
    let mut wire = Vec::new();
    sender.write_to(&mut wire).unwrap();
    (wire, expected)
}

/// The masking key of these tests, from RFC 6455 §5.7.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

pub(crate) fn text(text: &str) -> Got {
    Got::Text(text.to_owned())
}

/// Feeds one read and pulls all of its events.
pub(crate) fn feed(receiver: &mut Receiver, bytes: &[u8]) -> Vec<Got> {
    let mut bytes = bytes.to_vec();
    let mut events = receiver.receive(&mut bytes);
    std::iter::from_fn(|| pull(&mut events)).collect()
}

pub(crate) fn receiver(version: Version, role: Role) -> Receiver {
    Receiver::new(version, role, Limits::default())
}

/// A server's receiver for RFC 6455 with the default limits.
pub(crate) fn server() -> Receiver {
    receiver(Version::Rfc6455, Role::Server)
}

/// The events that a new receiver finds in one read.
pub(crate) fn events(version: Version, role: Role, bytes: &[u8]) -> Vec<Got> {
    feed(&mut receiver(version, role), bytes)
}

/// The events that a new receiver finds in reads of one byte each.
pub(crate) fn events_by_byte(version: Version, role: Role, bytes: &[u8]) -> Vec<Got> {
    let mut receiver = receiver(version, role);
    bytes.iter().flat_map(|byte| feed(&mut receiver, &[*byte])).collect()
}

/// The header of a frame for a receiver of the given role, with any first byte and length.
pub(crate) fn header(first: u8, len: u64, to: Role) -> Vec<u8> {
    let mask = if to == Role::Server { 0x80 } else { 0 };
    let mut out = vec![first];
    match len {
        0..=125 => out.push(mask | u8::try_from(len).unwrap()),
        126..=0xFFFF => {
            out.push(mask | 126);
            out.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
    if to == Role::Server {
        out.extend_from_slice(&KEY);
    }
    out
}

/// A frame for a receiver of the given role. `first` has FIN, the reserved bits and the opcode.
pub(crate) fn frame(first: u8, payload: &[u8], to: Role) -> Vec<u8> {
    let mut out = header(first, payload.len() as u64, to);
    match to {
        Role::Server => out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key)),
        Role::Client => out.extend_from_slice(payload),
    }
    out
}

/// A masked frame, as a server receives it.
pub(crate) fn to_server(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Role::Server)
}

/// A client whose masking keys are all [`KEY`].
pub(crate) fn client(version: Version) -> Sender {
    Sender::client(version, || KEY)
}

/// The queued bytes, without consuming them.
pub(crate) fn peek(sender: &Sender) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 64];
    let filled = sender.io_slices(&mut slices);
    join(&slices[..filled])
}

/// Consumes and returns the bytes of one write of at most `at_most` bytes.
pub(crate) fn write(sender: &mut Sender, at_most: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 2];
    let filled = sender.io_slices(&mut slices);
    let mut left = at_most;
    let mut written = Vec::new();
    for slice in &slices[..filled] {
        let count = slice.len().min(left);
        written.extend_from_slice(&slice[..count]);
        left -= count;
    }
    sender.consume(written.len());
    written
}

/// The concatenated bytes of several slices.
pub(crate) fn join(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

/// Consumes and returns all queued bytes.
pub(crate) fn drain(sender: &mut Sender) -> Vec<u8> {
    let mut out = Vec::new();
    while sender.queued() > 0 {
        let piece = peek(sender);
        assert!(!piece.is_empty(), "bytes are queued, but `io_slices` returns none");
        sender.consume(piece.len());
        out.extend(piece);
    }
    out
}

/// Checks that a sender of draft 0 or hixie-75 refuses everything but text.
#[track_caller]
pub(crate) fn assert_only_text(sender: &mut Sender) {
    assert_eq!(sender.binary(b"x", None), Err(SendError::Unsupported));
    assert_eq!(sender.binary_owned(vec![0; 100_000]), Err(SendError::Unsupported));
    assert_eq!(sender.shared(&SharedMessage::binary(vec![0; 5000])), Err(SendError::Unsupported));
    assert_eq!(sender.ping(b""), Err(SendError::Unsupported));
    assert_eq!(sender.pong(b""), Err(SendError::Unsupported));
    sender.answer_ping(b"");
    assert_eq!(sender.queued(), 0);
}
