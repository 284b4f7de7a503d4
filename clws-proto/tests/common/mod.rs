//! What the scenarios share: frames built octet by octet, independently of the crate's encoder, and events that
//! outlive their buffer.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code; each uses a part"
)]

#[cfg(feature = "deflate")]
pub(crate) mod deflate;

use std::io::IoSlice;
use std::num::NonZeroUsize;

use clws_proto::{Event, Events, Limits, ProtocolError, Receiver, Role, Sender, Version};

pub(crate) const HYBI: [Version; 3] = [Version::Hybi07, Version::Hybi08, Version::Rfc6455];

/// A client's octets for messages of a kind (0 text, 1 ping, else binary), a length and a fill; and what a server is to see,
/// told apart by a letter.
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

/// The key that the masked frames of these tests use, RFC 6455 §5.7's.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// An event that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Failed(ProtocolError),
}

pub(crate) fn text(text: &str) -> Got {
    Got::Text(text.to_owned())
}

/// The next event of a read; `None` at its end.
pub(crate) fn next(events: &mut Events<'_>) -> Option<Got> {
    match events.next() {
        Ok(Some(Event::Text(text))) => Some(Got::Text(text.into_string())),
        Ok(Some(Event::Binary(octets))) => Some(Got::Binary(octets.into_vec())),
        Ok(Some(Event::Ping(octets))) => Some(Got::Ping(octets.into_vec())),
        Ok(Some(Event::Pong(octets))) => Some(Got::Pong(octets.into_vec())),
        Ok(Some(Event::Close(frame))) => {
            Some(Got::Close(frame.map(|frame| (frame.code.value(), frame.reason.to_owned()))))
        }
        Ok(Some(other)) => panic!("an event that these tests do not know: {other:?}"),
        Ok(None) => None,
        Err(error) => Some(Got::Failed(error)),
    }
}

/// Feeds one read and pulls all that is in it.
pub(crate) fn feed(receiver: &mut Receiver, octets: &[u8]) -> Vec<Got> {
    let mut octets = octets.to_vec();
    let mut events = receiver.receive(&mut octets);
    std::iter::from_fn(|| next(&mut events)).collect()
}

pub(crate) fn receiver(version: Version, role: Role) -> Receiver {
    Receiver::new(version, role, Limits::default())
}

/// A server for RFC 6455 with the default limits.
pub(crate) fn server() -> Receiver {
    receiver(Version::Rfc6455, Role::Server)
}

/// What a fresh receiver makes of one read.
pub(crate) fn events(version: Version, role: Role, octets: &[u8]) -> Vec<Got> {
    feed(&mut receiver(version, role), octets)
}

/// The same, octet by octet.
pub(crate) fn events_by_octet(version: Version, role: Role, octets: &[u8]) -> Vec<Got> {
    let mut receiver = receiver(version, role);
    octets.iter().flat_map(|octet| feed(&mut receiver, &[*octet])).collect()
}

/// The header of a frame for a receiver of that role, with any first octet and any length.
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

/// A frame for a receiver of that role; `first` is its first octet: FIN, reserved bits, opcode.
pub(crate) fn frame(first: u8, payload: &[u8], to: Role) -> Vec<u8> {
    let mut out = header(first, payload.len() as u64, to);
    match to {
        Role::Server => out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(octet, key)| octet ^ key)),
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

/// The octets that wait, without taking them.
pub(crate) fn peek(sender: &Sender) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 64];
    let filled = sender.io_slices(&mut slices);
    join(&slices[..filled])
}

/// Takes what one write of at most that many octets would.
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

/// The octets of several slices, one behind the other.
pub(crate) fn join(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

/// Takes all that waits.
pub(crate) fn drain(sender: &mut Sender) -> Vec<u8> {
    let mut out = Vec::new();
    while sender.queued() > 0 {
        let piece = peek(sender);
        assert!(!piece.is_empty(), "octets are queued but none are shown");
        sender.consume(piece.len());
        out.extend(piece);
    }
    out
}
